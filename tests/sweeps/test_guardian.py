"""The process that a user starts, with scripts that end in every way in place of a launch."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no guardian")

BEGIN = "from sweeps.guardian import let_a_child_work\nlet_a_child_work()"

BY_RAY = ", as Ray does if one of its processes dies"

COUNTING = """
import signal, time
came = []
signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
print("ready", flush=True)
while not came:
    time.sleep(0.01)
time.sleep(0.5)
print(len(came))
raise SystemExit(130)
"""


@contextmanager
def launched(work: str, *, session: bool = True, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a launch that does some work, in its own session or in a group of this one."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{BEGIN}\n{work}", "--seeds", "a b"],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=session,
        process_group=None if session else 0,
        **options,
    )
    with process:
        yield process
        if process.poll() is None:
            process.kill()


def ready(process: subprocess.Popen[str]) -> psutil.Process:
    """Wait for the child to print a line; return it."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    (child,) = psutil.Process(process.pid).children()
    return child


@pytest.mark.parametrize("status", [0, 1, 2, 3, 130])
def test_a_child_that_ends_by_itself_gives_the_status_and_no_line(status: int) -> None:
    with launched(f"print('done'); raise SystemExit({status})") as process:
        assert process.communicate() == ("done\n", "")
    assert process.returncode == status


@pytest.mark.parametrize("status", [2, 130])
def test_a_status_of_ours_counts_although_python_does_not_end(status: int) -> None:
    with launched(f"import os; os._exit({status})") as process:
        assert process.communicate() == ("", "")
    assert process.returncode == status


def test_a_child_that_has_said_how_it_ends_may_be_ended_meanwhile() -> None:
    said = "import os; from sweeps.guardian import will_end_with; print('why'); will_end_with(2)"
    with launched(f"{said}; import sys; sys.stdout.flush(); os._exit(1)") as process:
        assert process.communicate() == ("why\n", "")
    assert process.returncode == 2


@pytest.mark.parametrize(
    ("work", "how"),
    [
        ("os._exit(1)", f"status 1{BY_RAY}"),
        ("os.abort()", f"signal 6{BY_RAY}"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "signal 9: the machine ran out of memory, or somebody killed it",
        ),
        ("os.fork() or time.sleep(3); os._exit(1)", f"status 1{BY_RAY}"),  # its child outlives it
    ],
)
def test_an_end_from_outside_is_one_line_with_the_command_and_status_2(work: str, how: str) -> None:
    with launched(f"import os, signal, time; {work}") as process:
        assert process.wait(timeout=240) == 2
        assert process.stderr is not None
        line = process.stderr.readline()
    assert line == (
        f"error: the launch was ended from outside ({how}); "
        "no run had started; start again with: python -c --seeds 'a b'\n"
    )


STAGES = "import os, sys; from sweeps.guardian import end_launch, enter_stage; enter_stage('own Ray')"
DIES = 'end_launch("Ray\'s process raylet died at 11:16:42 (no memory)", is_own_ray=True)'


def once(work: str, place: Path) -> str:
    """Do ``work`` in the first child alone; the next one prints a line."""
    return (
        f"from pathlib import Path; begun = Path({str(place)!r}); first = not begun.exists()\n"
        f"begun.touch()\nprint('first' if first else 'next')\nif first: {work}"
    )


@pytest.mark.parametrize(
    ("work", "died"),
    [
        (DIES, "Ray's process raylet died at 11:16:42 (no memory)"),
        ("sys.stdout.flush(); os._exit(1)", "a process of Ray has died"),
        ("sys.stdout.flush(); os.abort()", "a process of Ray has died"),
    ],
)
def test_a_ray_that_dies_before_the_first_run_is_started_again(
    work: str, died: str, tmp_path: Path
) -> None:
    with launched(f"{STAGES}\n{once(work, tmp_path / 'begun')}") as process:
        out, err = process.communicate(timeout=240)
    assert (out, err) == ("first\nnext\n", f"{died}, before any run had started: starting again\n")
    assert process.returncode == 0


def test_a_ray_that_dies_twice_before_the_first_run_says_that_nothing_had_started() -> None:
    with launched(f"{STAGES}; {DIES}") as process:
        lines = process.communicate(timeout=240)[1].splitlines()
    assert process.returncode == 2
    assert lines == [
        "Ray's process raylet died at 11:16:42 (no memory), before any run had started: starting again",
        "error: Ray's process raylet died at 11:16:42 (no memory); no run had started; start again with: "
        "python -c --seeds 'a b'",
    ]


def test_a_ray_that_dies_after_the_first_run_has_started_ends_the_launch(tmp_path: Path) -> None:
    work = f"enter_stage('runs'); {DIES}"
    with launched(f"{STAGES}\n{once(work, tmp_path / 'begun')}") as process:
        out, err = process.communicate(timeout=240)
    assert (out, process.returncode) == ("first\n", 2)
    assert err.endswith("; resume from the last checkpoints with: python -c --seeds 'a b'\n")


