"""A private Ray: what happens if it does not start, and if a signal arrives at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from lvae_core.errors import InputError
from sweeps import guardian
from sweeps.cluster import connect, daemons
from sweeps.cluster.connect import cluster

LOST = ray.exceptions.RaySystemError("Failed to connect to GCS.\nPlease check")
SLOW = Exception("The current node timed out during startup. This could happen because …")


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Let Ray's starts raise these errors, and then succeed; returns the names of their folders."""

    def make(*errors: Exception) -> list[str]:
        folders: list[str] = []

        def init(*, _temp_dir: str, **options: object) -> None:
            folders.append(Path(_temp_dir).name)
            if len(folders) <= len(errors):
                raise errors[len(folders) - 1]

        monkeypatch.setattr(ray, "init", init)
        return folders

    return make


def test_a_ray_that_loses_a_process_while_it_starts_is_started_once_more(starts):
    folders = starts(LOST)
    with cluster(None):
        assert folders == ["r1", "r2"]


def test_an_attempt_whose_process_dies_is_over_and_the_next_one_begins(monkeypatch):
    """Processes stand for Ray's: one of the first attempt dies, and Ray waits for it until its limit."""
    monkeypatch.setattr(daemons, "_NAMES", ("sleep",))
    folders = []

    def init(*, _temp_dir: str, **options: object) -> None:
        folders.append(Path(_temp_dir).name)
        if folders == ["r1"]:
            with subprocess.Popen(["/bin/sleep", "1"]):
                began = ray._private.node.time.monotonic()
                for _ in range(600):
                    time.sleep(0.05)
                    if ray._private.node.time.monotonic() - began > 30:
                        raise SLOW
        assert folders == ["r1", "r2"]

    monkeypatch.setattr(ray, "init", init)
    with cluster(None):
        assert folders == ["r1", "r2"]


def test_an_attempt_that_hangs_after_a_process_has_died_ends_the_launch(monkeypatch):
    monkeypatch.setattr(daemons, "_NAMES", ("sleep",))
    monkeypatch.setattr(connect, "_GIVES_UP_SECONDS", 0.2)
    ended = threading.Event()
    monkeypatch.setattr(connect, "end_without", lambda name, folder: ended.set())

    def init(**options: object) -> None:
        with subprocess.Popen(["/bin/sleep", "0.5"]):
            assert ended.wait(30)

    monkeypatch.setattr(ray, "init", init)
    with cluster(None):
        pass


def test_an_interrupt_waits_until_ray_has_stopped(starts, monkeypatch):
    starts()
    stopped = []

    def shutdown() -> None:
        signal.raise_signal(signal.SIGINT)
        stopped.append("whole")

    monkeypatch.setattr(ray, "shutdown", shutdown)
    with pytest.raises(KeyboardInterrupt), cluster(None):
        pass
    assert stopped == ["whole"]


@pytest.mark.parametrize("guarded", [False, True])
def test_a_hangup_while_ray_starts_is_ignored_only_where_it_would_reach_rays_processes(
    guarded, monkeypatch
):
    monkeypatch.setattr(guardian, "_to_guardian", [os.open(os.devnull, os.O_WRONLY)] if guarded else [])
    ignored = []
    monkeypatch.setattr(
        ray, "init", lambda **_: ignored.append(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)
    )
    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        with cluster(None):
            pass
    finally:
        signal.signal(signal.SIGHUP, before)
        for descriptor in guardian._to_guardian:
            os.close(descriptor)
    assert ignored == [not guarded]


def test_a_ray_that_loses_a_process_twice_ends_the_launch_in_one_line(starts):
    folders = starts(LOST, LOST, LOST)
    with pytest.raises(InputError) as caught, cluster(None):
        pass
    assert folders == ["r1", "r2"]
    message = str(caught.value)
    assert message.startswith("Ray: did not start within 0 s, in 2 attempts; ")
    assert "Failed to connect to GCS" in message
    assert message.endswith("; launch again")
    assert "\n" not in message


def test_a_ray_that_is_given_up_names_the_error_of_its_last_attempt(starts, monkeypatch):
    folders = starts(LOST, LOST)
    init = ray.init

    def logging_init(*, _temp_dir: str, **options: object) -> None:
        logs = Path(_temp_dir, "session_2026-11-30_11-16-42_123456_7", "logs")
        logs.mkdir(parents=True)
        number = len(folders) + 1
        (logs / "raylet.out").write_text(
            f"[2026-11-30 11:16:42,171 F 30 31] (raylet) agent_manager.cc:90: agent {number} failed\n"
        )
        init(_temp_dir=_temp_dir, **options)

    monkeypatch.setattr(ray, "init", logging_init)
    with pytest.raises(InputError, match="in 2 attempts; agent 2 failed; launch again"), cluster(None):
        pass


def test_a_slow_ray_is_started_again_for_some_minutes(starts, monkeypatch):
    folders = starts(*[SLOW] * 99)
    clock = count(0, 60)
    monkeypatch.setattr(connect, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    with (
        pytest.raises(InputError, match=r"did not start within 300 s, in 5 attempts; this machine is over"),
        cluster(None),
    ):
        pass
    assert folders == ["r1", "r2", "r3", "r4", "r5"]


def test_an_error_of_the_call_is_not_taken_for_a_lost_process(starts):
    starts(TypeError("unexpected keyword"))
    with pytest.raises(TypeError, match="unexpected keyword"), cluster(None):
        pass


@pytest.mark.slow  # it starts a Ray of its own
def test_a_sigterm_right_after_the_start_ends_with_our_line_alone(tmp_path):
    code = """
import os, signal, sys, time
from lvae_core.command import CONTINUES, exit_status
from sweeps.cluster.connect import cluster

def command():
    with cluster(None):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

sys.exit(exit_status(command, CONTINUES))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    (line,) = (done.stdout + done.stderr).splitlines()
    assert line.startswith("stopped at once; run the same command again")
    assert done.returncode == 130
