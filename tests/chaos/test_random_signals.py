"""A random signal at a random moment to a random process of a launch: the same numbers in the end.

The launch finishes as if nothing had happened, or ends with a line and a status after which the same
command (or the one that the line names) finishes the study. LVAE_SIGNAL_ROUNDS sets the number of rounds,
LVAE_SIGNAL_SEED their seed.
"""

import contextlib
import os
import random
import signal
import time

import psutil
import pytest

from .short_grid import ARGUMENTS
from .sweep_command import Launch, Runs, closing, processes_writing_below

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROUNDS = int(os.environ.get("LVAE_SIGNAL_ROUNDS", "10"))
SEED = int(os.environ.get("LVAE_SIGNAL_SEED", "1"))

LATEST = 25.0
"""Seconds after the start at which the signal comes at the latest."""

LAUNCHES = 4
"""Launches that a study may need."""

HINTS = ("resume with: ", "run the same command again", "checkpoints with: ", "--retry-failed retries them")


def title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())[:60] or process.name()
    return "ended"


def disturb(launch: Launch, draw: random.Random) -> tuple[str, bool]:
    """Send a signal; returns a description, and whether the driver was killed without a chance to speak."""
    time.sleep(draw.uniform(0.0, LATEST))
    with contextlib.suppress(psutil.Error):
        driver = psutil.Process(launch.process.pid)
        children = driver.children(recursive=True)
        # The driver is as likely as all others together; of these each kind of process is as likely.
        kinds = {title(child).split(" ")[0]: child for child in children}
        chosen = driver if not kinds or draw.random() < 0.4 else kinds[draw.choice(sorted(kinds))]
        name = "driver" if chosen is driver else title(chosen)
        kind = draw.choice(["KILL", "TERM", "HUP", "INT", "STOP", "burst"])
        if kind == "STOP":
            chosen.suspend()
            time.sleep(draw.uniform(0.1, 6.0))
            chosen.resume()
        elif kind == "burst":
            for _ in range(draw.randint(2, 6)):
                chosen.send_signal(draw.choice([signal.SIGTERM, signal.SIGHUP, signal.SIGINT]))
                time.sleep(draw.uniform(0.0, 0.3))
        else:
            chosen.send_signal(getattr(signal, f"SIG{kind}"))
        return f"{kind} to {name}", chosen is driver and kind == "KILL"
    return "nothing: the launch had ended", False


@pytest.mark.parametrize("number", range(ROUNDS))
def test_after_a_random_signal_the_results_are_the_same(number, tmp_path, scratch, undisturbed_storage):
    draw = random.Random(SEED * 10_000 + number)
    runs, story, arguments = Runs(tmp_path), [], ()
    for attempt in range(LAUNCHES):
        launch = Launch(tmp_path, scratch, *arguments, grid=ARGUMENTS)
        with closing(launch):
            what, silenced = disturb(launch, draw) if attempt == 0 else ("undisturbed", False)
            status = launch.wait(300)
            story.append(f"{what}: status {status}\n{launch.output}")
            assert "Traceback" not in launch.output, story
            if status == 0:
                break
            # A signal before the command has begun to work ends it as it ends any process.
            early = "runs to do" not in launch.output
            # The last signals of a burst may find it at its very end, after its line.
            ends = (1, 2, 130, *([-1, -2, -15] if what.startswith("burst to driver") else []))
            assert silenced or early or status in ends, story
            assert silenced or early or any(hint in launch.output for hint in HINTS), story
            arguments = ("--retry-failed",) if status == 1 else ()
    print("; ".join(line.partition("\n")[0] for line in story))
    assert runs.table() == Runs(undisturbed_storage).table(), story
    end = time.monotonic() + 60
    while processes_writing_below(scratch) or list(scratch.iterdir()):
        assert time.monotonic() < end, f"left behind: {list(scratch.iterdir())} {story}"
        time.sleep(0.2)
