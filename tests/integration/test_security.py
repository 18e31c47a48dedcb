"""A sweep on a local Ray, observed from outside: access, readable secrets, and code that is executed."""

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
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from sweeps.planning.grid import Grid

from .nodes import ROOT, is_alive, process_tree, wait_until

# Fast tests: of the token in test_sweep_run.py, of code in a checkpoint in lvae_core/training.
pytestmark = pytest.mark.slow

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
    """An attack in a checkpoint: unpickling this object creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return open, (str(self.marker), "w")


@dataclass
class Observed:
    """Facts observed while a sweep ran, and the files that it left behind."""

    root: Path
    marker: Path
    names: Sequence[str]
    """Names of the runs, by seed."""
    planted: Sequence[bytes]
    """Checkpoints that existed before the sweep, by seed; the last run has none."""
    processes: list[int] = field(default_factory=list)
    """The sweep's processes, Ray's included."""
    token: bytes = b""
    command_lines: list[bytes] = field(default_factory=list)
    """Command lines of all processes of this machine."""
    listening: list[tuple[str, str]] = field(default_factory=list)
    """Program and address of each socket on which the sweep's processes listen."""
    ray_files: dict[str, bytes] = field(default_factory=dict)
    clients: list[tuple[int, str]] = field(default_factory=list)
    """Exit status and output of a client with Ray's token, with a wrong token, and without a token."""
    done: tuple[int, str, str] = (-1, "", "")
    """Exit status, output and errors of the sweep."""
    ray_folders: list[Path] = field(default_factory=list)
    """Files that the sweep left in the folder of Ray's sessions."""


@pytest.fixture(scope="module")
def observed(tmp_path_factory) -> Iterator[Observed]:
    root = tmp_path_factory.mktemp("sweep")
    # Ray's sockets need short paths.
    scratch = Path(tempfile.mkdtemp(prefix="lvae-", dir="/tmp"))
    toy = load("toy")
    names = [run_name(config, fingerprint(config, toy.data_sha256)) for config in GRID.configs()]
    observed = Observed(
        root, root / "marker", names, plant_checkpoints(root / "runs" / "paper", names, root / "marker")
    )
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
            under_way = wait_until(lambda: has_trained(root) or sweep.poll() is not None)
            if under_way and sweep.poll() is None:
                observe(observed, sweep.pid)
            out, err = sweep.communicate(timeout=240)
        observed.done = sweep.returncode, out, err
        observed.ray_folders = list(scratch.iterdir())
        yield observed
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def plant_checkpoints(study: Path, names: Sequence[str], marker: Path) -> list[bytes]:
    """Put a malicious checkpoint into the folders of the first three runs."""
    plain = pickle.dumps(Payload(marker))
    archive = study.parent / "archive.pt"
    study.mkdir(parents=True)
    torch.save({"parameters": Payload(marker)}, archive)
    # One without a digest, and two with a valid one, as an attacker could write who knows the format.
    bare, sealed, sealed_archive = (Study(str(study)).run(name) for name in names[:3])
    bare.store.write(f"{bare.name}/checkpoint.pt", plain)
    sealed.write_checkpoint(plain)
    sealed_archive.write_checkpoint(archive.read_bytes())
    # Check that the payloads work; otherwise the tests would pass for the wrong reason.
    pickle.loads(plain).close()
    marker.unlink()
    torch.load(archive, weights_only=False)["parameters"].close()
    marker.unlink()
    archive.unlink()
    return [(study / name / "checkpoint.pt").read_bytes() for name in names[:3]]


def has_trained(root: Path) -> bool:
    return any(path.read_bytes().count(b"\n") >= 2 for path in root.rglob("metrics.jsonl"))


