"""The sweep's own Ray dies: one line with the command that resumes, status 2, within 30 seconds."""

import contextlib
import re
import shlex
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from .sweep_command import Launch, Runs, closing, processes_writing_below, wait_until

pytestmark = pytest.mark.timeout(600)

ENDS_WITHIN = 30.0
"""Seconds, as the project promises."""

CPP = re.compile(r"\s*@ +0x|.*\*\*\* SIG|(\(\w+.*?\) )?\[[^]]* [EFC] \d+ \d+\]")
"""Begins a line of a stack of C++, or an error that Ray's C++ logs."""


def processes_of(launch: Launch, name: str) -> Iterator[psutil.Process]:
    """Yield the processes of the launch's Ray with a name or title that starts with ``name``."""
    for process in psutil.Process(launch.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name().startswith(name) or " ".join(process.cmdline()).startswith(name):
                yield process


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_a_process_that_dies_while_ray_starts_is_started_again(name, tmp_path, scratch, undisturbed_table):
    launch = Launch(tmp_path, scratch)
    with closing(launch):
        wait_until(lambda: any(processes_of(launch, name)), launch)
        next(processes_of(launch, name)).kill()
        assert launch.wait(300) == 0, launch.output
    assert Runs(tmp_path).table() == undisturbed_table
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("gcs_server", signal.SIGKILL),
        ("raylet", signal.SIGKILL),
        ("ray::RuntimeEnv", signal.SIGKILL),
        # It ends in good order, and Ray's code in the launch ends that at the same moment.
        ("raylet", signal.SIGTERM),
    ],
)
def test_a_launch_whose_ray_dies_ends_with_one_line_and_resumes(
    name, number, tmp_path, scratch, undisturbed_table
):
    runs = Runs(tmp_path)
    first = Launch(tmp_path, scratch)
    with closing(first):
        wait_until(lambda: any(runs.rows(run) >= 3 for run in runs.claims()), first)
        next(processes_of(first, name)).send_signal(number)
        killed = time.monotonic()
        assert first.wait(ENDS_WITHIN) == 2, first.output
        print(f"{name}: ended after {time.monotonic() - killed:.1f} s")
        while processes_writing_below(scratch) or list(scratch.iterdir()):
            assert time.monotonic() < killed + ENDS_WITHIN, "it has left something behind"
            time.sleep(0.1)
        lines = first.output.splitlines()
        (place,) = [k for k, text in enumerate(lines) if text.startswith("error: ")]
        line = lines[place]
        # Ray's own threads may print a line beside it, but no page of C++.
        assert len(lines) - place - 1 <= 2, first.output
        assert len([text for text in lines if CPP.match(text)]) <= 1, first.output
        _, _, again = line.partition("; resume from the last checkpoints with: ")
        assert shlex.split(again)[2:] == first.arguments
        assert "Traceback" not in first.output
    second = Launch(tmp_path, scratch)
    with closing(second):
        assert second.wait() == 0, second.output
    assert runs.table() == undisturbed_table
