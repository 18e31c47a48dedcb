"""Reports on the studies of a search: trials keep their names, and are compared with the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.formats.markdown import markdown
from analysis.formats.summary import write_tables
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import Report, compose
from analysis.tables.elements.shown_variants import MOST_VARIANTS
from lvae_core.errors import InputError
from lvae_core.run_folder.digests import seal
from lvae_core.systems import recipe

from ..conftest import WriteRun

POINTS: list[dict[str, Any]] = [
    {"learning_rate": 2.0, "latent_size": 8},
    {"learning_rate": 0.25, "latent_size": 4},
]


def write_record(tmp_path: Path, **parts: Any) -> None:
    (tmp_path / "s").mkdir(exist_ok=True)
    record = {"search": {}, "rounds": [[p] for p in POINTS], **parts}
    (tmp_path / "s" / ".search.json").write_bytes(seal(record))


def report(tmp_path: Path, study: str) -> Report:
    return compose(collect([open_source(str(tmp_path / study))]))


def names(composed: Report) -> list[str]:
    return [line.label.strip() for line in composed.table2[0].lines if any(line.values)]


def test_trials_keep_their_names_and_are_not_compared_by_test_numbers(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for point in POINTS:
        write_run(study="s", dataset="toy", **point)
    write_record(tmp_path)
    composed = report(tmp_path, "s")
    assert names(composed) == ["trial 0", "trial 1"]
    assert "trial 1: latent_size=4, learning_rate=0.25" in composed.table2[0].notes
    assert composed.comparisons == composed.examples == ()
    (remark,) = composed.remarks
    assert remark.startswith("s: these runs are the 2 trials of a search")
    assert "has not used their test estimates" in markdown(composed)


@pytest.mark.parametrize(("more", "advised"), [({}, False), ({"khat_above": 0.4}, True)])
def test_trials_with_few_draws_get_no_advice_that_the_search_would_override(
    tmp_path: Path, write_run: WriteRun, more: dict[str, float], advised: bool
) -> None:
    drawn = {"value": 99.0, "ess": 1.5, **more}
    for point in POINTS:
        write_run(study="s", dataset="toy", estimates={"nll_elbo": 100.0, "nll_iw": drawn}, **point)
    write_record(tmp_path)
    (note,) = [note for note in report(tmp_path, "s").bounds[0].marks if note.startswith("unreliable")]
    assert note.endswith("--set iw_samples=5000") == advised
    assert note.endswith("tested with few importance samples") != advised


def test_a_single_trial_is_called_one(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(study="s", dataset="toy", **POINTS[0])
    (tmp_path / "s" / ".search.json").write_bytes(seal({"search": {}, "rounds": [POINTS[:1]]}))
    assert report(tmp_path, "s").remarks[0].startswith("s: these runs are the 1 trial of a search")


@pytest.mark.parametrize("trials", ["s", "a run of s", "s with a damaged record"])
def test_trials_are_never_averaged_with_runs_of_fresh_seeds(
    trials: str, tmp_path: Path, write_run: WriteRun
) -> None:
    trial = write_run(study="s", dataset="toy", **POINTS[0])
    for seed in (1, 2):
        write_run(study="s-best", dataset="toy", seed=seed, **POINTS[0])
    write_record(tmp_path)
    if trials == "s with a damaged record":
        (tmp_path / "s" / ".search.json").write_text("{}")
    place = str(trial) if trials == "a run of s" else str(tmp_path / "s")
    paths = [place, str(tmp_path / "s-best")]
    for order in (paths, paths[::-1]):
        with pytest.raises(InputError, match="are not merged with other runs; give it alone") as caught:
            collect([open_source(path) for path in order])
        assert str(caught.value).startswith(f"{place}: trials of a search, chosen by a seed")


def test_of_many_trials_those_with_the_lowest_validation_perplexity_are_shown(
    tmp_path: Path, write_run: WriteRun
) -> None:
    points = [{"learning_rate": 1.0 + k} for k in range(MOST_VARIANTS + 2)]
    for k, point in enumerate(points):
        # The test numbers say the opposite.
        folder = write_run(study="s", dataset="toy", estimates={"nll_elbo": 200.0 - k}, **point)
        folder.write_metrics([{"epoch": 1, "valid_ppl": 50.0 + k}])
    (tmp_path / "s" / ".search.json").write_bytes(seal({"search": {}, "rounds": [points]}))
    composed = report(tmp_path, "s")
    assert names(composed) == [f"trial {k}" for k in range(MOST_VARIANTS)]
    (note,) = [note for note in composed.table2[0].notes if note.startswith("trials with")]
    assert note.startswith("trials with the lowest validation perplexity only: 12 of 14 (")


def test_retrained_trials_are_compared_with_the_recipe(tmp_path: Path, write_run: WriteRun) -> None:
    usual = recipe("lstm-vae", dataset="toy")
    fields = {name: getattr(usual, name) for name in POINTS[0]}
    for seed in (1, 2):
        for point, nll in ((POINTS[0], 98.0), (POINTS[1], 99.0), (fields, 100.0)):
            write_run(study="s-best", dataset="toy", seed=seed, estimates={"nll_elbo": nll}, **point)
    write_record(tmp_path)
    composed = report(tmp_path, "s-best")
    assert names(composed) == ["the recipe", "trial 0", "trial 1"]
    (table,) = composed.comparisons
    rows = [row for row in table.csv_rows() if row["metric"] == "nll"]
    # Trial minus recipe, as the search's closing table has it.
    assert [(row["difference"], row["b"]["variant"]) for row in rows] == [
        (-2.0, "latent_size=2, learning_rate=1"),
        (-1.0, "latent_size=2, learning_rate=1"),
    ]
    assert "retrain the best trials" in composed.remarks[0]


def test_the_recipe_is_the_one_that_the_search_started_from(tmp_path: Path, write_run: WriteRun) -> None:
    usual = recipe("lstm-vae", dataset="toy").hidden_size
    # As `--set hidden_size=…` with `--space hidden_size=…` starts it: another trial has the usual value.
    points = [{"hidden_size": 2 * usual}, {"hidden_size": usual}]
    for seed in (1, 2):
        for point, nll in zip(points, (100.0, 98.0), strict=True):
            write_run(study="s-best", dataset="toy", seed=seed, estimates={"nll_elbo": nll}, **point)
    write_record(tmp_path, rounds=[points], recipe=points[0])
    composed = report(tmp_path, "s-best")
    assert names(composed) == ["the recipe", "trial 1"]
    (table,) = composed.comparisons
    (row,) = [row for row in table.csv_rows() if row["metric"] == "nll"]
    assert (row["difference"], row["b"]["variant"]) == (-2.0, f"hidden_size={2 * usual}")


def test_tables_that_a_report_no_longer_has_are_removed(tmp_path: Path, write_run: WriteRun) -> None:
    for point in POINTS:
        write_run(study="s", dataset="toy", **point)
    out = tmp_path / "out"
    write_tables(report(tmp_path, "s"), str(out), latex="plain")
    assert (out / "comparisons.csv").exists()
    assert not (out / "further.md").exists()
    write_record(tmp_path)
    write_tables(report(tmp_path, "s"), str(out), latex="plain")
    assert not list(out.glob("comparisons.*"))
    assert (out / "hyperparameters.md").exists()


def test_a_damaged_record_is_a_damaged_file(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(study="s", dataset="toy")
    (tmp_path / "s" / ".search.json").write_text("{}")
    composed = report(tmp_path, "s")
    assert [problem for problem in composed.problems if ".search.json: damaged" in problem]
    assert composed.remarks == ()
