"""A failed run is listed with the values that tell it from others; its name has only their hash."""

from __future__ import annotations

from pathlib import Path

from analysis.formats.markdown import markdown
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose

from ..conftest import WriteRun

WHY = "diverged, attempt 1: the loss is nan in epoch 2"


def test_failed_runs_of_axes_are_listed_with_their_values(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", dataset="toy", status="failed")
    names = {}
    for rate in (1.0, 1e30):
        for dropout in (0.1, 0.5):
            status = "failed" if rate > 1 else "done"
            folder = write_run(dataset="toy", status=status, learning_rate=rate, dropout=dropout)
            names[folder.name] = f"learning_rate={rate:g}, dropout={dropout}"
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    found = dict(report.failures)
    assert len(found) == 3
    for name, why in found.items():
        # The language model has one variant: nothing tells it from another.
        if "lstm-lm" in name:
            assert why == WHY
        else:
            fields, _, rest = why.partition(": ")
            assert (sorted(fields.split(", ")), rest) == (sorted(names[name].split(", ")), WHY)
            assert f"- `{name}`: `{why}`\n" in markdown(report)