def observe(observed: Observed, pid: int) -> None:
    observed.processes = process_tree(pid)
    observed.command_lines = [read_or_empty(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    observed.listening = [socket for pid in observed.processes for socket in listening_sockets(pid)]
    environments = [read_or_empty(Path(f"/proc/{pid}/environ")).split(b"\0") for pid in observed.processes]
    prefix = b"RAY_AUTH_TOKEN="
    tokens = {line.removeprefix(prefix) for e in environments for line in e if line.startswith(prefix)}
    (observed.token,) = tokens
    raylet = next(line for line in observed.command_lines if b"--raylet_socket_name=" in line
                  and str(pid).encode() in line)  # fmt: skip
    address = re.search(rb"--gcs-address=([^\0 ]+)", raylet)
    assert address is not None
    observed.clients = run_clients(address[1].decode(), observed.token.decode())
    session = re.search(rb"--raylet_socket_name=(/.*?/session_[^/]*)/", raylet)
    assert session is not None
    folder = Path(session[1].decode())
    observed.ray_files = {
        str(p): read_or_empty(p) for p in folder.rglob("*") if p.is_file() and not p.is_socket()
    }


def run_clients(address: str, token: str) -> list[tuple[int, str]]:
    """Run three clients at once: with the token, with a wrong one, without one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # Without these Ray would replace 127.0.0.1 by the machine's network address, and try for 20 s.
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
    outputs = [client.communicate(timeout=240)[0] for client in started]
    return [(client.returncode, output) for client, output in zip(started, outputs, strict=True)]


def listening_sockets(pid: int) -> list[tuple[str, str]]:
    """Return a process's program and address for each TCP socket on which it listens."""
    inodes = set()
    with contextlib.suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(handle))
    found = []
    for table in ("tcp", "tcp6"):
        for line in read_or_empty(Path(f"/proc/{pid}/net/{table}")).decode().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in inodes:
                found.append((read_or_empty(Path(f"/proc/{pid}/comm")).decode().strip(), columns[1]))
    return found


def read_or_empty(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_observed_sweep_succeeds(observed):
    status, out, err = observed.done
    assert (status, err) == (0, "")
    assert "Traceback" not in out
    assert len(observed.processes) > 4
    assert len(observed.token) == 64
    assert sorted(path.parent.name for path in observed.root.rglob("result.json")) == sorted(observed.names)


def test_clients_without_the_token_are_refused(observed):
    right, wrong, none = observed.clients
    assert (right[0], right[1].splitlines()[-1]) == (0, "let in: 42")
    for status, output in (wrong, none):
        assert status == 1
        assert "refused: " in output
        assert "Authentication token is missing or incorrect" in output
        assert "let in" not in output


def test_every_socket_listens_on_loopback_only(observed):
    programs = {program for program, _ in observed.listening}
    assert {"gcs_server", "raylet"} <= programs
    # 127.0.0.1, 127.0.0.1 mapped to IPv6, and ::1, in the kernel's byte order.
    loopback = ("0100007F:", "0000000000000000FFFF00000100007F:", "00000000000000000000000001000000:")
    assert [socket for socket in observed.listening if not socket[1].startswith(loopback)] == []


def test_no_command_line_contains_a_secret(observed):
    assert any(b"raylet" in line for line in observed.command_lines)
    lines = {line.decode(errors="replace"): line for line in observed.command_lines}
    assert find_secrets(observed, lines) == []


def test_no_file_of_ray_or_of_the_study_contains_a_secret(observed):
    assert any(name.endswith("raylet.out") for name in observed.ray_files)
    assert any(name.endswith("runtime_env_agent.log") for name in observed.ray_files)
    results = {str(path): path.read_bytes() for path in observed.root.rglob("*") if path.is_file()}
    assert len(results) > 15
    printed = {"output": observed.done[1].encode(), "errors": observed.done[2].encode()}
    assert find_secrets(observed, {**observed.ray_files, **results, **printed}) == []


def find_secrets(observed: Observed, texts: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return pairs of a secret and the text that contains it."""
    values = {"RAY_AUTH_TOKEN": observed.token, **{name: value.encode() for name, value in SECRETS.items()}}
    return [
        (name, where) for name, value in values.items() for where, text in texts.items() if value in text
    ]


def test_ray_leaves_no_process_and_no_folder(observed):
    assert wait_until(lambda: not any(map(is_alive, observed.processes)))
    assert observed.ray_folders == []


def test_code_in_a_checkpoint_is_never_executed_and_its_run_still_finishes(observed):
    assert not observed.marker.exists()
    study = observed.root / "runs" / "paper"
    for seed, (name, planted) in enumerate(zip(observed.names, observed.planted, strict=False)):
        aside = study / name / "checkpoint.pt.damaged-1"
        assert aside.read_bytes() == planted
        (line,) = (line for line in observed.done[1].splitlines() if f"{name}/checkpoint.pt: " in line)
        assert "set aside as checkpoint.pt.damaged-1" in line
        reason = "its SHA-256 does not match" if seed == 0 else "not a training state"
        assert reason in line
        assert (study / name / "result.json").exists()
    assert not list((study / observed.names[3]).glob("*.damaged-*"))
