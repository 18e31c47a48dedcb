"""Whole sweeps with --wandb on a real Ray: W&B has what the run folders have, row by row."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lvae_core.run_folder.folder import RunFolder
from lvae_core.run_folder.study import Study

from ..wandb_server.server import Server
from .kit import KEY, ROOT, assert_mirrored, environment, mirrored, until

COMMAND = (
    *("--datasets", "toy", "--systems", "lstm-vae-avg", "--num-samples", "2", "--settings", "standard"),
    *("--set", "kl_anneal_epochs=2", "iw_samples=6", "--study", "study"),
)


def sweep(server: Server, home: Path, *more: str, key: str | None = KEY) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "sweeps" / "paper_grid.py"), *COMMAND, *more],
        env={**environment(home, server.url, key), "RAY_TMPDIR": "/tmp"},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def folders(home: Path) -> list[RunFolder]:
    study = Study(str(home / "runs" / "study"))
    return [study.run(name) for name in study.run_names()]


def mirrors() -> list[str]:
    """Command lines of mirrors, and of the client's own processes, that belong to this test's processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            surroundings = (process / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if os.environ["PYTEST_CURRENT_TEST"].split(" ")[0] in surroundings and "wandb" in command:
            found.append(command)
    return found


@pytest.mark.slow
def test_a_mirrored_sweep_leaves_complete_wandb_runs(server: Server, home: Path) -> None:
    process = sweep(server, home, "--seeds", "2", "--max-epochs", "3", "--wandb", "online")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert f"W&B has 2 runs at {server.url}/reader/lvae" in out
    assert len(folders(home)) == len(server.runs) == 2
    for folder in folders(home):
        assert_mirrored(server, folder)
        assert mirrored(server, folder).states == ["running", "finished"]
        assert len(mirrored(server, folder).history) == 3
    until(lambda: mirrors() == [], 20)
    files = [path for path in home.rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in out + err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_sweep_continues_in_the_same_wandb_runs(
    server: Server, home: Path, number: signal.Signals
) -> None:
    long = ("--seeds", "2", "--max-epochs", "60", "--set", "patience=60", "--wandb", "online")
    process = sweep(server, home, *long)
    until(lambda: len(server.runs) == 2 and all(run.history for run in server.runs.values()), 120)
    assert len(mirrors()) >= 2  # the mirror and the library's own process
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=240)
    until(lambda: mirrors() == [], 90)
    partial = {identity: len(run.history) for identity, run in server.runs.items()}
    # A slow machine may not send everything in the time that a sweep waits; then it says so.
    ended = {run.states[-1] for run in server.runs.values()} <= {"preempted", "finished"}
    assert ended or "W&B lacks" in out, out

    process = sweep(server, home, *long)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert len(server.runs) == 2
    for folder in folders(home):
        assert_mirrored(server, folder)
    assert any(rows < 60 for rows in partial.values()), "it was not interrupted"


@pytest.mark.slow
def test_an_unreachable_server_changes_no_number_and_no_status(server: Server, home: Path) -> None:
    arguments = ("--seeds", "1", "--max-epochs", "3")
    with server.down():
        process = sweep(server, home, *arguments, "--wandb", "online")
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "W&B lacks 1 run (W&B cannot be reached); nothing is lost" in out
    (folder,) = folders(home)
    metrics = folder.read_metrics()
    alone = sweep(server, home, *arguments, "--storage", "alone")
    alone.communicate(timeout=240)
    assert Study(str(home / "alone" / "study")).run(folder.name).read_metrics() == metrics
    command = next(line for line in out.splitlines() if "nothing is lost" in line).rpartition(
        "next: python "
    )[2]
    push = subprocess.run(
        [sys.executable, str(ROOT / command.split()[0]), *command.split()[1:]],
        env=environment(home, server.url),
        cwd=home,
        timeout=240,
        check=False,
    )
    assert push.returncode == 0
    assert_mirrored(server, folder)
