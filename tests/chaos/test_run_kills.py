"""A run killed anywhere and started again ends with the same bits: real processes, real signals.

The places are: before every single operation on files (opening, renaming, removing, linking, listing:
between them lie steps, evaluation, and the gap between a checkpoint and its row of metrics), in the middle
of writing a file, and at random moments. The slow tests visit all places, the fast ones a random few.
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

from .place import FILES, SEED, Place, outcome

FEW = 8


@pytest.fixture(scope="module")
def whole(place) -> tuple[tuple[bytes, str], int]:
    """The outcome of the undisturbed run, and its operations on files."""
    out = place.folder / "whole"
    assert place.run(out, count=str(place.folder / "count")) == 0, place.log(out)
    return outcome(out), int((place.folder / "count").read_text())


@pytest.fixture(scope="module")
def seconds(place, whole) -> float:
    """What a run takes; of a few, for the first ones find no file in memory yet."""
    times = []
    for number in range(3):
        since = time.monotonic()
        assert place.run(place.folder / f"timed-{number}") == 0
        times.append(time.monotonic() - since)
    return min(times)


def assert_goes_on(place: Place, out: Path, expected: tuple[bytes, str]) -> None:
    """The same command ends the run with the same bits, and leaves nothing but what was set aside."""
    assert place.run(out) == 0, place.log(out)
    assert outcome(out) == expected, place.log(out)
    assert "Traceback" not in place.log(out)
    assert {name for name in os.listdir(out) if ".partial-" not in name} <= FILES
    shutil.rmtree(out)


def kill_before(place: Place, whole: Any, number: int) -> None:
    out = place.folder / f"operation-{number}"
    assert place.run(out, kill_at=number) == -signal.SIGKILL
    assert_goes_on(place, out, whole[0])


def test_killed_before_a_few_operations_on_files(place, whole):
    chosen = random.Random(SEED).sample(range(1, whole[1] + 1), FEW)
    print("operations", chosen, "of", whole[1])
    for number in chosen:
        kill_before(place, whole, number)


@pytest.mark.slow
def test_killed_before_every_operation_on_files(place, whole):
    print("operations 1 to", whole[1])
    for number in range(1, whole[1] + 1):
        kill_before(place, whole, number)


def kill_in_the_middle_of_a_write(place: Place, whole: Any, size: int) -> None:
    out = place.folder / f"size-{size}"
    assert place.run(out, file_size=size) == -signal.SIGXFSZ
    partial = [name for name in os.listdir(out) if name.startswith(".")]
    assert len(partial) == 1
    assert (out / partial[0]).stat().st_size == size, "it was in the middle of it"
    assert place.run(out) == 0, place.log(out)
    assert f"{partial[0]}: left half-written; set aside as " in place.log(out)
    (aside,) = (name for name in os.listdir(out) if ".partial-" in name)
    assert (out / aside).stat().st_size == size
    assert_goes_on(place, out, whole[0])


def test_killed_in_the_middle_of_writing_a_checkpoint(place, whole):
    checkpoint = (place.folder / "whole" / "checkpoint.pt").stat().st_size
    sizes = [2000, random.Random(SEED).randrange(2000, checkpoint), checkpoint - 1]
    print("sizes", sizes)
    for size in sizes:
        kill_in_the_middle_of_a_write(place, whole, size)


def test_killed_in_the_middle_of_writing_its_first_file(place, whole):
    kill_in_the_middle_of_a_write(place, whole, 100)


def kill_at_random(place: Place, expected: tuple[bytes, str], seconds: float, seed: int) -> int:
    """Kill again and again after random times until the run comes to its end; the number of kills."""
    moment, out, kills = random.Random(seed), place.folder / f"random-{seed}", 0
    while True:
        pid = place.zygote.start(*place.arguments(out), log=place.folder / f"{out.name}.log")
        time.sleep(moment.uniform(0.1, 0.9) * seconds)
        with contextlib.suppress(ProcessLookupError):  # it has come to its end by itself
            os.kill(pid, signal.SIGKILL)
        ended = place.zygote.wait()
        if ended == 0:
            break
        assert ended == -signal.SIGKILL, place.log(out)
        kills += 1
        assert kills < 100, "it does not get on"
    assert_goes_on(place, out, expected)
    return kills


def kill_so_often(place: Place, whole: Any, seconds: float, least: int) -> None:
    """Runs that are killed at random moments, until so many kills have hit."""
    total = 0
    for seed in range(SEED, SEED + 20 * least):
        total += (kills := kill_at_random(place, whole[0], seconds, seed))
        print("seed", seed, "kills", kills)
        if total >= least:
            return
    pytest.fail(f"{total} of {least} kills hit a run that was under way")


def test_killed_at_random_moments(place, whole, seconds):
    kill_so_often(place, whole, seconds, 2)


@pytest.mark.slow
def test_killed_at_thirty_random_moments_and_more(place, whole, seconds):
    kill_so_often(place, whole, seconds, 40)
