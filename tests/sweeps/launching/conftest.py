"""A board with four runs that wait and a fifth that is done."""

from __future__ import annotations

import pytest

from sweeps.launching.progress.board import Board
from sweeps.planning.times.durations import Speed

from .boards import CELL, NAMES, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    return Board(Speed(), done=1, failed=0, waiting=dict.fromkeys(NAMES, CELL), now=clock)
