from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys

import pytest

from lvae_core.errors import InputError
from sweeps.cluster import head

SCRIPT = """
import sys, time
from sweeps.cluster.head import watched
address = sys.argv[1]
with watched("auto", address, silence=1.0):
    time.sleep(60)
"""


def test_a_head_that_falls_silent_ends_the_launch_with_one_line():
    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, address],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == (
        "error: --address auto: its head has not answered for 1 s; "
        f"no run had started; start again with: python -c {address}"
    )
    assert done.stdout == ""


def test_a_ray_that_listens_to_itself_alone_is_refused_within_seconds(monkeypatch):
    with socket.socket() as taken:  # as the Ray of another launch: found, but nobody answers
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(head, "_found", lambda: place)
        with pytest.raises(InputError) as refused:
            head.check_address("auto")
        assert str(refused.value).startswith(
            f"--address auto: the Ray that runs on this machine, {place}, cannot be reached ([Errno 111]"
        )
        assert "leave out --address" in str(refused.value)
        taken.listen()
        head.check_address("auto")


def test_an_address_of_the_environment_is_named_as_such(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(InputError, match="--address auto: nothing answers at RAY_ADDRESS, "):
            head.check_address("auto")
    monkeypatch.setenv("RAY_ADDRESS", "https://ray.example")
    head.check_address("auto")  # it is no HOST:PORT, which another check reports


def test_under_a_display_the_terminal_gets_its_cursor_back():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        ours, theirs = pty.openpty()
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, f"127.0.0.1:{taken.getsockname()[1]}"],
            stderr=theirs,
            timeout=240,
            check=False,
        )
    assert done.returncode == 2
    assert b"\033[?25h" in os.read(ours, 1000)
    os.close(ours)
    os.close(theirs)


def test_a_finished_block_ends_no_process():
    quick = SCRIPT.replace("time.sleep(60)", "pass") + "time.sleep(4)"
    done = subprocess.run(
        [sys.executable, "-c", quick, "127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