@pytest.mark.parametrize(
    "work", ["sys.stdout.flush(); os.kill(os.getpid(), 9)", "raise SystemExit(1)", "raise SystemExit(2)"]
)
def test_an_end_that_ray_is_not_the_cause_of_is_not_retried(work: str, tmp_path: Path) -> None:
    with launched(f"{STAGES}\n{once(work, tmp_path / 'begun')}") as process:
        assert process.communicate(timeout=240)[0] == "first\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_after_the_last_line_changes_nothing(number: signal.Signals) -> None:
    work = (
        "import time; from sweeps.guardian import closing_with; status = closing_with(130)\n"
        "print('ready', flush=True); time.sleep(60); raise SystemExit(status)"
    )
    with launched(work) as process:
        ready(process)
        process.send_signal(number)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 130


def test_a_signal_to_the_process_or_to_its_group_reaches_the_child_once() -> None:
    for send in (os.kill, os.killpg):
        with launched(COUNTING) as process:
            ready(process)
            send(process.pid, signal.SIGTERM)
            assert process.communicate() == ("1\n", "")
        assert process.returncode == 130


def test_a_signal_that_nothing_handles_yet_ends_both_by_it() -> None:
    with launched("import time; print('ready', flush=True); time.sleep(60)") as process:
        child = ready(process)
        process.terminate()
        assert process.communicate() == ("", "")
        assert not child.is_running()
    assert process.returncode == -signal.SIGTERM


def test_the_child_dies_with_the_process_that_was_started() -> None:
    with launched("import time; print('ready', flush=True); time.sleep(60)") as process:
        child = ready(process)
        process.kill()
        assert psutil.wait_procs([child], timeout=30)[0] == [child]


def test_a_stop_from_the_terminal_stops_the_work_until_it_goes_on() -> None:
    with launched("import time; print('ready', flush=True); time.sleep(60)", session=False) as process:
        child = ready(process)
        os.killpg(process.pid, signal.SIGTSTP)
        both = [psutil.Process(process.pid), child]
        end = time.monotonic() + 30
        while any(each.status() != psutil.STATUS_STOPPED for each in both) and time.monotonic() < end:
            time.sleep(0.01)
        assert [each.status() for each in both] == [psutil.STATUS_STOPPED] * 2
        process.send_signal(signal.SIGCONT)
        while any(each.status() == psutil.STATUS_STOPPED for each in both) and time.monotonic() < end:
            time.sleep(0.01)
        assert psutil.STATUS_STOPPED not in [each.status() for each in both]


def test_a_stop_is_nothing_to_a_launch_that_nobody_could_continue() -> None:
    """As without a guardian: the kernel drops Ctrl-Z in a session that has no shell."""
    with launched("print('ready', flush=True); input(); print('done')", stdin=subprocess.PIPE) as process:
        ready(process)
        os.killpg(process.pid, signal.SIGTSTP)
        assert process.communicate("\n", timeout=30) == ("done\n", "")
    assert process.returncode == 0


def test_the_end_of_the_child_is_noticed_where_such_ends_are_ignored() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # inherited, as after trap "" CHLD
    try:
        command = [sys.executable, "-c", f"{BEGIN}\nprint('done')"]
        with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.read() == "done\n"
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_launch_writes_to_a_terminal_that_stops_those_in_the_background() -> None:
    """As after ``stty tostop``; the child's group is not the terminal's."""
    pid, terminal = os.forkpty()
    if pid == 0:
        settings = termios.tcgetattr(1)
        settings[3] |= termios.TOSTOP
        termios.tcsetattr(1, termios.TCSANOW, settings)
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", f"{BEGIN}\nprint('done')"])
    printed = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while chunk := os.read(terminal, 1000):
            printed += chunk
    assert printed == b"done\r\n"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


@pytest.mark.parametrize("end", ["os._exit(1)", "os.kill(os.getpid(), 9)"])
def test_the_folder_of_a_launch_that_is_ended_from_outside_is_removed(end: str, tmp_path: Path) -> None:
    work = (
        "import os; from sweeps.cluster.scratch_folder import own_folder\n"
        f"with own_folder('ray') as folder: (folder / 'r1').mkdir(); {end}"
    )
    with launched(work, env={**os.environ, "RAY_TMPDIR": str(tmp_path)}) as process:
        assert process.wait() == 2
    until = time.monotonic() + 60
    while list(tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("then", ["os._exit(1)", "raise SystemExit(1)"])
def test_a_last_line_that_is_handed_over_is_printed_once(then: str) -> None:
    work = f"import os; from sweeps.guardian import will_end_with; will_end_with(2, 'error: why'); {then}"
    with launched(work) as process:
        assert process.communicate() == ("", "error: why\n")
    assert process.returncode == 2


@pytest.mark.parametrize("script", ["paper_grid.py", "search.py"])
def test_launches_have_such_a_process(script: str) -> None:
    lines = (ROOT / "sweeps" / script).read_text().splitlines()
    assert "    let_a_child_work()" in lines
    assert lines.index("    let_a_child_work()") < next(
        n for n, line in enumerate(lines) if line.startswith(("import ", "from ")) and n > 20
    )
