"""What W&B refuses for good: the ids of deleted runs, and long names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lvae_core.config import RunConfig
from lvae_core.identity import fingerprint
from lvae_core.run_folder.folder import RunFolder
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from sweeps.wandb_mirror.live import push_options

from ..commands import python
from ..wandb_server.operations import LONGEST_NAME
from ..wandb_server.server import Server
from .kit import PROJECT, ROOT, assert_mirrored, begin, complete, environment, mirrored, rows


def push(server: Server, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*python(), str(ROOT / "sweeps" / "wandb_push.py"), *arguments, "--project", PROJECT]
    env = environment(home, server.url)
    return subprocess.run(
        command, env=env, cwd=home, capture_output=True, text=True, timeout=240, check=False
    )


def begin_of(study: Path, dataset: str, num_samples: int) -> RunFolder:
    config = RunConfig(dataset=dataset, system="lstm-vae", num_samples=num_samples)
    identity = fingerprint(config, "d" * 64)
    folder = Study(str(study)).run(run_name(config, identity))
    folder.write_config(config, identity)
    folder.write_metrics(rows(1))
    return folder


def test_runs_of_long_names_are_sent_and_stay_apart(server: Server, home: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    dataset = "a-long-name-of-a-dataset-" * 5
    folders = [begin_of(study, dataset, L) for L in (1, 5)]
    assert all(len(folder.name) > LONGEST_NAME for folder in folders)
    done = push(server, home, str(study))
    assert done.returncode == 0, done.stdout + done.stderr
    runs = [mirrored(server, folder) for folder in folders]
    for folder, run in zip(folders, runs, strict=True):
        assert run.fields["displayName"] == folder.name[-LONGEST_NAME:]
        assert run.config["run"] == folder.name
        assert len(run.fields["groupName"]) == LONGEST_NAME
    assert len({run.fields["groupName"] for run in runs}) == 2, "the ends of these names were cut"


def test_the_advice_repeats_the_wish_to_check_again() -> None:
    assert "--again" in push_options("runs/x", "p", None, offline=False, artifacts=False, again=True)
    assert "--again" not in push_options("runs/x", "p", None, offline=False, artifacts=False)


@pytest.mark.slow
def test_a_run_that_was_deleted_on_wandb_is_never_claimed_to_be_there(
    server: Server, home: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    deleted, kept = (begin(study, seed, epochs=2) for seed in range(2))
    for folder in (deleted, kept):
        complete(folder)
    assert push(server, home, str(study)).returncode == 0
    present = deleted.read_config()
    assert present is not None
    server.delete(present[1])
    # The second command asks again without being told to: nothing claims any longer that W&B has the run.
    for arguments in (["--again"], []):
        asked = server.requests.count("RunResumeStatus")
        done = push(server, home, str(study), *arguments)
        assert done.returncode == 1
        assert "W&B has 1 run at " in done.stdout
        assert (
            "W&B lacks 1 run: deleted on W&B, which never takes an id back: undelete it there, or use "
            "another --project" in done.stdout
        )
        assert "nothing is lost" not in done.stdout, "no command sends it"
        assert server.requests.count("RunResumeStatus") - asked == len(arguments) + 1, "not tried twice"
    assert_mirrored(server, kept)
    server.deleted.clear()  # somebody has undeleted it
    assert push(server, home, str(study)).returncode == 0
    assert_mirrored(server, deleted)
