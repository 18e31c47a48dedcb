"""Schedules against ones drawn by hand, exhaustive search, and bounds that hold for every order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.planning.times.list_scheduling import (
    ScheduledRun,
    longest_first,
    lower_bound,
    makespan,
    schedule,
    slots_on,
    useful_slots,
)

RUNS = st.lists(
    st.builds(ScheduledRun, st.integers(1, 50).map(float), st.sampled_from([0.25, 1 / 3, 0.5, 1.0])),
    min_size=1,
    max_size=12,
)


def test_a_schedule_drawn_by_hand():
    # Two devices: 3 | 2 2 would be best; in the order 2 2 3 the last starts at 2 and ends at 5.
    in_order = [ScheduledRun(2.0), ScheduledRun(2.0), ScheduledRun(3.0)]
    assert schedule(in_order, 2) == (5.0, 5.0 + 2.0)
    longest = longest_first(in_order, lambda run: run.seconds)
    assert schedule(longest, 2) == (4.0, 3.0 + 4.0)
    assert schedule([], 3) == (0.0, 0.0)


def test_shares_of_a_device_fill_it_before_the_next_is_begun():
    assert schedule([ScheduledRun(10.0, 1 / 3)] * 3, 2) == (10.0, 10.0)
    assert schedule([ScheduledRun(10.0, 1 / 3)] * 4, 1) == (20.0, 20.0)
    # The whole device waits until no third is taken any more; the last third waits for it.
    runs = [(4.0, 1 / 3), (9.0, 1 / 3), (5.0, 1.0), (1.0, 1 / 3)]
    assert schedule([ScheduledRun(*run) for run in runs], 1).makespan == 15.0
    # One that takes two devices.
    assert schedule([ScheduledRun(3.0), ScheduledRun(2.0, 2.0), ScheduledRun(3.0)], 2) == (8.0, 8.0 + 5.0)


def test_no_more_runs_are_under_way_than_the_limit_allows():
    runs = [ScheduledRun(5.0), ScheduledRun(4.0), ScheduledRun(3.0), ScheduledRun(1.0, 0.5)]
    # Two at once: 5 1 | 4 3, on two of the eight devices.
    assert schedule(runs, 8, at_once=2) == (7.0, 6.0 + 7.0)
    assert lower_bound(runs, 8, at_once=2) == 13.0 / 2
    # One at once: one device does them all.
    assert schedule(runs, 8, at_once=1) == (13.0, 13.0)
    assert lower_bound(runs, 8, at_once=1) == 13.0
    assert schedule(runs, 2, at_once=9) == schedule(runs, 2) == (7.0, 6.0 + 7.0)
    assert lower_bound(runs, 2, at_once=9) == 12.5 / 2


def test_devices_that_no_run_can_be_on_cost_no_memory():
    runs = [ScheduledRun(5.0), ScheduledRun(4.0, 3.0), ScheduledRun(3.0, 0.5), ScheduledRun(3.0, 0.5)]
    assert schedule(runs, 10**15) == (5.0, 5.0 + 3 * 4.0 + 3.0)
    assert schedule(runs, 10**15, at_once=1) == (15.0, 15.0 + 9.0 + 9.0)


@pytest.mark.parametrize(
    ("devices", "share", "slots"),
    [
        (4, 0.6, 4),
        (4, 0.3, 12),
        (2, 0.4, 4),
        (4, 0.25, 16),
        (3, 1 / 3, 9),
        (2, 0.3333, 6),
        (4, 1.0, 4),
        (8, 3.0, 2),
        (1, 2.0, 0),
        (0.0, 0.5, 0),
    ],
)
def test_a_run_fits_on_one_device_or_on_whole_ones(devices, share, slots):
    assert slots_on(devices, share) == slots


@given(st.integers(1, 5), st.sampled_from([0.1, 0.2, 0.3, 1 / 3, 0.35, 0.4, 0.5, 0.6, 0.9, 1.0, 2.0, 3.0]))
def test_as_many_runs_as_slots_end_in_one_round_and_one_more_in_two(devices, share):
    slots = slots_on(devices, share)
    if slots:
        assert schedule([ScheduledRun(1.0, share)] * slots, devices).makespan == 1.0
        assert schedule([ScheduledRun(1.0, share)] * (slots + 1), devices).makespan == 2.0
    else:
        assert devices < share


@given(RUNS, st.integers(1, 4), st.integers(0, 3))
def test_no_order_beats_the_bound_and_all_work_is_done(runs, devices, at_once):
    found = schedule(runs, devices, at_once)
    assert found.makespan >= lower_bound(runs, devices, at_once) - 1e-6
    assert found.makespan <= sum(run.seconds for run in runs) + 1e-6
    assert (
        sum(run.device_seconds for run in runs) - 1e-6 <= found.released <= devices * found.makespan + 1e-6
    )


@given(st.lists(st.integers(1, 9).map(float), min_size=1, max_size=6), st.integers(2, 3))
def test_longest_first_is_within_four_thirds_of_the_best(seconds, devices):
    """Graham (1969): 4/3 - 1/(3 m); the best by trying every assignment."""
    loads = (
        max(
            sum(s for s, d in zip(seconds, places, strict=True) if d == device) for device in range(devices)
        )
        for places in itertools.product(range(devices), repeat=len(seconds))
    )
    order = longest_first([ScheduledRun(s) for s in seconds], lambda run: run.seconds)
    assert schedule(order, devices).makespan <= (4 / 3 - 1 / (3 * devices)) * min(loads) + 1e-9


def test_runs_of_unknown_time_go_first_and_equals_keep_their_order():
    times = {"a": 1.0, "b": 5.0, "c": None, "d": 5.0}
    assert longest_first(times, times.__getitem__) == ["c", "b", "d", "a"]


@pytest.mark.parametrize(
    ("seconds", "slots"),
    [
        ([], 0),
        ([7.0] * 12, 12),  # nothing but all at once ends at once
        ([100.0, *[1.0] * 50], 2),  # the small ones run alongside the long one
        ([60.0, 30.0, 30.0, 30.0, 30.0], 3),
        ([3.0], 1),
    ],
)
def test_no_more_slots_than_shorten_the_plan(seconds, slots):
    assert useful_slots([ScheduledRun(s) for s in seconds]) == slots


def test_ten_thousand_runs_are_scheduled_quickly():
    runs = [ScheduledRun(1000.0 - k / 10) for k in range(10_000)]
    slots = useful_slots(runs)
    total, longest = sum(run.seconds for run in runs), 1000.0
    assert total / longest / 1.05 <= slots <= total / longest
    assert schedule(runs[:300], 40).makespan == pytest.approx(makespan(runs[:300], 40))
