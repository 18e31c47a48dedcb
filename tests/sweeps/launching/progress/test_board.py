"""Where each run of a launch is, what its numbers are, and when it ends."""

from __future__ import annotations

import dataclasses

import pytest

from lvae_core.systems import recipe
from sweeps.launching.progress.board import Board
from sweeps.launching.progress.display import describe
from sweeps.planning.evaluation_parts import EvaluationPart
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.planning.times.durations import TRAIN_SHARE, Counted, Speed

from ..boards import CELL, DONE, NAMES, Clock, train


def test_events_move_a_run_from_left_to_running_to_its_end(board):
    assert board.summary().startswith("20%: 1 done, 0 running, 0 failed, 4 left")
    for name in NAMES[:3]:
        board.start(name)
    assert board.summary().startswith("20%: 1 done, 3 running, 0 failed, 1 left")
    board.report(NAMES[0], DONE)
    board.report(NAMES[1], {"phase": "failed", "failure": {"class": "code", "message": "no"}})
    board.report(NAMES[2], {"phase": "stopped"})
    assert board.summary().startswith("60%: 2 done, 0 running, 1 failed, 2 left")
    assert board.failures == {NAMES[1]: {"class": "code", "message": "no"}}


def test_a_lost_run_waits_again_and_an_abandoned_one_has_failed(board):
    board.start(NAMES[0])
    board.lose(NAMES[0])
    assert (len(board.waiting), board.failed) == (4, 0)
    board.give_up(NAMES[0], {"class": "infrastructure", "message": "lost"})
    assert (len(board.waiting), board.failed) == (3, 1)


def test_the_eta_follows_the_pace_of_the_runs(board, clock):
    for name in NAMES[:2]:
        board.start(name)
    assert board.eta() is None
    clock.time += 5  # until the first report, which is no part of the pace
    for name in NAMES[:2]:
        board.report(name, train(0.0))
    clock.time += 20
    for name in NAMES[:2]:
        board.report(name, train(0.5))
    share = 0.5 * TRAIN_SHARE
    each = 20 * (1 - share) / share
    # Two are running and two wait; waiting runs count like running ones.
    assert board.eta() == pytest.approx(4 * each / 2)
    board.report(NAMES[0], DONE)
    # Now a finished run of the cell says what a waiting one takes, and how its time is divided.
    assert board.eta() == pytest.approx((each + 40 + 40) / 2)
    board.report(NAMES[1], train(0.8))
    assert board.running[NAMES[1]].share == pytest.approx(0.8 * 30 / 40)


def test_the_eta_of_a_resumed_run_uses_its_pace_since_the_resume(board, clock):
    board.start(NAMES[0])
    board.report(NAMES[0], train(0.5))
    clock.time += 10
    board.report(NAMES[0], train(0.75))
    running = board.running[NAMES[0]]
    assert running.start_share == pytest.approx(0.5 * TRAIN_SHARE)
    for name in NAMES[1:]:
        del board.waiting[name]
    left = 1 - 0.75 * TRAIN_SHARE
    assert board.eta() == pytest.approx(10 * left / (0.25 * TRAIN_SHARE))


def test_a_run_that_has_hardly_begun_is_expected_to_be_like_the_others(board, clock):
    board.speed.add(CELL, 30.0, 10.0)
    board.waiting = {NAMES[0]: CELL}
    board.start(NAMES[0])
    assert board.eta() == pytest.approx(40.0)
    board.report(NAMES[0], train(0.0))
    clock.time += 7
    board.report(NAMES[0], train(0.04))
    assert board.eta() == pytest.approx(40.0 * (1 - 0.03))
    board.report(NAMES[0], train(0.4))
    assert board.eta() == pytest.approx(7 * (1 - 0.3) / 0.3)


def test_the_board_keeps_the_best_perplexity_of_a_cell(board):
    board.start(NAMES[0])
    board.start(NAMES[1])
    board.report(NAMES[0], train(0.1, valid_ppl=90.0, best_ppl=80.0))
    board.report(NAMES[1], train(0.1, valid_ppl=95.0, best_ppl=95.0))
    assert board.best == {CELL: 80.0}


