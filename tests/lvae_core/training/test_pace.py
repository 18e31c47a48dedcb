"""The mean loss of the epoch under way, as progress has it."""

from __future__ import annotations

import json

import pytest

from lvae_core.run_folder.study import Study
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute

from .. import tiny


def test_at_the_end_of_an_epoch_it_is_the_mean_over_the_epochs_steps(tmp_path):
    corpus = tiny.corpus(train=24, valid=6)
    config = tiny.config("lstm-lm", batch_size=4, max_epochs=2)
    run = execute(config, corpus, Study(str(tmp_path)).run("a"), Runtime(progress_seconds=0))
    found = [progress.pace.loss for progress in run if progress.metrics]
    rows = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert found == [pytest.approx(row["train_nll"]) for row in rows]
