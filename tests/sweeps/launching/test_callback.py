"""Messages for phases in which a user sees nothing happen."""

from types import SimpleNamespace

import pytest

from lvae_core.command import Interrupt
from sweeps.launching.board import Board
from sweeps.launching.callback import MANY, LaunchCallback
from sweeps.planning.durations import Speed


class Said(list):
    """A display that collects its lines."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def say(self, line: str) -> None:
        self.append(line)

    def refresh(self) -> None:
        pass


@pytest.mark.parametrize(("trials", "count"), [(MANY, 1), (MANY - 1, 0)])
def test_the_message_about_final_records_is_printed_once_at_the_end_of_a_large_sweep(trials, count):
    board = Board(Speed(), done=0, failed=0, waiting={"a": "toy__lstm-vae__standard__L1"})
    display = Said(board)
    watch = LaunchCallback(
        display,
        Interrupt(),
        SimpleNamespace(look=lambda: None),
        {},
        set(),
        {"a": None},
        SimpleNamespace(check=lambda: None),
    )

    def step() -> list[str]:
        watch.on_step_end(0, [None] * trials)
        return [line for line in display if "writing its final records" in line]

    assert step() == []
    board.start("a")
    assert step() == []
    board.report("a", {"phase": "done", "train_seconds": 1.0, "evaluate_seconds": 1.0})
    assert len(step()) == count
    assert len(step()) == count
