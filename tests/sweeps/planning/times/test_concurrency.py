"""The number of runs at once that a plan is worth, given the known times of its cells."""

from __future__ import annotations

import pytest

from sweeps.planning.times.durations import Counted, Speed
from sweeps.planning.times.list_scheduling import concurrency

A, B = "toy__a__standard__L1", "toy__b__standard__L1"
CELLS = {"r0": A, "r1": B, "r2": B, "r3": B}


def speed(**seconds: float) -> Speed:
    known = Speed()
    for cell, value in seconds.items():
        known.add_probe(f"toy__{cell}__standard__L1", value, 0.0)
    return known


@pytest.mark.parametrize(
    ("known", "limit", "at_once"),
    [
        (speed(a=100.0, b=1.0), 0, 1),  # 103 s in one slot, 100 in two
        (speed(a=100.0, b=30.0), 0, 2),  # alongside the long one, the others take 90
        (speed(a=100.0, b=30.0), 1, 1),  # the user allows less
        (speed(a=100.0, b=30.0), 9, 2),
        (speed(a=5.0, b=5.0), 0, 0),  # each slot counts
        (speed(a=5.0, b=5.0), 3, 3),
        (speed(a=100.0), 0, 0),  # nothing is known of the others
        (speed(), 2, 2),
    ],
)
def test_few_long_runs_need_few_slots(known, limit, at_once):
    assert concurrency([known.measured_seconds(cell) for cell in CELLS.values()], limit) == at_once


def test_times_known_from_operations_alone_do_not_limit_concurrency():
    known = speed(a=100.0)
    for cell, operations in {A: 100.0, B: 1.0}.items():
        known.count(cell, Counted(operations, 0.0))
    assert known.basis(B) == "operations"
    assert known.expected_seconds(B) == pytest.approx(1.0)
    assert concurrency([known.measured_seconds(cell) for cell in CELLS.values()], 0) == 0
