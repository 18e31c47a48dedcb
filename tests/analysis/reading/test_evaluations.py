"""One evaluation for each cell: chosen by what most runs have, and never two in one mean."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.reading.collect import Runs, collect
from analysis.reading.evaluations import (
    one_evaluation_per_cell,
    parse_evaluation,
    with_every_evaluation,
)
from analysis.reading.frame import frame_of, table_of
from analysis.reading.run_row import read_run
from analysis.reading.signatures import signatures
from analysis.reading.sources import open_source
from analysis.report.report import compose
from analysis.stats.cells import Cell
from analysis.stats.over_seeds import average_cells
from analysis.tables.bounds import bounds_table
from analysis.tables.paper import table2
from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.identity import evaluation_id, evaluation_values
from lvae_core.run_folder.evaluations import evaluation_file
from lvae_core.run_folder.folder import RunFolder

from ...sweeps.planning.test_earlier_studies import FIXTURE
from ..conftest import WriteRun


def evaluate(folder: RunFolder, nll: float, version: int = 1, **fields: Any) -> str:
    """Write a further evaluation as `python -m lvae_core evaluate` does; returns its id."""
    result = folder.read_json("result.json") or {}
    config = dataclasses.replace(RunConfig(**result["config"]), **fields)
    identity = evaluation_id(config, version)
    folder.write_json(
        evaluation_file(identity),
        {
            "fingerprint": result["fingerprint"],
            "evaluation": identity,
            "version": version,
            "config": evaluation_values(config),
            "estimates": {"nll_elbo": {"value": nll}, "ppl_elbo": {"value": nll - 10}},
            "tokens": result["tokens"],
            "sentences": result["sentences"],
            "precision": "float32",
            "evaluate_seconds": 7.0,
            "attempt": {},
        },
    )
    return identity[:8]


def read(tmp_path: Path, **wanted: Any) -> Runs:
    return collect([open_source(str(tmp_path / "study"))], evaluation=wanted)


def only_cell(runs: Runs) -> Cell:
    (cell,) = average_cells(runs.frame)
    return cell


def test_the_evaluation_that_most_runs_have_is_shown(tmp_path: Path, write_run: WriteRun) -> None:
    folders = [write_run(seed=seed, estimates={"nll_elbo": 100.0 + seed}) for seed in range(3)]
    evaluate(folders[0], 50.0, iw_samples=5000)
    runs = read(tmp_path)
    assert only_cell(runs).averages["nll_elbo"].values == (100.0, 101.0, 102.0)
    assert set(runs.frame["iw_samples"]) == {500}
    assert runs.duplicates == 0


def test_evaluations_that_are_not_shown_are_named_with_the_option_that_shows_them(
    tmp_path: Path, write_run: WriteRun
) -> None:
    folders = [write_run(seed=seed, estimates={"nll_elbo": 100.0 + seed}) for seed in range(3)]
    assert not [fact for fact in compose(read(tmp_path)).facts if "other evaluations" in fact]
    evaluate(folders[0], 50.0, iw_samples=5000)
    evaluate(folders[1], 50.0, iw_samples=200, mi_samples=9)
    (fact,) = [fact for fact in compose(read(tmp_path)).facts if "other evaluations" in fact]
    assert fact == (
        "other evaluations: 2 runs have some, to be seen with --evaluation iw_samples=5000 or "
        "iw_samples=200 mi_samples=9"
    )


def test_of_equally_many_the_one_with_more_samples_is_shown_then_the_newer(
    tmp_path: Path, write_run: WriteRun
) -> None:
    folders = [write_run(seed=seed) for seed in range(2)]
    for folder in folders:
        evaluate(folder, 50.0, iw_samples=5000)
        newer = evaluate(folder, 40.0, iw_samples=5000, version=2)
        evaluate(folder, 30.0, iw_samples=7)
    runs = read(tmp_path)
    assert only_cell(runs).averages["nll_elbo"].values == (40.0, 40.0)
    assert set(runs.frame["evaluation"]) == {newer}
    assert set(runs.frame["evaluate_seconds"]) == {7.0}


def test_runs_that_lack_the_wanted_evaluation_are_missing_and_never_mixed_in(
    tmp_path: Path, write_run: WriteRun
) -> None:
    folders = [write_run(seed=seed) for seed in range(3)]
    evaluate(folders[1], 50.0, iw_samples=5000)
    runs = read(tmp_path, iw_samples=5000)
    assert only_cell(runs).averages["nll_elbo"].values == (50.0,)
    assert only_cell(runs).counts.done == 3
    assert list(runs.frame["evaluation"].isna()) == [True, False, True]
    # A table's n counts the runs in its means, not those that are done.
    cells = average_cells(runs.frame)
    for table in (table2(cells, "ptb"), bounds_table(cells, "ptb")):
        assert "1/3" in [value for line in table.lines for value in line.values]


def test_a_system_that_does_not_read_the_wanted_field_is_shown_with_its_evaluation(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm")
    assert only_cell(read(tmp_path, iw_samples=5000)).averages["nll"].values == (100.0,)


def test_variants_of_training_choose_for_themselves(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(2):
        write_run(seed=seed)
    evaluate(write_run(seed=0, max_epochs=3), 50.0, iw_samples=5000)
    runs = read(tmp_path)
    shown = {int(n): set(part["iw_samples"]) for n, part in runs.frame.groupby("max_epochs")}
    assert shown == {30: {500}, 3: {5000}}


def test_runs_first_evaluated_with_other_fields_are_one_variant(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run(seed=0, iw_samples=500)
    write_run(seed=1, iw_samples=500)
    write_run(seed=2, iw_samples=100)
    cell = only_cell(read(tmp_path))
    assert cell.variant == ""
    assert cell.averages["nll_elbo"].seeds == (0, 1)


def test_two_folders_of_one_training_bring_their_evaluations_together(tmp_path: Path) -> None:
    shutil.copytree(FIXTURE, tmp_path / "study")
    runs = read(tmp_path)
    assert list(runs.frame["system"]) == ["lstm-lm", "lstm-vae", "lstm-vae-avg", "lstm-vae-avg"]
    assert runs.duplicates == 2
    samples = runs.frame.set_index(["system", "status"])["iw_samples"]
    assert samples["lstm-vae", "done"] == 12
    assert set(read(tmp_path, iw_samples=8).frame["iw_samples"].dropna()) == {8}


def test_a_damaged_evaluation_is_named_and_the_others_are_used(tmp_path: Path, write_run: WriteRun) -> None:
    folder = write_run()
    identity = evaluate(folder, 50.0, iw_samples=5000)
    folder.store.write(f"{folder.name}/evaluation-{identity}.json", b"{")
    runs = read(tmp_path)
    assert list(runs.frame["nll_elbo"]) == [100.0]
    assert f"evaluation-{identity}.json: damaged" in runs.problems[0]


def test_a_field_that_is_not_one_of_evaluation_is_refused() -> None:
    assert parse_evaluation(["iw_samples=5000"]) == {"iw_samples": 5000}
    with pytest.raises(
        InputError, match="dropout=…: not a field of evaluation; give one of tested_epoch, iw_samples"
    ):
        parse_evaluation(["dropout=0.1"])
    with pytest.raises(InputError, match=r"^--evaluation iw_samples: write FIELD=VALUE, such as --eval"):
        parse_evaluation(["iw_samples"])
    with pytest.raises(InputError, match=r"^--evaluation iw_samples=6: iw_samples is given twice; give"):
        parse_evaluation(["iw_samples=5", "iw_samples=6"])


def test_the_frame_without_evaluations_keeps_its_columns(tmp_path: Path, write_run: WriteRun) -> None:
    evaluate(write_run(), 50.0, iw_samples=9)
    write_run("lstm-vae", 5)
    frame = read(tmp_path, iw_samples=9).frame
    assert list(frame["nll_elbo"].isna()) == list(frame["iw_samples"].isna()) == [False, True]
    assert frame["nll_elbo"].dtype == pd.Float64Dtype()
    assert frame["iw_samples"].dtype == pd.Int64Dtype()


def test_a_further_evaluation_changes_the_signature_of_its_folder(
    tmp_path: Path, write_run: WriteRun
) -> None:
    folder = write_run()
    source = open_source(str(tmp_path / "study"))
    before = signatures(source)[folder.name].text
    identity = evaluate(folder, 50.0, iw_samples=5000)
    between = signatures(source)[folder.name].text
    folder.store.write(f"{folder.name}/evaluation-{identity}.json", b"{")
    assert len({before, between, signatures(source)[folder.name].text}) == 3


def test_an_evaluation_that_no_run_has_is_an_error_that_names_those_there_are(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm")
    assert len(read(tmp_path, iw_samples=7).frame) == 1  # no run reads the field
    evaluate(write_run(), 99.0, iw_samples=5000)
    with pytest.raises(
        InputError, match=r"iw_samples=7: no run .*; there are iw_samples=500; iw_samples=5000$"
    ):
        read(tmp_path, iw_samples=7)
    with pytest.raises(InputError, match=r"iw_samples=500 mi_samples=9: no run .* mi_samples=8; "):
        read(tmp_path, iw_samples=500, mi_samples=9)
    assert only_cell_of(read(tmp_path, iw_samples=5000), "lstm-vae").averages["nll_elbo"].mean == 99.0


def only_cell_of(runs: Runs, system: str) -> Cell:
    (cell,) = (cell for cell in average_cells(runs.frame) if cell.system == system)
    return cell


def other_evaluations(runs: Runs) -> list[str]:
    return [fact for fact in compose(runs).facts if "other evaluations" in fact]


def test_the_evaluations_of_a_run_that_lacks_the_one_shown_are_named(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(2):
        write_run(seed=seed)
    evaluate(write_run(seed=2, iw_samples=50), 95.0, iw_samples=100)
    assert other_evaluations(read(tmp_path)) == [
        "other evaluations: 1 run has some, to be seen with --evaluation iw_samples=50 or iw_samples=100"
    ]


def test_the_evaluation_of_the_result_is_named_if_a_further_one_is_shown(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(3):
        evaluate(write_run(seed=seed), 95.0, iw_samples=5000)
    runs = read(tmp_path)
    assert set(runs.frame["iw_samples"]) == {5000}
    named = "other evaluations: 3 runs have some, to be seen with --evaluation iw_samples="
    assert other_evaluations(runs) == [f"{named}500"]
    assert other_evaluations(read(tmp_path, iw_samples=500)) == [f"{named}5000"]


def test_an_evaluation_that_no_run_of_a_cell_has_names_those_there_are(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-vae", 5)
    evaluate(write_run(), 95.0, iw_samples=9)
    assert other_evaluations(read(tmp_path, iw_samples=9)) == [
        "other evaluations: 2 runs have some, to be seen with --evaluation iw_samples=500"
    ]


def test_the_wide_frame_is_taken_apart_once_and_not_for_each_cell(
    tmp_path: Path, write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for samples in range(1, 7):
        evaluate(write_run("lstm-vae", samples), 50.0, iw_samples=5000)
    frame = with_every_evaluation(
        frame_of(table_of([read_run(f)[0] for f in open_source(str(tmp_path / "study")).folders]))
    )
    taken = 0
    take = pd.DataFrame.__getitem__

    def count(self: pd.DataFrame, key: Any) -> Any:
        nonlocal taken
        taken += isinstance(found := take(self, key), pd.DataFrame)
        return found

    monkeypatch.setattr(pd.DataFrame, "__getitem__", count)
    counts = []
    for number in (2, 6):
        taken = 0
        kept = one_evaluation_per_cell(take(frame, frame["num_samples"] <= number), {})
        assert list(kept["iw_samples"]) == [5000] * number
        counts.append(taken)
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    "changes", [{"version": "1"}, {"version": None}, {"config": {"iw_samples": 2**63}}]
)
def test_an_evaluation_with_a_value_that_no_column_holds_is_damaged(
    tmp_path: Path, write_run: WriteRun, changes: dict[str, Any]
) -> None:
    folder = write_run()
    file = evaluation_file(evaluate(folder, 50.0, iw_samples=5000))
    folder.write_json(file, {**(folder.read_json(file) or {}), **changes})
    runs = read(tmp_path)
    assert list(runs.frame["nll_elbo"]) == [100.0]
    assert f"{file}: damaged, " in runs.problems[0]


def test_an_evaluation_by_other_inference_than_the_trained_is_shown_only_if_it_is_asked_for(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """More SVI steps at test time are another system; whatever its id, and however large its S."""
    folder = write_run("sa-vae", inference="semi_amortised", estimates={"nll_elbo": 100.0})
    for steps in range(1, 20):
        evaluate(folder, 50.0 + steps, svi_steps=steps)
    evaluate(folder, 40.0, svi_steps=2, svi_step_size=300.0, iw_samples=5000)
    runs = read(tmp_path)
    assert only_cell(runs).averages["nll_elbo"].values == (100.0,)
    (told,) = [fact for fact in compose(runs).facts if fact.startswith("other evaluations")]
    named = told.partition("--evaluation ")[2].split(" or ")
    assert len(named) == 20
    assert {"svi_steps=7", "iw_samples=5000 svi_steps=2 svi_step_size=300"} <= set(named)
    asked = read(tmp_path, svi_steps=7)
    assert only_cell(asked).averages["nll_elbo"].values == (57.0,)
    assert set(asked.frame["svi_steps"]) == {20}  # of the training
    (note,) = [n for n in compose(asked).table2[0].notes if n.startswith("estimates shown")]
    assert "with svi_steps=7, other than in training" in note
    assert only_cell(read(tmp_path, svi_steps=20)).averages["nll_elbo"].values == (100.0,)
    assert parse_evaluation(["svi_step_size=300"]) == {"svi_step_size": 300.0}
    with pytest.raises(InputError, match="--evaluation svi_steps=99: no run has such an evaluation"):
        read(tmp_path, svi_steps=99)


def test_an_evaluation_of_a_model_that_was_trained_anew_is_not_shown(
    tmp_path: Path, write_run: WriteRun
) -> None:
    folder = write_run(estimates={"nll_elbo": 100.0}, result={"metrics_sha256": "a" * 64})
    evaluate(folder, 50.0, iw_samples=5000)
    (file,) = [name for name in folder.store.names(folder.name) if name.startswith("evaluation-")]
    record = folder.read_json(file) or {}
    for made_from, shown in (("a" * 64, 50.0), ("b" * 64, 100.0)):
        folder.write_json(file, {**record, "metrics_sha256": made_from})
        assert only_cell(read(tmp_path)).averages["nll_elbo"].values == (shown,)
