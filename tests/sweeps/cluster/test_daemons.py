"""Watch for the death of Ray's processes; here other processes stand for them."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from sweeps.cluster import daemons
from sweeps.cluster.daemons import watched_daemons


@pytest.fixture(autouse=True)
def sleeps_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemons, "_NAMES", ("sleep",))


def test_a_process_that_dies_is_reported_at_once_and_once() -> None:
    found, told = [], threading.Event()

    def end(name: str) -> None:
        found.append(name)
        told.set()

    with (
        subprocess.Popen(["/bin/sleep", "60"]) as child,
        subprocess.Popen(["/bin/sleep", "60"]) as other,
        watched_daemons(end=end),
    ):
        assert not told.wait(0.5)
        child.kill()
        assert told.wait(10)
        other.kill()
        time.sleep(0.5)
    assert found == ["sleep"]


def test_a_process_that_is_stopped_after_the_block_is_not_reported() -> None:
    found: list[str] = []
    for _ in range(20):
        with subprocess.Popen(["/bin/sleep", "60"]) as child:
            with watched_daemons(end=found.append):
                pass
            child.kill()
    for thread in threading.enumerate():
        if thread.name == "own Ray":
            thread.join(60)
    assert found == []
    assert not any(
        "pidfd" in os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()
    )


def test_the_padding_of_a_process_title_is_not_part_of_its_name() -> None:
    class Padded:
        def cmdline(self) -> list[str]:
            return ["ray::DashboardAgent", *[""] * 300]

    class Raylet:
        def children(self) -> list[Padded]:
            return [agent]

    agent = Padded()
    assert daemons._agents(Raylet()) == {agent: "ray::DashboardAgent"}  # type: ignore[arg-type, comparison-overlap]


def test_a_process_that_starts_and_dies_within_the_block_is_reported() -> None:
    found, told = [], threading.Event()

    def end(name: str) -> None:
        found.append(name)
        told.set()

    with watched_daemons(end=end):
        time.sleep(0.5)
        with subprocess.Popen(["/bin/sleep", "60"]) as child:
            time.sleep(1.5)  # a look for new processes comes once in a second
            child.kill()
            assert told.wait(10)
    assert found == ["sleep"]


def test_a_store_that_closes_is_reported_as_the_end_of_the_raylet(tmp_path: Path) -> None:
    found, told = [], threading.Event()

    def end(name: str) -> None:
        found.append(name)
        told.set()

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "store"))
        server.listen()
        with watched_daemons(str(tmp_path / "store"), end=end):
            connection, _ = server.accept()
            assert not told.wait(0.5)
            connection.close()
            assert told.wait(10)
    assert found == ["raylet"]


def test_a_store_that_is_gone_is_left_to_the_watch_of_processes(tmp_path: Path) -> None:
    found: list[str] = []
    with watched_daemons(str(tmp_path / "none"), end=found.append):
        time.sleep(0.5)
    assert found == []


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("ray::RuntimeEnvAgent", "ray::RuntimeEnvAgent"),
        ("python -u /x/ray/_private/runtime_env/agent/main.py --x=1", "ray::runtime_env/agent/main.py"),
        ("python -u /x/ray/dashboard/agent.py --x=1", "ray::dashboard/agent.py"),
        ("ray::IDLE", ""),
        ("ray::Agent.train", ""),
        ("python /x/ray/_private/workers/default_worker.py", ""),
        ("", ""),
    ],
)
def test_agents_are_known_before_and_after_they_have_a_title(title: str, name: str) -> None:
    assert daemons._agent_name(title) == name
