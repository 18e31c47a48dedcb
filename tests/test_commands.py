"""A command in a fork behaves like one in an interpreter of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .commands import python

ROOT = Path(__file__).parents[1]

SCRIPTS = {
    "output, input, arguments and folder": "import os, sys; print(os.getcwd(), sys.argv, input()); "
    "print('a line', file=sys.stderr)",
    "environment": "import os; print(os.environ['TOLD'], 'PATH' in os.environ)",
    "a status": "import sys; sys.exit(5)",
    "a message": "import sys; sys.exit('a message')",
    "a traceback": "1 / 0",
    "exit handlers and threads": "import atexit, threading, time; atexit.register(print, 'at exit'); "
    "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "its encoding": "print('\\u00b1')",
}


def ended(command: tuple[str, ...], script: str, place: Path) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [*command, "-c", script, "x", "y z"],
        input=b"text\n",
        cwd=place,
        env={"TOLD": "this", "PYTHONIOENCODING": "ascii:replace"},
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_fork_ends_as_an_interpreter_does(name: str, tmp_path: Path) -> None:
    status, out, err = ended(python(), SCRIPTS[name], tmp_path)
    expected = ended((sys.executable,), SCRIPTS[name], tmp_path)
    assert (status, out) == expected[:2]
    # A fork's traceback begins in the server.
    assert err.splitlines()[-1:] == expected[2].splitlines()[-1:]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_fork(number: signal.Signals) -> None:
    script = "import signal, sys, time; signal.signal(int(sys.argv[1]), lambda *_: sys.exit(7))\n"
    script += "print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen([*python(), "-c", script, str(int(number))], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(30) == 7


def test_a_fork_ends_when_its_command_is_killed() -> None:
    script = "print('ready', flush=True); import time; time.sleep(60)"
    with subprocess.Popen([*python(), "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        assert process.stdout.read() == b""  # at once: the fork held the other end


def test_the_server_outlives_a_command_and_a_fork_that_end_at_once() -> None:
    script = "import os, time; print(os.getppid(), os.getpid(), flush=True); time.sleep(60)"
    with subprocess.Popen([*python(), "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        server, fork = map(int, process.stdout.readline().split())
        os.kill(server, signal.SIGSTOP)
        os.kill(fork, signal.SIGKILL)
        process.kill()
        process.wait()
        while Path(f"/proc/{fork}/stat").read_text().split()[2] != "Z":
            time.sleep(0.01)
        os.kill(server, signal.SIGCONT)
    for _ in range(2):
        done = subprocess.run([*python(), "-c", "print(3)"], capture_output=True, check=True)
        assert done.stdout == b"3\n"


def test_the_server_its_folder_and_its_forks_end_with_a_pytest_that_is_killed() -> None:
    command = "import os, time; print(os.getppid(), flush=True); time.sleep(600)"
    pytests = f"""
import os, subprocess
from tests.commands import python
process = subprocess.Popen([*python(), "-c", {command!r}], stdout=subprocess.PIPE)
process.stdout.readline()  # the fork runs
print(python()[-1], flush=True)
os.kill(os.getpid(), 9)
"""
    with subprocess.Popen(
        [sys.executable, "-c", pytests], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            # To the end of all that share its standard error: the server, the client and the fork.
            place, _ = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == -signal.SIGKILL
    assert not Path(place.strip()).parent.exists()