def test_variants_of_a_cell_have_a_best_perplexity_each(board):
    board.variants = {NAMES[0]: "a", NAMES[1]: "a", NAMES[2]: "b", NAMES[3]: "c"}
    # The label of a variant is shown as it is, even if a part of it looks like a seed.
    labels = {"a": "runs/my__seed3__data dropout=0.3", "b": "trial 2, seed 1"}
    board.variant_labels = labels
    board.best_not_bounds = {CELL}
    for name, ppl in zip(NAMES, (90.0, 95.0, 80.0, 70.0), strict=True):
        board.start(name)
        board.report(name, train(0.1, valid_ppl=ppl, best_ppl=ppl))
    assert board.best == {labels["a"]: 90.0, labels["b"]: 80.0, CELL: 70.0}
    assert board.best_not_bounds == {CELL, *board.best}


def test_a_run_that_resumes_takes_what_is_left_of_it(clock):
    """At 24 of 30 epochs of a run that trains for 30 s and is evaluated for 10 s, 6 s and 10 s are left."""
    config = dataclasses.replace(recipe("lstm-lm", dataset="toy"), max_epochs=30)
    runs = [
        PlannedRun(config=dataclasses.replace(config, seed=k), name=name, status="left", epochs=epochs)
        for k, (name, epochs) in enumerate(zip(NAMES, (24, 0, 30), strict=False))
    ]
    board = Board.of(Plan(runs, Speed()), runs)
    board.now = clock
    assert board.eta() is None
    board.speed.add(runs[0].variant, 30.0, 10.0)
    left = [pytest.approx(seconds) for seconds in (16.0, 40.0, 10.0)]
    assert [board.rank(run.name) for run in runs] == left
    assert [board.measured_seconds(run.name) for run in runs] == left
    assert board.eta() == pytest.approx(16 + 40 + 10)
    board.start(NAMES[0])
    assert board.eta() == pytest.approx(16 + 40 + 10), "not even before its first report"
    board.report(NAMES[0], train(0.9))
    assert board.eta() == pytest.approx(13 + 40 + 10)


def test_a_rough_time_of_a_run_that_resumes_is_scaled_by_what_is_left(board):
    board.speed.count(CELL, Counted(75.0, 25.0))
    board.speed.add_rate(CELL, 1.0)
    board.resumed_at = {NAMES[0]: ("train", 0.5)}
    board.start(NAMES[0])
    assert board.eta() == pytest.approx(100 - 37.5 + 3 * 100)


@pytest.mark.parametrize("lose", [True, False])
def test_a_lost_run_and_one_that_stops_wait_with_what_they_have_done(board, lose):
    board.speed.add(CELL, 30.0, 10.0)
    board.again = frozenset(NAMES[1:2])
    board.speed.add_evaluation(CELL, 8.0)
    for name, phase in ((NAMES[0], "train"), (NAMES[1], "evaluate")):
        board.start(name)
        board.report(name, {"phase": phase, "epoch": 2, "fraction": 0.5})
        if lose:
            board.lose(name)
        else:
            board.report(name, {"phase": "stopped"})
    assert [board.rank(name) for name in NAMES] == [pytest.approx(s) for s in (25.0, 4.0, 40.0, 40.0)]
    # Lost again before it could continue, it has as much to do.
    board.start(NAMES[0])
    board.report(NAMES[0], {"phase": "train", "epoch": 0, "fraction": 0.0})
    board.lose(NAMES[0])
    assert board.rank(NAMES[0]) == pytest.approx(25.0)


