"""Learning curves of a summary: where they mark the end of KL annealing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from analysis.figures.pictures import Pictures
from analysis.formats.summary import Wanted, _pictures
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose

from ..conftest import WriteRun


def test_the_end_of_annealing_follows_the_schedule_of_each_run(
    tmp_path: Path, write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every run has 99 steps in 4 epochs, and kl_anneal_epochs of 3."""
    cases = {
        0: ({"system": "lstm-lm"}, 0),
        1: ({}, 3),
        2: ({"kl_schedule": "cyclical"}, 0),
        3: ({"kl_anneal_steps": 198}, 8),
    }
    marked = {
        write_run(num_samples=L, dataset="toy", kl_anneal_epochs=3.0, **fields).name: end
        for L, (fields, end) in cases.items()
    }
    sources = [open_source(str(tmp_path / "study"))]
    given: dict[str, float] = {}

    def draw_all(*arguments: Mapping[str, float], **options: object) -> Pictures:
        given.update(arguments[3])
        return Pictures((), ())

    monkeypatch.setattr("analysis.figures.draw.draw_all", draw_all)
    _pictures(compose(collect(sources)), sources, Wanted("", ""), lambda done, total: None)
    assert given == marked
