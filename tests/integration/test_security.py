"""One sweep on a Ray of its own, looked at from outside: who can get in, who can read what, what is run."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from lvae_core.data.corpus import load
from lvae_core.identity import fingerprint
from lvae_core.run_folder.folder import Study
from lvae_core.run_folder.names import run_name
from sweeps.planning.grid import Grid

from .nodes import ROOT, alive, below, until

CHANGES = ("max_epochs=12", "patience=12", "kl_anneal_epochs=2", "iw_samples=6")
GRID = Grid(datasets=("toy",), systems={"lstm-vae": (1,)}, settings=("standard",), seeds=4, changes=CHANGES)
COMMAND = [
    *("--datasets", "toy", "--systems", "lstm-vae", "--num-samples", "1", "--settings", "standard"),
    *("--seeds", "4", "--set", *CHANGES),
]
SECRETS = {
    name: secrets.token_hex(20) for name in ("WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
}

CLIENT = """
import sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
except Exception as error:
    sys.exit(f"refused: {error}")
print("let in:", ray.get(ray.remote(num_cpus=0)(lambda: 6 * 7).remote()))
"""


class Payload:
    """Unpickling this makes a file: what an attacker would put into a checkpoint."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return open, (str(self.marker), "w")


@dataclass
class Seen:
    """What was seen while a sweep went on, and what it left behind."""

    root: Path
    marker: Path
    names: Sequence[str]
    """Of the runs, by seed."""
    planted: Sequence[bytes]
    """The checkpoints that were there before, by seed; the last run has none."""
    inside: list[int] = field(default_factory=list)
    """The sweep's processes, Ray's included."""
    token: bytes = b""
    command_lines: list[bytes] = field(default_factory=list)
    """Of all processes of this machine."""
    listening: list[tuple[str, str]] = field(default_factory=list)
    """Program and address of each socket on which the sweep's processes wait for connections."""
    ray_files: dict[str, bytes] = field(default_factory=dict)
    clients: list[tuple[int, str]] = field(default_factory=list)
    """Exit status and words of a client with Ray's token, with another one, and without one."""
    done: tuple[int, str, str] = (-1, "", "")
    """Exit status, output and errors of the sweep."""
    ray_folders: list[Path] = field(default_factory=list)
    """What it left where Ray keeps its session."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> Iterator[Seen]:
    root = tmp_path_factory.mktemp("sweep")
    # The paths of Ray's sockets must be short.
    scratch = Path(tempfile.mkdtemp(prefix="lvae-", dir="/tmp"))
    toy = load("toy")
    names = [run_name(config, fingerprint(config, toy.data_sha256)) for config in GRID.configs()]
    seen = Seen(root, root / "marker", names, plant(root / "runs" / "paper", names, root / "marker"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    try:
        with subprocess.Popen(
            [sys.executable, str(ROOT / "sweeps" / "paper_grid.py"), *COMMAND],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=root,
            env={**kept, **SECRETS, "RAY_TMPDIR": str(scratch)},
        ) as sweep:
            under_way = until(lambda: has_trained(root) or sweep.poll() is not None, seconds=120)
            if under_way and sweep.poll() is None:
                observe(seen, sweep.pid)
            out, err = sweep.communicate(timeout=120)
        seen.done = sweep.returncode, out, err
        seen.ray_folders = list(scratch.iterdir())
        yield seen
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def plant(study: Path, names: Sequence[str], marker: Path) -> list[bytes]:
    """Put a malicious checkpoint into the folders of the first three runs."""
    plain = pickle.dumps(Payload(marker))
    archive = study.parent / "archive.pt"
    study.mkdir(parents=True)
    torch.save({"parameters": Payload(marker)}, archive)
    # As it is; and as what another could write who knows how checkpoints are sealed.
    bare, sealed, sealed_archive = (Study(str(study)).run(name) for name in names[:3])
    bare.store.write(f"{bare.name}/checkpoint.pt", plain)
    sealed.write_checkpoint(plain)
    sealed_archive.write_checkpoint(archive.read_bytes())
    # They do what they say, or the tests would hold whatever became of them.
    pickle.loads(plain).close()
    marker.unlink()
    torch.load(archive, weights_only=False)["parameters"].close()
    marker.unlink()
    archive.unlink()
    return [(study / name / "checkpoint.pt").read_bytes() for name in names[:3]]


def has_trained(root: Path) -> bool:
    return any(path.read_bytes().count(b"\n") >= 2 for path in root.rglob("metrics.jsonl"))


def observe(seen: Seen, pid: int) -> None:
    seen.inside = below(pid)
    seen.command_lines = [content(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    seen.listening = [socket for pid in seen.inside for socket in listening(pid)]
    environments = [content(Path(f"/proc/{pid}/environ")).split(b"\0") for pid in seen.inside]
    prefix = b"RAY_AUTH_TOKEN="
    tokens = {line.removeprefix(prefix) for e in environments for line in e if line.startswith(prefix)}
    (seen.token,) = tokens
    raylet = next(line for line in seen.command_lines if b"--raylet_socket_name=" in line
                  and str(pid).encode() in line)  # fmt: skip
    address = re.search(rb"--gcs-address=([^\0 ]+)", raylet)
    assert address is not None
    seen.clients = clients(address[1].decode(), seen.token.decode())
    session = re.search(rb"--raylet_socket_name=(/.*?/session_[^/]*)/", raylet)
    assert session is not None
    folder = Path(session[1].decode())
    seen.ray_files = {str(p): content(p) for p in folder.rglob("*") if p.is_file() and not p.is_socket()}


def clients(address: str, token: str) -> list[tuple[int, str]]:
    """Three at once: with the token, with another one, without one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # On a machine with a network Ray would look for 127.0.0.1 elsewhere; and it would try for 20 s.
    kept |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_NUM_REDIS_GET_RETRIES": "2"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, address],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**kept, **variables},
        )
        for variables in (
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token},
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
            {"RAY_AUTH_MODE": "disabled"},
        )
    ]
    outputs = [client.communicate(timeout=100)[0] for client in started]
    return [(client.returncode, output) for client, output in zip(started, outputs, strict=True)]