def test_evaluating_again_is_timed_by_evaluations_and_not_by_runs(board, clock):
    board.again = frozenset(NAMES[:2])
    board.speed.add(CELL, 30.0, 10.0)
    board.speed.expect_evaluation(CELL, 100.0)
    assert [board.rank(name) for name in NAMES] == [100.0, 100.0, 40.0, 40.0]
    assert [board.measured_seconds(name) for name in NAMES] == [100.0, 100.0, 40.0, 40.0]
    board.start(NAMES[0])
    assert board.eta() == pytest.approx(100.0 + 100.0 + 40.0 + 40.0)
    board.report(NAMES[0], {"phase": "evaluate", "epoch": 9, "fraction": 0.0})
    clock.time += 10
    board.report(NAMES[0], {"phase": "evaluate", "epoch": 9, "fraction": 0.25})
    running = board.running[NAMES[0]]
    assert (running.share, describe(running)) == (0.25, "evaluating")
    assert board.eta() == pytest.approx(30.0 + 100.0 + 40.0 + 40.0)
    board.report(NAMES[0], {"phase": "done", "epoch": 9, "fraction": 1.0, "evaluate_seconds": 50.0})
    board.start(NAMES[1])
    assert board.eta() == pytest.approx(50.0 + 40.0 + 40.0)
    assert board.speed.expected_seconds(CELL) == pytest.approx(40.0)
    board.running.clear()
    board.held = {NAMES[1]: CELL}
    board.done_by_other(NAMES[1], {"evaluate_seconds": 70.0})
    assert board.speed.evaluation_seconds(CELL) == pytest.approx(60.0)
    assert board.done == 3


def test_each_variant_of_a_cell_has_its_own_time(board):
    board.variants = {NAMES[0]: f"{CELL} long", NAMES[1]: f"{CELL} short"}
    board.waiting = dict.fromkeys(NAMES[:2], CELL)
    board.speed.add(f"{CELL} long", 90.0, 10.0)
    assert [board.measured_seconds(name) for name in NAMES[:2]] == [100.0, None]
    board.start(NAMES[1])
    board.report(NAMES[1], DONE)
    assert board.speed.measured_seconds(f"{CELL} short") == 40.0
    assert board.eta() == pytest.approx(100.0)


def test_parts_of_an_evaluation_share_its_time_and_count_as_no_runs(board, clock):
    board.again = frozenset(NAMES)
    board.speed.add_evaluation(CELL, 80.0)
    board.divide(EvaluationPart(NAMES[0], k, 4) for k in range(1, 5))
    parts = [f"{NAMES[0]} part {k}/4" for k in range(1, 5)]
    assert [board.rank(name) for name in (NAMES[0], parts[0], NAMES[1])] == [0.0, 20.0, 80.0]
    assert board.label(parts[1]) == f"{CELL}__seed0 part 2/4"
    board.slots = 4
    assert board.eta() == pytest.approx((4 * 20 + 3 * 80) / 4)
    for name in parts:
        board.start(name)
    board.report(parts[0], {"phase": "done"})
    board.report(parts[1], {"phase": "failed", "failure": {"class": "code", "message": "no"}})
    assert (board.done, board.failed, len(board.running), board.failures) == (1, 0, 2, {})
    assert board.share() == pytest.approx(3 / 9)


def test_labels_that_a_search_adds_later_are_shown_after_a_launch_without_parts(board):
    board.labels = labels = {NAMES[0]: "trial 0"}
    board.divide([])
    labels[NAMES[1]] = "trial 1"
    assert [board.label(name) for name in NAMES[:2]] == ["trial 0", "trial 1"]


SECONDS = {
    "toy__lstm-vae-avg__standard__L10": 300.0,
    "toy__lstm-vae__standard__L5": 100.0,
    "toy__lstm-lm__standard__L0": 10.0,
}


