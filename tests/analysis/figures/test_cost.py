"""The figure of the cost, which has the unit of the table beside it."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analysis.figures import draw
from analysis.formats.summary import Wanted, _pictures
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose

from ..conftest import WriteRun


def test_the_figure_has_the_unit_of_its_table_although_it_has_fewer_cells(
    tmp_path: Path, write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the first text is drawn, the one with the most runs; hours suit the runs over the other one.
    for seed in range(5):
        first = seed < 3
        times = {"train_seconds": 60.0 if first else 7200.0, "evaluate_seconds": 0.0}
        write_run("lstm-lm", seed=seed, dataset="toy", result={**times, "tokens": 100 if first else 99})
    sources = [open_source(str(tmp_path / "study"))]
    report = compose(collect(sources))
    drawn: list[Figure] = []

    def save(figure: Figure) -> tuple[str, bytes]:
        drawn.append(figure)
        return "", b""

    monkeypatch.setattr(draw.finish, "save", save)
    _pictures(report, sources, Wanted("", ""), lambda done, total: None)
    labels = [ax.get_xlabel() for figure in drawn for ax in figure.axes]
    (table,) = report.costs
    assert table.columns[0].name == "hours per run"
    assert [label for label in labels if label.startswith("device-")] == ["device-hours per run"]
