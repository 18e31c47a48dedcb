from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from sweeps.planning.times.durations import (
    Counted,
    Speed,
    SteadyEnd,
    format_duration,
    projected_seconds,
    remaining_seconds,
)

LM, VAE, OTHER = (f"toy__{s}__standard__L{n}" for s, n in (("lm", 0), ("vae", 1), ("avg", 5)))


def test_speed_is_the_mean_over_the_runs_of_the_variant_and_of_no_other():
    speed = Speed()
    assert speed.expected_seconds(LM) is None
    speed.add(LM, 10.0, 2.0)
    speed.add(LM, 20.0, 4.0)
    speed.add(VAE, 60.0, 0.0)
    assert speed.expected_seconds(LM) == pytest.approx((12 + 24) / 2)
    assert speed.expected_seconds(VAE) == pytest.approx(60)
    assert speed.expected_seconds(OTHER) is None  # without counted operations, nothing is comparable


def lines_executed(function: Callable[[], object]) -> int:
    """How many lines of Python a call executes."""
    executed = 0

    def trace(frame, event, argument):
        nonlocal executed
        executed += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return executed


def test_an_expected_time_costs_no_more_the_more_runs_have_finished():
    costs = []
    for runs in (10, 2000):
        speed = Speed()
        for _ in range(runs):
            speed.add(LM, 10.0, 2.0)
            speed.add_evaluation(LM, 3.0)
        assert (speed.expected_seconds(LM), speed.evaluation_seconds(LM)) == (12.0, 3.0)
        costs.append(
            lines_executed(lambda speed=speed: (speed.expected_seconds(LM), speed.evaluation_seconds(LM)))
        )
    assert costs[0] == costs[1] < 100


def test_training_and_evaluation_are_scaled_each_by_its_own_operations():
    speed = Speed()
    speed.count(LM, Counted(100.0, 10.0, ("small",)))
    speed.count(VAE, Counted(300.0, 1000.0, ("small",)))
    speed.count(OTHER, Counted(300.0, 1000.0, ("large",)))
    speed.add(LM, 10.0, 2.0)
    assert speed.expected_seconds(VAE) == pytest.approx(3 * 10 + 100 * 2)
    assert speed.done_share(VAE, "evaluate", 0.0) == pytest.approx(300 / 1300)
    assert [speed.basis(v) for v in (LM, VAE, OTHER)] == ["runs", "operations", "sizes"]
    assert [speed.is_rough(v) for v in (LM, VAE, OTHER)] == [False, False, True]
    speed.add(VAE, 600.0, 200.0)
    assert speed.expected_seconds(OTHER) == pytest.approx(300 * (0.1 + 2.0) / 2 + 1000 * 0.2)


def test_until_a_run_is_measured_one_of_many_small_updates_ranks_before_one_of_few():
    """Measured in the demo: 48 s for up to 5,208 updates of 9 Mflop, 13 s for 601 of 272 Mflop."""
    speed = Speed()
    speed.count(LM, Counted(4.7e10, 4.7e9, (), 5208.0))
    speed.count(VAE, Counted(1.64e11, 1.68e10, (), 601.0))
    assert speed.rank(LM) > speed.rank(VAE)
    # A large model's time is that of its products.
    speed.count(OTHER, Counted(1e14, 1e12, (), 601.0))
    assert speed.rank(OTHER) == pytest.approx(1.01e14, rel=1e-2)
    for variant, seconds in ((LM, 48.0), (VAE, 13.0)):
        speed.add(variant, seconds, 0.0)
        assert speed.rank(variant) == seconds


def test_a_share_weighs_the_phases_by_their_measured_time():
    speed = Speed()
    assert speed.done_share(LM, "train", 1.0) == speed.done_share(LM, "evaluate", 0.0)
    speed.add(LM, 30.0, 10.0)
    assert speed.done_share(LM, "train", 0.5) == pytest.approx(15 / 40)
    assert speed.done_share(LM, "evaluate", 0.5) == pytest.approx(35 / 40)
    assert speed.done_share(LM, "evaluate", 1.0) == 1.0


def test_a_run_is_projected_by_its_own_pace_since_it_was_resumed():
    assert projected_seconds(30.0, 0.0, 0.25) == pytest.approx(90.0)
    # Resumed at a half: a quarter of the whole took 30 s, and a quarter is left.
    assert projected_seconds(30.0, 0.5, 0.75) == pytest.approx(30.0)
    assert projected_seconds(30.0, 0.5, 0.5) is None


@pytest.mark.parametrize(
    ("waiting", "running", "slots", "seconds"),
    [
        ([], [], 4, 0.0),
        ([10.0, 10.0], [10.0, 10.0], 2, 20.0),
        ([10.0, None], [None, 20.0], 1, 60.0),  # unknown counts like the mean, 15
        ([None, None], [], 2, None),
        ([1.0], [100.0], 8, 100.0),  # never less than the longest
        ([100.0], [1.0], 8, 100.0),  # nor than the longest that waits
        ([8.0], [], 0, 8.0),
    ],
)
def test_the_remaining_time_is_the_work_over_the_slots_or_the_longest_run(waiting, running, slots, seconds):
    left = remaining_seconds(waiting, running, slots)
    assert left is None if seconds is None else left == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (62.0, "1 min 02 s"),
        (102.0, "1 min 42 s"),
        (599.4, "9 min 59 s"),
        (599.6, "10 min"),
        (3599.0, "1 h 00 min"),
        (2 * 3600 + 5 * 60, "2 h 05 min"),
        (76 * 3600, "3 d 04 h"),
    ],
)
def test_durations_are_formatted_for_reading(seconds, text):
    assert format_duration(seconds) == text


def test_an_estimate_that_jumps_is_followed_slowly_and_one_that_lasts_is_reached():
    now = [0.0]
    end = SteadyEnd(lambda: now[0])
    assert end.seconds_left(660.0) == 660.0
    now[0] = 10.0
    jumped = end.seconds_left(1020.0)
    assert 650.0 < jumped < 720.0
    assert end.seconds_left(1020.0) == jumped, "a second look at the same time changes nothing"
    for now[0] in range(20, 400, 10):  # the end stays where it is
        last = end.seconds_left(1030.0 - now[0])
    assert last == pytest.approx(640.0, rel=0.01)
    now[0] = 4000.0
    assert end.seconds_left(50.0) == pytest.approx(50.0)
    assert end.seconds_left(None) is None
    assert end.seconds_left(70.0) == 70.0, "after an unknown end a new estimate counts whole"


def test_a_rest_that_turns_out_short_is_shown_before_it_is_over():
    """As if the first, long runs had stood for the many short ones at the end."""
    now = [0.0]
    end = SteadyEnd(lambda: now[0])
    end.seconds_left(160.0)
    for now[0] in (2.0, 4.0, 6.0, 8.0, 10.0):
        shown = end.seconds_left(22.0 - now[0])
    assert shown < 3 * 12.0


def test_a_short_rest_is_followed_faster_than_a_long_one():
    now = [0.0]
    for first, least in ((20.0, 0.8), (7200.0, 0.1)):
        end = SteadyEnd(lambda: now[0])
        end.seconds_left(first)
        now[0] += 10.0
        followed = (end.seconds_left(2 * first) - (first - 10)) / (first + 10)
        assert followed > least
        assert (followed < 0.3) == (first > 1000)
