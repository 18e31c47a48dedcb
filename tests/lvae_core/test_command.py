"""The guard of all commands: one line, a status among 0, 1, 2 and 130, and no bare traceback."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from lvae_core.command import CONTINUES, Interrupt, exit_status
from lvae_core.errors import InputError
from lvae_core.messages import Verbosity
from lvae_core.run_folder.folder import DamagedError


def raising(error: BaseException, *, verbose: bool = False):
    def command() -> NoReturn:
        Verbosity(verbose=verbose).apply()
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("no such thing"), 2, "error: no such thing\n"),
        (DamagedError("a/b: damaged"), 2, "error: a/b: damaged\n"),
        (FileNotFoundError(2, "No such file", "a/b"), 2, "error: a/b: No such file\n"),
        (OSError("the\n  store is away"), 2, "error: the store is away\n"),
        (OSError(), 2, "error: OSError\n"),
        (InputError("\x1b[31mred\x07"), 2, "error: \\x1b[31mred\\x07\n"),
        (KeyboardInterrupt(), 130, f"{CONTINUES}\n"),
        (SystemExit(), 0, ""),
        (SystemExit(2), 2, ""),
        (SystemExit(77), 1, ""),
        (SystemExit("it broke"), 1, "error: it broke\n"),
    ],
)
def test_every_error_ends_a_command_with_one_line_and_a_known_status(error, status, line, capsys):
    assert exit_status(raising(error)) == status
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("error", [ZeroDivisionError("division\nby zero"), RecursionError("deep")])
def test_an_unexpected_error_is_one_line_that_names_the_file_of_its_traceback(
    error, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert exit_status(raising(error)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    text = str(error).partition("\n")[0]
    path = re.fullmatch(rf"error: unexpected {type(error).__name__}: {text} \(traceback: (.*)\)", line)
    assert path
    assert Path(path[1]).read_text().startswith("Traceback")
    assert "raise error" in Path(path[1]).read_text()

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert exit_status(raising(error)) == 1
    assert capsys.readouterr().err == f"error: unexpected {type(error).__name__}: {text} " + (
        "(--verbose prints the traceback)\n"
    )


@pytest.mark.parametrize(("error", "status"), [(ValueError("no"), 1), (OSError("no"), 2)])
def test_a_verbose_command_prints_the_traceback_before_the_line(error, status, capsys):
    assert exit_status(raising(error, verbose=True)) == status
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].startswith("error: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_stop_signal_is_first_a_request_and_then_the_end(number, capsys):
    def command() -> int:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), number)
            assert interrupt.requested
            os.kill(os.getpid(), number)
        raise AssertionError("the second one ends the block")

    assert exit_status(command) == 130
    assert capsys.readouterr().err == f"{CONTINUES}\n"


def test_a_second_signal_while_the_first_is_reported_causes_no_traceback(monkeypatch):
    class Interrupted:
        def write(self, text: str) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        def flush(self) -> None: ...

    monkeypatch.setattr(sys, "stderr", Interrupted())
    assert exit_status(raising(KeyboardInterrupt())) == 130


def test_a_hangup_is_ignored_if_it_was_ignored_before_as_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        def command() -> int:
            with Interrupt() as interrupt:
                os.kill(os.getpid(), signal.SIGHUP)
                return int(interrupt.requested)

        assert exit_status(command) == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_handler_that_c_code_installed_stays(monkeypatch):
    """As in a program that embeds Python, where ``signal.signal`` could not put it back."""
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda number: None)
        with Interrupt():
            patch.undo()
            assert signal.getsignal(signal.SIGINT) is before


HANGS_UP = """
import os, signal, sys, time
from lvae_core.command import Interrupt, exit_status

def command():
    with Interrupt() as interrupt:
        print("ready", flush=True)
        while not interrupt.requested:
            time.sleep(0.01)
        print("the terminal is gone", flush=True)
        print("so is this", file=sys.stderr, flush=True)
    open(sys.argv[1], "w").write("saved")
    return 130

sys.exit(exit_status(command))
"""


def test_a_command_whose_terminal_is_closed_saves_and_ends_normally(tmp_path):
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS_UP, str(tmp_path / "state")],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(follower)
    assert os.read(leader, 100).startswith(b"ready")
    os.close(leader)
    assert process.wait(30) == 130
    assert (tmp_path / "state").read_text() == "saved"


def take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


WITHOUT_READER = """
import sys
from rich.console import Console
from lvae_core.command import exit_status

def command():
    print("line", flush=True)
    sys.stdin.read()  # until the reader has gone
    for number in range(10_000):
        print("a long line" * 9)
    Console().print("a table")
    sys.stdout.flush()
    print("a message", file=sys.stderr, flush=True)
    Console(stderr=True).print("a bar")
    open(sys.argv[1], "w").write("saved")
    print("the rest")
    return int(sys.argv[2])

sys.exit(exit_status(command))
"""


@pytest.mark.parametrize(
    ("merged", "flags", "status"), [(False, [], 0), (True, [], 1), (True, ["-u"], 0)], ids=str
)
def test_a_command_without_a_reader_finishes_its_work_and_keeps_its_status(merged, flags, status, tmp_path):
    with subprocess.Popen(
        [sys.executable, *flags, "-c", WITHOUT_READER, str(tmp_path / "file"), str(status)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        process.stdin.close()
        if process.stderr:
            assert process.stderr.read() == b"a message\na bar\n"
        assert process.wait(30) == status
    assert (tmp_path / "file").read_text() == "saved"


def test_a_command_in_a_pipe_prints_all_and_gives_the_output_back():
    script = (
        "import sys; from lvae_core.command import exit_status\n"
        "before = sys.stdout\n"
        "status = exit_status(lambda: print('é → z', '\\udcff'))\n"
        "assert sys.stdout is before\n"
        "print('after', status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"}
    )
    assert (done.stdout.decode(), done.stderr) == ("é → z \\udcff\nafter 0\n", b"")
