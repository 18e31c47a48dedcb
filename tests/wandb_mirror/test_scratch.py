"""Nothing stays in the folder for temporary files, however a push ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweeps.wandb_mirror.scratch import make_scratch, remove_all

from ..commands import python
from ..wandb_server.server import Server
from .kit import ROOT, Mirror, Work, begin, complete, environment, until

LOCKS = f"lvae-wandb-{os.getuid()}"
"""The folder of the locks that pushes share: one for a user, and empty while nothing is sent."""


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files of the processes of this test."""
    # Not tmp_path: the library makes a socket below it, whose path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def assert_only_locks(temporary: Path) -> None:
    # The library's service outlives the push by a moment, and then removes its socket.
    until(lambda: not list(temporary.glob("wandb-*")))
    assert {str(path.relative_to(temporary)) for path in temporary.rglob("*")} <= {LOCKS}


def test_a_push_leaves_nothing_but_the_folder_of_locks(
    server: Server, home: Path, temporary: Path, tmp_path: Path
) -> None:
    complete(begin(tmp_path / "study", epochs=2))
    command = [*python(), str(ROOT / "sweeps" / "wandb_push.py"), str(tmp_path / "study"), "--offline"]
    env = environment(home, server.url, key=None)
    pushed = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=240)
    assert "1 run written" in pushed.stdout, pushed.stderr
    assert_only_locks(temporary)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", ["online", pytest.param("offline", marks=pytest.mark.slow)])
def test_a_push_that_a_signal_stops_leaves_nothing_either(
    server: Server,
    start: Callable[..., Mirror],
    work: Work,
    home: Path,
    temporary: Path,
    tmp_path: Path,
    mode: str,
    number: signal.Signals,
) -> None:
    folder = begin(tmp_path / "study", epochs=1)
    work.begin(folder)
    mirror = start(mode)
    assert list(temporary.rglob("*wandb-media"))
    if mode == "online":  # offline, a run is written when it has stopped
        until(lambda: bool(server.runs))
    mirror.process.send_signal(number)
    assert mirror.end().status in (0, 130)  # 130: stopped before it looked at the study
    assert_only_locks(temporary)
    assert not list(home.glob("wandb/.mirror-*"))


def test_what_a_killed_push_has_left_is_removed_by_the_next_one(
    start: Callable[..., Mirror], temporary: Path
) -> None:
    first = start("offline")
    first.kill()
    (left,) = temporary.glob(".mirror-*")
    start("offline").end()
    assert not left.exists()
    assert_only_locks(temporary)


def test_only_folders_of_processes_that_have_ended_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    machine = make_scratch(tmp_path).name.split("-")[1]
    names = {
        f".mirror-{machine}-{ended.pid}-a": False,
        f".mirror-{machine}-{os.getppid()}-a": True,
        f".mirror-01234567-{ended.pid}-a": True,  # of another machine, where the process may live
        ".mirror-my-own": True,
    }
    for name in names:
        (tmp_path / name).mkdir()
    path = make_scratch(tmp_path)
    assert {name: (tmp_path / name).exists() for name in names} == names
    assert path.is_dir()
    remove_all()
    assert not path.exists()


def test_a_container_that_shares_the_folder_removes_nothing_of_this_process(tmp_path: Path) -> None:
    """The container's processes cannot see this one, whose id is free there, or another's."""
    inside = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("no PID namespaces")
    mine = make_scratch(tmp_path)
    code = "import pathlib, sys; from sweeps.wandb_mirror.scratch import make_scratch as make\n"
    code += "print(make(pathlib.Path(sys.argv[1])))"
    made = subprocess.run(
        [*inside, sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert made.stdout.startswith(str(tmp_path)), made.stderr
    assert mine.is_dir()
    remove_all()
