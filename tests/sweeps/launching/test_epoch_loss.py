"""The mean loss of an epoch so far, from the means between its reports."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lvae_core.run_folder.study import Study
from lvae_core.training.pace import Pace
from lvae_core.training.runtime import Progress, Runtime
from lvae_core.training.trainer import execute
from sweeps.launching.epoch_loss import EpochLoss

from ...lvae_core import tiny


def report(step: int, loss: float | None, *, epoch: int = 0, row: dict[str, Any] | None = None) -> Progress:
    pace = Pace(tokens_per_second=1.0, loss=loss, learning_rate=1.0, kl_weight=None) if loss else None
    return Progress(phase="train", epoch=epoch, step=step, fraction=0.0, pace=pace, metrics=row)


def test_the_mean_weighs_the_reports_of_an_epoch_by_their_steps_and_begins_anew_with_the_next():
    loss = EpochLoss()
    means = []
    for each in (
        report(1, 262.0),
        report(3, 80.0),
        report(3, 80.0),  # no step since
        report(4, 60.0, epoch=1, row={"epoch": 1}),  # the end of the first epoch
        report(4, 60.0, epoch=1),
        report(6, 50.0, epoch=1),
    ):
        loss.add(each)
        means.append(loss.mean)
    first = [262.0, 422 / 3, 422 / 3, 482 / 4, 482 / 4]
    assert means == [pytest.approx(mean) for mean in (*first, 50.0)]


def test_a_report_without_a_step_adds_nothing():
    loss = EpochLoss()
    loss.add(report(0, None))
    loss.add(report(7, 90.0))
    assert loss.mean == 90.0


def test_at_the_end_of_an_epoch_it_is_the_mean_over_the_epochs_steps(tmp_path):
    corpus = tiny.corpus(train=24, valid=6)
    config = tiny.config("lstm-lm", batch_size=4, max_epochs=2)
    loss, found = EpochLoss(), []
    for progress in execute(config, corpus, Study(str(tmp_path)).run("a"), Runtime(progress_seconds=0)):
        loss.add(progress)
        if progress.metrics:
            found.append(loss.mean)
    rows = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert found == [pytest.approx(row["train_nll"]) for row in rows]
