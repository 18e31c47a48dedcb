"""A report on a part of a launch says that it is a part, and which."""

from __future__ import annotations

from pathlib import Path

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.findings import Finding
from analysis.report.nothing_finished import nothing_finished
from analysis.report.report import compose
from lvae_core.run_folder.planned_runs import write_planned_runs
from lvae_core.run_folder.study import Study

from ..conftest import WriteRun

ABSENT = [
    "toy__lstm-lm__standard__L0__seed0__0000000a",
    "toy__lstm-lm__standard__L0__seed1__0000000b",
    "toy__lstm-vae-avg__inputless__L5__seed0__0000000c",
]


def test_planned_runs_that_do_not_exist_are_counted_by_cell(tmp_path: Path, write_run: WriteRun) -> None:
    study = Study(str(tmp_path / "study"))
    write_run(dataset="toy", study="study", status="failed")
    write_planned_runs(study, [*study.run_names(), *ABSENT])
    expected = (
        f"{study.url}: 3 of the 4 runs of its last launch do not exist yet (toy standard LSTM-LM: 2, toy "
        "inputless LSTM-VAE-AVG L=5: 1); none is running; to continue, run the sweep's command again."
    )
    lines, status = nothing_finished(collect([open_source(study.url)]))
    assert (lines[1], status) == (expected, 1)
    write_run(dataset="toy", study="study")
    assert compose(collect([open_source(study.url)])).findings[0] == Finding(expected)
    write_planned_runs(study, study.run_names())
    assert "launch" not in compose(collect([open_source(study.url)])).findings[0].text


def test_what_is_missing_is_counted_once(tmp_path: Path, write_run: WriteRun) -> None:
    """The launch has planned one seed that no run has; most cells have seed 0, which one lacks."""
    study = Study(str(tmp_path / "study"))
    for system, seed in (("lstm-lm", 0), ("lstm-vae", 0), ("lstm-vae-avg", 1)):
        write_run(system, seed=seed, dataset="toy", study="study")

    def head() -> str:
        return " ".join(compose(collect([open_source(study.url)])).facts)

    assert "3 done), and 1 missing" in head()
    write_planned_runs(study, [*study.run_names(), *ABSENT])
    assert "missing" not in head()
    assert "runs: 3 (3 done)" in head()
