"""A run that is killed anywhere and started again ends with the same bits: real processes, real signals.

Runs are killed before every file operation (open, rename, remove, link, list), in the middle of writing a
file, and at random moments. Between file operations lie steps, evaluation, and the gap between a checkpoint
and its row of metrics. The slow tests cover all points, the fast ones a random few.
"""

import contextlib
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from .small_run import FILES, SEED, SmallRun, outcome

FEW = 4


@pytest.fixture(scope="module")
def undisturbed(small_run) -> tuple[tuple[bytes, str], int]:
    """The outcome of an undisturbed run and its number of file operations."""
    out = small_run.folder / "undisturbed"
    assert small_run.run(out, count=str(small_run.folder / "count")) == 0, small_run.log(out)
    return outcome(out), int((small_run.folder / "count").read_text())


@pytest.fixture(scope="module")
def seconds(small_run, undisturbed) -> float:
    """The duration of a run: the minimum of three, because the first ones read uncached files."""
    times = []
    for number in range(3):
        since = time.monotonic()
        assert small_run.run(small_run.folder / f"timed-{number}") == 0
        times.append(time.monotonic() - since)
    return min(times)


def assert_resumes(small_run: SmallRun, out: Path, expected: tuple[bytes, str]) -> None:
    """Check that the same command ends the run with the same bits and leaves only its files."""
    assert small_run.run(out) == 0, small_run.log(out)
    assert outcome(out) == expected, small_run.log(out)
    assert "Traceback" not in small_run.log(out)
    assert {name for name in os.listdir(out) if ".partial-" not in name} <= FILES
    shutil.rmtree(out)


def kill_before(small_run: SmallRun, undisturbed: Any, number: int) -> None:
    out = small_run.folder / f"operation-{number}"
    assert small_run.run(out, kill_at=number) == -signal.SIGKILL
    assert_resumes(small_run, out, undisturbed[0])


def test_a_run_killed_before_random_file_operations_resumes(small_run, undisturbed):
    chosen = random.Random(SEED).sample(range(1, undisturbed[1] + 1), FEW)
    print("operations", chosen, "of", undisturbed[1])
    for number in chosen:
        kill_before(small_run, undisturbed, number)


@pytest.mark.slow
def test_a_run_killed_before_any_file_operation_resumes(small_run, undisturbed):
    print("operations 1 to", undisturbed[1])
    for number in range(1, undisturbed[1] + 1):
        kill_before(small_run, undisturbed, number)


def kill_during_a_write(small_run: SmallRun, undisturbed: Any, size: int) -> None:
    out = small_run.folder / f"size-{size}"
    assert small_run.run(out, file_size=size) == -signal.SIGXFSZ
    partial = [name for name in os.listdir(out) if name.startswith(".")]
    assert len(partial) == 1
    assert (out / partial[0]).stat().st_size == size, "the kill was in the middle of the write"
    assert small_run.run(out) == 0, small_run.log(out)
    assert f"{partial[0]}: left half-written; set aside as " in small_run.log(out)
    (aside,) = (name for name in os.listdir(out) if ".partial-" in name)
    assert (out / aside).stat().st_size == size
    assert_resumes(small_run, out, undisturbed[0])


def test_a_run_killed_while_it_writes_a_checkpoint_resumes(small_run, undisturbed):
    checkpoint = (small_run.folder / "undisturbed" / "checkpoint.pt").stat().st_size
    sizes = [2000, random.Random(SEED).randrange(2000, checkpoint), checkpoint - 1]
    print("sizes", sizes)
    for size in sizes:
        kill_during_a_write(small_run, undisturbed, size)


def test_a_run_killed_while_it_writes_its_first_file_starts_again(small_run, undisturbed):
    kill_during_a_write(small_run, undisturbed, 100)


def test_a_run_that_was_not_waited_for_leaves_no_answer_to_the_next(small_run, undisturbed):
    """A test that is interrupted, for example by its time limit, must not make the later ones fail."""
    left = small_run.arguments(small_run.folder / "left")
    small_run.zygote.start(*left, log=small_run.folder / "left.log")
    assert_resumes(small_run, small_run.folder / "next", undisturbed[0])


def kill_at_random(small_run: SmallRun, expected: tuple[bytes, str], seconds: float, seed: int) -> int:
    """Kill a run after random times until it finishes, and return the number of kills."""
    moment, out, kills = random.Random(seed), small_run.folder / f"random-{seed}", 0
    while True:
        pid = small_run.zygote.start(*small_run.arguments(out), log=small_run.folder / f"{out.name}.log")
        # Later and later, because the machine may be slower than when the duration was measured.
        time.sleep(moment.uniform(0.1, 0.9) * seconds * (1 + kills / 20))
        with contextlib.suppress(ProcessLookupError):  # it has already finished
            os.kill(pid, signal.SIGKILL)
        ended = small_run.zygote.wait()
        if ended == 0:
            break
        assert ended == -signal.SIGKILL, small_run.log(out)
        kills += 1
        assert kills < 100, "it makes no progress"
    assert_resumes(small_run, out, expected)
    return kills


def kill_at_least(small_run: SmallRun, undisturbed: Any, seconds: float, least: int) -> None:
    """Kill runs at random moments until ``least`` kills have hit a run."""
    total = 0
    for seed in range(SEED, SEED + 20 * least):
        total += (kills := kill_at_random(small_run, undisturbed[0], seconds, seed))
        print("seed", seed, "kills", kills)
        if total >= least:
            return
    pytest.fail(f"{total} of {least} kills hit a run before its end")


def test_a_run_killed_at_random_moments_resumes(small_run, undisturbed, seconds):
    kill_at_least(small_run, undisturbed, seconds, 2)


@pytest.mark.slow
def test_a_run_killed_at_forty_random_moments_resumes(small_run, undisturbed, seconds):
    kill_at_least(small_run, undisturbed, seconds, 40)
