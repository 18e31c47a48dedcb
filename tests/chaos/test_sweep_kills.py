"""A sweep whose actors are killed at random finishes by itself with the results of an undisturbed one."""

import contextlib
import os
import random
import signal
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from .small_run import SEED
from .sweep_command import STEPS, Launch, Runs, closing, wait_until

EVERY = 10
"""Epochs between two checkpoints."""


class Kill(NamedTuple):
    """The kill of a process that was working on a run."""

    run: str
    rows: int
    """Recorded epochs just before the kill."""
    attempts: int
    """Attempts at the run before the kill."""


def sweep_with_kills(storage: Path, scratch: Path, seed: int, kills: int) -> list[Kill]:
    """Launch the study, kill this many of its actors at random moments, and return the kills."""
    moment, runs, killed = random.Random(seed), Runs(storage), []
    launch = Launch(storage, scratch, "--checkpoint-epochs", str(EVERY))
    with closing(launch):
        while len(killed) < kills and launch.process.poll() is None:
            wait_until(lambda: bool(runs.claims()) or launch.process.poll() is not None, launch)
            time.sleep(moment.uniform(0.0, 2.0))
            claims = sorted(runs.claims().items())
            if not claims or len(runs.done()) == 4:
                continue
            name, pid = moment.choice(claims)
            kill = Kill(name, runs.rows(name), len(runs.attempts(name)))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.append(kill)
        assert launch.wait() == 0, launch.output
        assert launch.output.count("its process or node was lost") >= len(killed), launch.output
    return killed


def assert_undisturbed(storage: Path, killed: list[Kill], undisturbed_table: object) -> None:
    runs = Runs(storage)
    assert runs.table() == undisturbed_table
    for kill in killed:
        attempts = runs.attempts(kill.run)[kill.attempts :]
        if not attempts:
            continue
        # A row follows the checkpoint of the epoch before, so all but the last row were safe.
        assert attempts[0]["from_step"] >= max(kill.rows - 1, 0) // EVERY * EVERY * STEPS


@pytest.mark.slow  # tests/integration/test_sweep_run.py kills one
def test_a_sweep_survives_four_killed_actors(tmp_path, scratch, undisturbed_table):
    print("seed", SEED)
    killed = sweep_with_kills(tmp_path, scratch, SEED, kills=4)
    assert killed
    assert_undisturbed(tmp_path, killed, undisturbed_table)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEED + 1, SEED + 5))
def test_a_sweep_survives_ten_killed_actors(seed, tmp_path, scratch, undisturbed_table):
    killed = sweep_with_kills(tmp_path, scratch, seed, kills=10)
    print("seed", seed, "kills", len(killed))
    assert len(killed) >= 5
    assert_undisturbed(tmp_path, killed, undisturbed_table)
