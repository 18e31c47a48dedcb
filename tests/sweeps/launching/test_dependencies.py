"""The order of runs of one launch whose encoders start from others."""

from __future__ import annotations

import io
import re

from rich.console import Console

from lvae_core.config import RunConfig
from sweeps.launching.dependencies import Dependencies
from sweeps.launching.progress.board import Board
from sweeps.launching.progress.display import Display
from sweeps.planning.evaluation_parts import EvaluationPart
from sweeps.planning.plan import PlannedRun
from sweeps.planning.times.durations import Speed

CELL = "toy__lstm-lm__standard__L0"
NAMES = [f"{CELL}__seed{k}__0000000{k}" for k in range(4)]


def waiting_runs() -> tuple[Dependencies, Board, io.StringIO]:
    """Run 0 is the parent of 1; run 2 waits for nothing; run 3 waits for a run that is trained."""
    waits_for = ["", NAMES[0], "", "trained"]
    runs = [
        PlannedRun(config=RunConfig(), name=name, status="left", waits_for=parent)
        for name, parent in zip(NAMES, waits_for, strict=True)
    ]
    board, text = Board(Speed(), 0, 0, dict.fromkeys(NAMES, CELL)), io.StringIO()
    return Dependencies(runs, Display(board, Console(file=text, width=200)), parts=()), board, text


def test_a_run_begins_when_its_parent_is_neither_waiting_nor_running_nor_held():
    order, board, _ = waiting_runs()
    assert order.ready() == [NAMES[0], *NAMES[2:]]
    assert [name for name in NAMES if order.is_parent(name)] == NAMES[:1]
    board.start(NAMES[0])
    assert NAMES[1] not in order.ready()
    board.lose(NAMES[0])
    board.hold(NAMES[0])
    assert NAMES[1] not in order.ready()
    board.done_by_other(NAMES[0], {"train_seconds": 1.0, "evaluate_seconds": 1.0})
    assert NAMES[1] in order.ready()


def test_a_run_whose_parent_has_failed_is_dropped_with_a_line():
    order, board, text = waiting_runs()
    board.give_up(NAMES[0], {"class": "code", "message": "no"})
    assert NAMES[1] in order.ready()  # asking drops nothing
    order.drop_orphans()
    assert order.ready() == NAMES[2:]
    assert NAMES[1] not in board.waiting
    assert board.dropped == 1
    (line,) = text.getvalue().splitlines()
    assert "__seed1: not started, because " in line


def test_a_run_whose_parent_was_not_started_is_dropped_as_well():
    chain = {NAMES[0]: NAMES[1], NAMES[1]: NAMES[2], NAMES[2]: "", NAMES[3]: ""}  # children come first
    runs = [
        PlannedRun(config=RunConfig(), name=name, status="left", waits_for=parent)
        for name, parent in chain.items()
    ]
    board, text = Board(Speed(), 0, 0, dict.fromkeys(NAMES, CELL)), io.StringIO()
    order = Dependencies(runs, Display(board, Console(file=text, width=200)), parts=())
    board.give_up(NAMES[2], {"class": "diverged", "message": "no"})
    order.drop_orphans()
    assert order.ready() == [NAMES[3]]
    assert board.dropped == 2
    said = re.findall(r"__seed(\d): not started, .* starts, (.+)\n", text.getvalue())
    assert said == [("1", "has failed"), ("0", "was not started")]


def test_an_evaluation_in_parts_is_joined_when_none_of_them_waits_or_runs():
    runs = [PlannedRun(config=RunConfig(), name=name, status="evaluate") for name in NAMES[:2]]
    parts = [EvaluationPart(NAMES[0], k, 2) for k in (1, 2)]
    board = Board(Speed(), 0, 0, dict.fromkeys(NAMES[:2], CELL), again=frozenset(NAMES[:2]))
    board.divide(parts)
    order = Dependencies(runs, Display(board, Console(file=io.StringIO())), parts=parts)
    names = [part.name for part in parts]
    assert order.ready() == [NAMES[1], *names]
    for name in names:
        board.start(name)
    assert order.ready() == [NAMES[1]]
    board.report(names[0], {"phase": "done"})
    board.lose(names[1])
    assert order.ready() == [NAMES[1], names[1]]
    board.give_up(names[1], {"class": "infrastructure", "message": "lost"})
    assert order.ready() == NAMES[:2]
    assert (board.done, board.failed, board.failures) == (0, 0, {})
