"""A random signal at a random moment to a random process of a launch: the same numbers in the end.

The launch finishes as if nothing had happened, or ends with a line and a status after which the command
that the line names, or the same command, finishes the study. In every other round one of the processes is a
mirror to W&B. LVAE_SIGNAL_ROUNDS sets the number of rounds, LVAE_SIGNAL_SEED their seed.
"""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from .short_grid import ARGUMENTS
from .sweep_command import Launch, Runs, closing, printed_command, processes_writing_below

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROUNDS = int(os.environ.get("LVAE_SIGNAL_ROUNDS", "100"))
SEED = int(os.environ.get("LVAE_SIGNAL_SEED", "1"))

LATEST = 25.0
"""Seconds after the start at which the signal comes at the latest."""

LAUNCHES = 4
"""Launches that a study may need."""

AGAIN = ("run the same command again", "launch again")
"""Words of lines that do not print the command."""

RETRIES = "--retry-failed retries them"


def kind_of(process: psutil.Process) -> str:
    """Name a process of a launch, such as ``raylet``, ``ray::ResourceTrainable.train`` or ``mirror``."""
    with contextlib.suppress(psutil.Error):
        words = process.cmdline() or [process.name()]
        return "mirror" if "--follow" in words else Path(words[0].split(" ")[0]).name
    return "ended"


def disturb(launch: Launch, draw: random.Random) -> tuple[str, set[int]]:
    """Send signals; returns a description, and the statuses of a driver that they end without its help."""
    time.sleep(draw.uniform(0.0, LATEST))
    with contextlib.suppress(psutil.Error):
        driver = psutil.Process(launch.process.pid)
        # The driver is as likely as all others together; of these each kind of process is as likely.
        kinds = {kind_of(child): child for child in driver.children(recursive=True)}
        name = "driver" if not kinds or draw.random() < 0.4 else draw.choice(sorted(kinds))
        chosen = kinds.get(name, driver)
        kind = draw.choice(["KILL", "TERM", "HUP", "INT", "STOP", "burst"])
        sent = []
        if kind == "STOP":
            chosen.suspend()
            time.sleep(draw.uniform(0.1, 6.0))
            chosen.resume()
        elif kind == "burst":
            for _ in range(draw.randint(2, 6)):
                sent.append(draw.choice([signal.SIGTERM, signal.SIGHUP, signal.SIGINT]))
                with contextlib.suppress(psutil.Error):
                    chosen.send_signal(sent[-1])
                time.sleep(draw.uniform(0.0, 0.3))
        else:
            sent.append(signal.Signals[f"SIG{kind}"])
            chosen.send_signal(sent[0])
        return f"{kind} to {name}", {-number for number in sent if chosen is driver}
    return "nothing: the launch had ended", set()


def next_command(launch: Launch, status: int, silenced: set[int]) -> list[str]:
    """Return the command that finishes the study by what the launch says, after checking that it says so.

    Args:
        launch: has ended, but not with status 0.
        status: its status.
        silenced: negative statuses with which signals may end it before or after its work.
    """
    same, output = ["python", "sweeps/paper_grid.py", *launch.arguments], launch.output
    works = "runs to do" in output and "next: " not in output
    if status in silenced and (status == -signal.SIGKILL or not works):
        return same
    assert status in (1, 2, 130)
    if command := printed_command(output):
        assert command[2:] == launch.arguments
        assert Path(command[1]).name == "paper_grid.py"
        return command
    if status == 1:
        assert RETRIES in output
        return [*same, "--retry-failed"]
    if not any(words in output for words in AGAIN):
        assert not works
        assert status == 130 or any(line.startswith("error: ") for line in output.splitlines())
    return same


def left_behind(scratch: Path, place: Path) -> list[object]:
    """Return the files and processes that launches have left."""
    mirrors = [process.pid for process in psutil.process_iter() if is_mirror(process, place)]
    writers = [*processes_writing_below(scratch), *processes_writing_below(place)]
    return [*scratch.rglob("*"), *writers, *mirrors]


def is_mirror(process: psutil.Process, place: Path) -> bool:
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        return "--follow" in words and any(word.startswith(str(place)) for word in words)
    return False


@pytest.mark.parametrize("number", range(ROUNDS))
def test_after_a_random_signal_the_results_are_the_same(number, tmp_path, scratch, undisturbed_storage):
    draw = random.Random(SEED * 10_000 + number)
    # The mirror writes below WANDB_DIR, and its library below HOME.
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "WANDB_DIR": str(home)}
    mirror = ("--wandb", "offline") if number % 2 else ()
    runs, story, command = Runs(tmp_path), [], []
    for attempt in range(LAUNCHES):
        launch = Launch(
            tmp_path, scratch, *mirror, grid=ARGUMENTS, environment=environment, command=command
        )
        with closing(launch):
            what, silenced = disturb(launch, draw) if attempt == 0 else ("undisturbed", set())
            status = launch.wait(300)
            story.append(f"{what}: status {status}\n{launch.output}")
            assert "Traceback" not in launch.output, story
            if status == 0:
                break
            try:
                command = next_command(launch, status, silenced)
            except AssertionError as error:
                raise AssertionError("\n".join(story)) from error
    print("; ".join(line.partition("\n")[0] for line in story))
    assert runs.table() == Runs(undisturbed_storage).table(), story
    end = time.monotonic() + 60
    while left := left_behind(scratch, tmp_path):
        assert time.monotonic() < end, f"left behind: {left} {story}"
        time.sleep(0.2)
