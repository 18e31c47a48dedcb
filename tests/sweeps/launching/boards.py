"""The runs of the tests' board, what they report, and a clock that stands still."""

from __future__ import annotations

from typing import Any

CELL = "toy__lstm-lm__standard__L0"
NAMES = [f"{CELL}__seed{seed}__0badcafe" for seed in range(4)]


def train(fraction: float, **row: float) -> dict[str, Any]:
    return {"phase": "train", "epoch": 2, "fraction": fraction, "metrics": row or None}


DONE = {"phase": "done", "epoch": 9, "fraction": 1.0, "train_seconds": 30.0, "evaluate_seconds": 10.0}


class Clock:
    time = 100.0

    def __call__(self) -> float:
        return self.time
