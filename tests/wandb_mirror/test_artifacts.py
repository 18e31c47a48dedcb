"""The models of finished runs as W&B artifacts, by the real client: only if asked for, whole, and once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lvae_core.errors import InputError
from lvae_core.run_folder.folder import CHECKPOINT, DamagedError, RunFolder
from sweeps.options import LaunchOptions
from sweeps.wandb_mirror.live import push_options
from sweeps.wandb_mirror.model import artifact_name, copy_model
from sweeps.wandb_push import main

from ..wandb_server.server import Server
from .kit import PROJECT, ROOT, assert_mirrored, begin, complete, environment, mirrored, until

FILES = {"config.json", "metrics.jsonl", "result.json", "checkpoint.pt"}


def start(server: Server, home: Path, study: Path, *options: str) -> subprocess.Popen[str]:
    """Start `wandb_push.py`."""
    command = [sys.executable, str(ROOT / "sweeps" / "wandb_push.py"), str(study), "--project", PROJECT]
    env = environment(home, server.url)
    return subprocess.Popen([*command, *options], env=env, cwd=home, stdout=subprocess.PIPE, text=True)


def push(server: Server, home: Path, study: Path, *options: str) -> str:
    """Run `wandb_push.py` to its end; returns its output."""
    process = start(server, home, study, *options)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    return out


def finished(study: Path, seed: int = 0) -> RunFolder:
    folder = begin(study, seed, epochs=2)
    folder.write_checkpoint(b"a model" * 1000)
    complete(folder)
    return folder


def assert_uploaded_once(server: Server, folder: RunFolder) -> None:
    (artifact,) = server.artifacts.values()
    assert artifact.committed
    assert artifact.fields["artifactCollectionName"] == folder.name
    assert artifact.fields["artifactTypeName"] == "model"
    assert artifact.fields["runName"] == mirrored(server, folder).id
    files = artifact.files(server)
    assert files == {name: folder.store.read(f"{folder.name}/{name}") for name in FILES}


@pytest.mark.slow
def test_a_run_already_mirrored_gets_its_artifact_when_asked_for(
    server: Server, home: Path, tmp_path: Path
) -> None:
    folder = finished(tmp_path / "study")
    stopped = begin(tmp_path / "study", seed=1, epochs=1)
    stopped.write_checkpoint(b"half a model")
    push(server, home, tmp_path / "study")
    assert server.artifacts == {}
    assert "W&B has 2 runs" in push(server, home, tmp_path / "study", "--artifacts")
    assert_uploaded_once(server, folder)
    assert_mirrored(server, folder)
    assert mirrored(server, folder).states == ["running", "finished", "running", "finished"]
    assert mirrored(server, stopped).states == ["running", "preempted"]
    # Nothing is left in temporary folders or in the user's cache.
    assert not [path for path in home.rglob("*") if path.name == CHECKPOINT]


@pytest.mark.slow
def test_an_upload_is_resumed_after_a_kill_and_not_repeated_even_if_its_record_is_lost(
    server: Server, home: Path, tmp_path: Path
) -> None:
    folder = finished(tmp_path / "study")
    server.refuses_uploads = True
    killed = start(server, home, tmp_path / "study", "--artifacts")
    until(lambda: "CreateArtifactFiles" in server.requests)
    killed.kill()
    killed.communicate()
    server.refuses_uploads = False
    # The artifact of the killed process is never committed, so nobody sees it.
    (draft,) = server.artifacts.values()
    assert not draft.committed
    server.artifacts.clear()
    push(server, home, tmp_path / "study", "--artifacts")
    assert_uploaded_once(server, folder)
    before = server.requests.count("CreateArtifact")
    push(server, home, tmp_path / "study", "--artifacts")
    push(server, home, tmp_path / "study")
    assert server.requests.count("CreateArtifact") == before
    (tmp_path / "study" / folder.name / "wandb.json").unlink()
    push(server, home, tmp_path / "study", "--artifacts")
    assert server.requests.count("CreateArtifact") == before + 1
    assert_uploaded_once(server, folder)
    assert_mirrored(server, folder)


def test_only_a_whole_checkpoint_is_copied(tmp_path: Path) -> None:
    folder = finished(tmp_path / "study")
    assert {path.name for path in copy_model(folder, tmp_path / "copy")} == FILES
    assert (tmp_path / "copy" / CHECKPOINT).read_bytes().endswith(b"a model")
    folder.store.delete(f"{folder.name}/config.json")  # the result has it, too
    assert {path.name for path in copy_model(folder, tmp_path / "without")} == FILES - {"config.json"}
    path = tmp_path / "study" / folder.name / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedError, match="SHA-256"):
        copy_model(folder, tmp_path / "copy")
    path.unlink()
    with pytest.raises(DamagedError, match="missing"):
        copy_model(folder, tmp_path / "copy")


def test_a_long_name_keeps_its_fingerprint() -> None:
    name = artifact_name("ü/" + "x" * 200 + "__seed0__0123abcd")
    assert (len(name), name[-10:]) == (128, "__0123abcd")


def test_artifacts_need_a_server(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for mode in ("disabled", "offline"):
        with pytest.raises(InputError, match=r"--wandb-artifacts: needs --wandb online; wandb_push\.py"):
            LaunchOptions(wandb=mode, wandb_artifacts=True).check()  # type: ignore[arg-type]
    LaunchOptions(wandb="online", wandb_artifacts=True).check()
    finished(tmp_path / "study")
    assert main([str(tmp_path / "study"), "--offline", "--artifacts"]) == 2
    assert re.fullmatch("error: --artifacts: cannot be written with --offline.*\n", capsys.readouterr().err)


def test_the_next_command_uploads_artifacts_if_the_first_did() -> None:
    assert push_options("runs/x", "p", None, offline=False, artifacts=True)[-1] == "--artifacts"
    assert "--artifacts" not in push_options("runs/x", "p", None, offline=False, artifacts=False)