class Simulated:
    """A launch on two slots, longest run first, each run slow in its first three seconds."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        cells = [cell for cell in SECONDS for _ in range(5)]
        self.waiting = {f"{cell}__seed{k}__0badcafe": cell for k, cell in enumerate(cells)}
        self.board = Board(Speed(), 0, 0, dict(self.waiting), slots=2, now=clock)
        for cell, seconds in SECONDS.items():
            self.board.speed.count(cell, Counted(0.9e9 * seconds, 0.1e9 * seconds))
        self.begun: dict[str, float] = {}

    def second(self) -> None:
        """Let a second pass in which every run under way reports."""
        board, self.clock.time = self.board, self.clock.time + 1
        for name in list(board.running):
            seconds = SECONDS[board.running[name].cell]
            passed = self.clock.time - self.begun[name]
            share = max(0.02 * min(passed, 3.0), passed - 3.0) / seconds
            if share >= 1:
                times = {"train_seconds": 0.9 * seconds, "evaluate_seconds": 0.1 * seconds}
                board.report(name, {"phase": "done"} | times)
            elif share < 0.9:
                board.report(name, train(share / 0.9))
            else:
                board.report(name, {"phase": "evaluate", "epoch": 9, "fraction": (share - 0.9) / 0.1})
        while board.waiting and len(board.running) < 2:
            name = next(iter(board.waiting))
            board.start(name)
            self.begun[name] = self.clock.time


def test_the_eta_is_unknown_at_first_and_then_never_far_from_the_truth(clock):
    launch = Simulated(clock)
    etas = []
    launch.second()
    while launch.board.running:
        launch.second()
        if launch.board.running:
            etas.append((clock.time, launch.board.eta()))
    ended = clock.time
    known = [(time, eta) for time, eta in etas if eta is not None]
    assert known[0][0] - etas[0][0] <= 12, "unknown only in the first seconds"
    ratios = [eta / (ended - time) for time, eta in known if ended - time > 60]
    assert min(ratios) > 0.5
    assert max(ratios) < 2.0


def test_the_remaining_time_is_said_to_be_an_estimate(board, clock):
    board.start(NAMES[0])
    board.report(NAMES[0], train(0.0))
    clock.time += 10
    board.report(NAMES[0], train(0.5))
    # 40% took 10 s, and the waiting runs count like the one under way.
    assert board.summary().endswith(" elapsed, about 1 min to go at the present pace")
    board.report(NAMES[0], DONE)
    board.start(NAMES[1])
    board.report(NAMES[1], train(0.0))
    clock.time += 600
    assert board.summary().endswith(" elapsed, about 2 min to go at the present pace")


def test_the_remaining_time_counts_rounds_to_come_and_the_start_of_their_processes(board, clock):
    board.waiting = {NAMES[0]: CELL}
    board.slots, board.more = 2, True
    board.speed.add(CELL, 30.0, 10.0)
    board.later, board.later_launches = [CELL] * 4, [3, 1]
    board.launch()
    clock.time += 12
    board.start(NAMES[0])
    clock.time += 3
    assert board.eta() is None, "nothing is known of the start of processes"
    board.report(NAMES[0], train(0.0))
    # 40 s are left here; then three runs on two slots and one, each after 15 s.
    assert board.eta() == pytest.approx(40 + (15 + 2 * 40) + (15 + 40))
    assert "about 3 min 10 s to go for the trials" in board.summary()
    board.later_launches = None
    assert board.summary().endswith(", – to go for the trials")
    board.later, board.later_launches = [], []
    assert board.eta() == pytest.approx(40)


def test_saved_work_counts_and_a_stop_shows_no_remaining_time(board, clock):
    for name in NAMES[:2]:
        board.start(name)
        board.report(name, train(0.5))
    share = board.share()
    assert share == pytest.approx((1 + 2 * 0.5 * TRAIN_SHARE) / 5)
    board.stopping = True
    assert board.summary().endswith(" elapsed, stopping")
    board.report(NAMES[0], {"phase": "stopped"})
    assert board.share() == pytest.approx(share)
    assert board.summary().endswith(" elapsed, stopping")
    board.report(NAMES[1], {"phase": "stopped"})
    assert board.share() == pytest.approx(share)
    assert board.summary().endswith(" elapsed")
    board.start(NAMES[1])
    assert board.share() == pytest.approx(share), "before its first report, too"


def test_the_elapsed_time_is_that_of_the_launch_until_its_end(board, clock):
    clock.time += 60
    board.start(NAMES[0])
    clock.time += 3600
    assert "; 1 h 01 min elapsed, " in board.summary()
    board.report(NAMES[0], DONE)
    clock.time += 120
    assert board.summary().endswith("; 1 h 03 min elapsed")


def test_the_time_between_training_and_evaluation_follows_the_counted_operations(clock):
    speed = Speed()
    speed.count(CELL, Counted(25.0, 75.0))
    assert speed.done_share(CELL, "train", 0.5) == pytest.approx(0.125)
    assert speed.done_share(CELL, "evaluate", 0.5) == pytest.approx(0.625)
    speed.add(CELL, 30.0, 10.0)
    assert speed.done_share(CELL, "train", 0.5) == pytest.approx(0.375)