def listening(pid: int) -> list[tuple[str, str]]:
    """The program, and the address of each TCP socket on which it waits for connections."""
    inodes = set()
    with contextlib.suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(handle))
    found = []
    for table in ("tcp", "tcp6"):
        for line in content(Path(f"/proc/{pid}/net/{table}")).decode().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in inodes:
                found.append((content(Path(f"/proc/{pid}/comm")).decode().strip(), columns[1]))
    return found


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_sweep_was_looked_at_and_went_well(seen):
    status, out, err = seen.done
    assert (status, err) == (0, "")
    assert "Traceback" not in out
    assert len(seen.inside) > 4
    assert len(seen.token) == 64
    assert sorted(path.parent.name for path in seen.root.rglob("result.json")) == sorted(seen.names)


def test_nobody_gets_in_without_the_token(seen):
    right, wrong, none = seen.clients
    assert (right[0], right[1].splitlines()[-1]) == (0, "let in: 42")
    for status, output in (wrong, none):
        assert status == 1
        assert "refused: " in output
        assert "Authentication token is missing or incorrect" in output
        assert "let in" not in output


def test_nothing_listens_where_other_machines_could_connect(seen):
    programs = {program for program, _ in seen.listening}
    assert {"gcs_server", "raylet"} <= programs
    # 127.0.0.1, by itself or in an address of IPv6, and ::1, each in the kernel's order of bytes.
    loopback = ("0100007F:", "0000000000000000FFFF00000100007F:", "00000000000000000000000001000000:")
    assert [socket for socket in seen.listening if not socket[1].startswith(loopback)] == []


def test_no_command_line_holds_a_secret(seen):
    assert any(b"raylet" in line for line in seen.command_lines)
    lines = {line.decode(errors="replace"): line for line in seen.command_lines}
    assert holding(seen, lines) == []


def test_no_file_of_ray_or_of_the_study_holds_a_secret(seen):
    assert any(name.endswith("raylet.out") for name in seen.ray_files)
    assert any(name.endswith("runtime_env_agent.log") for name in seen.ray_files)
    results = {str(path): path.read_bytes() for path in seen.root.rglob("*") if path.is_file()}
    assert len(results) > 15
    printed = {"output": seen.done[1].encode(), "errors": seen.done[2].encode()}
    assert holding(seen, {**seen.ray_files, **results, **printed}) == []


def holding(seen: Seen, texts: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Which secret is where."""
    values = {"RAY_AUTH_TOKEN": seen.token, **{name: value.encode() for name, value in SECRETS.items()}}
    return [
        (name, where) for name, value in values.items() for where, text in texts.items() if value in text
    ]


def test_no_process_and_no_folder_of_ray_is_left(seen):
    assert until(lambda: not any(map(alive, seen.inside)), seconds=20)
    assert seen.ray_folders == []


def test_what_a_checkpoint_holds_is_never_executed_and_the_runs_end_well(seen):
    assert not seen.marker.exists()
    study = seen.root / "runs" / "paper"
    for seed, (name, planted) in enumerate(zip(seen.names, seen.planted, strict=False)):
        aside = study / name / "checkpoint.pt.damaged-1"
        assert aside.read_bytes() == planted
        told = [line for line in seen.done[1].splitlines() if f"{name}/checkpoint.pt: " in line]
        (line,) = told
        assert "set aside as checkpoint.pt.damaged-1" in line
        reason = "its SHA-256 does not match" if seed == 0 else "not a training state"
        assert reason in line
        assert (study / name / "result.json").exists()
    assert not list((study / seen.names[3]).glob("*.damaged-*"))
