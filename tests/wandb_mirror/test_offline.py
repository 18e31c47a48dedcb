"""Directories written offline, sent by the real `wandb sync`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ..wandb_server.server import Server
from .kit import Mirror, Work, assert_mirrored, begin, complete, directories, environment, mirrored, rows


def sync(server: Server, home: Path) -> str:
    """Run `wandb sync` as a user does afterwards; return what it prints."""
    command = [str(Path(sys.executable).with_name("wandb")), "sync", "wandb"]
    env = environment(home, server.url)
    done = subprocess.run(
        command, env=env, cwd=home, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_directories_of_an_interrupted_and_resumed_study_make_whole_runs(
    server: Server, start: Callable[..., Mirror], work: Work, home: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    folder, failing, done = (begin(study, seed, epochs=2) for seed in range(3))
    failing.write_failure("code", "ValueError: no", "Traceback")
    complete(done)
    work.begin(folder)
    with server.down():  # offline means that nothing is asked of the network
        first = start("offline", key=None)
        assert first.ready
        ended = first.end()
        assert (ended.sent, ended.left) == (3, 0)
        assert len(directories(home)) == 3
        assert all(path.name.startswith("offline-run-") for path in directories(home))

        # The second launch finds the failed run unchanged and the others further on.
        time.sleep(1.1)  # directories are named by the second, and sent in that order
        folder.write_metrics(rows(4))
        complete(folder)
        second = start("offline", key=None)
        work.end(folder)
        assert second.end().sent == 3
        assert len(directories(home)) == 4
        time.sleep(1.1)
        failing.write_metrics(rows(3, seed=1))
        complete(failing)
        third = start("offline", key=None)
        assert third.end().sent == 3
        assert len(directories(home)) == 5

    assert "Syncing 5 run(s)" in sync(server, home)
    for run in (folder, failing, done):
        assert_mirrored(server, run)
    assert mirrored(server, folder).fields["groupName"] == "toy__lstm-vae__standard__L5"
    assert mirrored(server, folder).states == ["running", "preempted", "running", "finished"]
    assert mirrored(server, failing).states == ["running", "failed", "running", "finished"]
    assert "failure/class" not in mirrored(server, failing).summary
    before = len(server.requests)
    assert "No runs to sync" in sync(server, home)
    assert server.requests[before:] == []


@pytest.mark.slow
def test_a_mirror_killed_while_it_writes_leaves_whole_directories_and_nothing_twice(
    server: Server, start: Callable[..., Mirror], home: Path, tmp_path: Path
) -> None:
    folders = [begin(tmp_path / "study", seed, epochs=2) for seed in range(30)]
    for folder in folders:
        complete(folder)
    for directories_first in (1, 8, 15):
        mirror = start("offline", key=None)
        while len(list((home / "wandb").glob("offline-run-*"))) < directories_first:
            time.sleep(0.005)
        mirror.kill()
    assert start("offline", key=None).end().sent == 30
    assert len(directories(home)) == 30
    sync(server, home)
    for folder in folders:
        assert_mirrored(server, folder)
