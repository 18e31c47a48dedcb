from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live
from rich.text import Text

from sweeps.launching.board import Board
from sweeps.launching.display import Display, describe, draw
from sweeps.planning.durations import TRAIN_SHARE, Speed

CELL = "toy__lstm-lm__standard__L0"
NAMES = [f"{CELL}__seed{seed}__0badcafe" for seed in range(4)]


def train(fraction: float, **row: float) -> dict[str, Any]:
    return {"phase": "train", "epoch": 2, "fraction": fraction, "metrics": row or None}


DONE = {"phase": "done", "epoch": 9, "fraction": 1.0, "train_seconds": 30.0, "evaluate_seconds": 10.0}


class Clock:
    time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    return Board(Speed(), done=1, failed=0, waiting=dict.fromkeys(NAMES, CELL), now=clock)


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


def test_without_a_terminal_there_are_plain_lines(board):
    out = io.StringIO()
    board.start(NAMES[0])
    board.report(NAMES[0], train(0.1, valid_ppl=90.0, best_ppl=80.0))
    with Display(board, Console(file=out, force_terminal=False)) as display:
        display.refresh()
        display.refresh()  # too early for another
        display.say("something [bold]of[/bold] note")
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    assert [line[10:] for line in lines] == [
        board.summary(),
        "  toy__lstm-lm__standard__L0__seed0: epoch 2, valid ppl 90.00",
        "something [bold]of[/bold] note",
    ]


def test_a_terminal_shows_the_runs_and_the_best_numbers(board):
    board.start(NAMES[0])
    board.report(NAMES[0], train(0.1, valid_ppl=90.0, best_ppl=80.0))
    out = io.StringIO()
    # In colour the unfilled part of a bar is drawn, too, which leaves less room for the rest.
    console = Console(file=out, width=80, force_terminal=True, color_system="standard")
    with Live(console=console, auto_refresh=False) as live:
        live.update(draw(board), refresh=True)
    shown = Text.from_ansi(out.getvalue()).plain
    for text in (board.summary(), "toy__lstm-lm__standard__L0__seed0", "valid ppl 90.00", "80.00"):
        assert text in shown
    assert max(map(len, shown.splitlines())) <= 80
