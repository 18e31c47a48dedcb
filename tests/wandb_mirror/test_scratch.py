"""Nothing stays in the folder for temporary files, however a push ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.wandb_mirror.scratch import make_scratch, remove_all

from ..commands import python
from ..wandb_server.server import Server
from .kit import ROOT, Mirror, Work, assert_only_locks, begin, complete, directories, environment, until


def test_a_push_with_an_empty_mode_in_the_environment_leaves_nothing_but_the_folder_of_locks(
    server: Server, home: Path, temporary: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    complete(begin(study, epochs=2))
    command = [*python(), str(ROOT / "sweeps" / "wandb_push.py"), str(study), "--offline"]
    env = {**environment(home, server.url, key=None), "WANDB_MODE": ""}
    pushed = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=240)
    expected = f"{study}: W&B: 1 run written; next: wandb sync ./wandb\n"
    assert (pushed.returncode, pushed.stdout, pushed.stderr) == (0, expected, "")
    assert len(directories(home)) == 1
    assert_only_locks(temporary)


@pytest.mark.slow  # test_live.py: one that a signal ends leaves nothing behind
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("mode", ["online", "offline"])
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
