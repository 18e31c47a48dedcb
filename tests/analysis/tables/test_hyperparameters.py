"""The table of hyperparameters names what systems share once, and what differs by system."""

from __future__ import annotations

from pathlib import Path

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from analysis.tables.hyperparameters import hyperparameter_table

from ..conftest import WriteRun


def test_common_values_stand_once_and_others_by_system(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", dropout=0.3)
    for rate in (1.0, 0.5):
        write_run("lstm-vae", 5, learning_rate=rate, dropout=0.5)
    write_run("lstm-vae", 5, status="failed", batch_size=7)
    frame = collect([open_source(str(tmp_path / "study"))]).frame
    table = hyperparameter_table(frame, "ptb")
    assert [column.name for column in table.columns] == ["all", "lstm-lm", "lstm-vae"]
    lines = {line.label: line.values for line in table.lines}
    assert lines["batch_size"] == ("32", None, None)
    assert lines["dropout"] == (None, "0.3", "0.5")
    assert lines["learning_rate"] == (None, "1", "0.5, 1")
    # The language model has no latent variable.
    assert lines["latent_size"] == ("32", None, None)
    assert hyperparameter_table(frame, "toy").lines == ()
    assert len(table.notes) == 3


def test_values_of_runs_without_a_result_are_named_below(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", dataset="toy")
    write_run("lstm-vae", dataset="toy")
    write_run("lstm-lm", dataset="done")
    for rate in (1.0, 30.0, 1e30):
        write_run("lstm-vae", dataset="toy", seed=1, status="failed", learning_rate=rate)
    write_run("lstm-vae-avg", 5, dataset="toy", status="failed")
    frame = collect([open_source(str(tmp_path / "study"))]).frame
    table = hyperparameter_table(frame, "toy")
    assert table.notes[2:] == (
        "finished runs only; values of failed or unfinished runs alone: lstm-vae: learning_rate=30, 1e+30. "
        "lstm-vae-avg: all",
    )
    assert not [note for note in hyperparameter_table(frame, "done").notes if "finished" in note]


def test_a_field_that_a_system_does_not_read_has_a_dash(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm")
    write_run("lstm-vae", 1, latent_size=16)
    write_run("lstm-vae-avg", 5, latent_size=32)
    table = compose(collect([open_source(str(tmp_path / "study"))])).hyperparameters[0]
    lines = {line.label: line.values for line in table.lines}
    assert lines["latent_size"] == (None, "–", "16", "32")
