"""Plans with runs whose encoders start from other runs: added parents, waiting children, refusals."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.parents import parent_of
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.planning.grid import Grid
from sweeps.planning.parents import parents_notes, startable, with_parents
from sweeps.planning.plan import Plan
from sweeps.planning.run_lookup import make_plan

from .test_plan import DATA, finish, settle

GRID = Grid(
    datasets=("toy",),
    systems={"lstm-lm": (1,), "cnn-vae-init": (1,)},
    settings=("standard", "inputless"),
    seeds=2,
)
CHILDREN = dataclasses.replace(GRID, systems={"cnn-vae-init": (1,)})


def plan_of(grid: Grid, root: Path) -> Plan:
    study = Study(str(root))
    return with_parents(make_plan(grid.configs(), DATA, study, evaluate=True), DATA, study)


def parent(config: RunConfig) -> RunConfig:
    found = parent_of(config)
    assert found is not None
    return found


def finish_with_weights(root: Path, config: RunConfig) -> Path:
    folder = finish(root, config)
    result = folder / "result.json"
    fields = {"data_sha256": DATA["toy"], "estimates": {"nll": {"value": 1.0}}}
    settle(root, config, "result.json", train_seconds=1.0, evaluate_seconds=1.0, **fields)
    assert result.exists()
    (folder / "checkpoint.pt").write_bytes(b"")
    return folder


def test_missing_parents_are_added_once_and_their_children_wait(tmp_path):
    plan = plan_of(CHILDREN, tmp_path)
    assert [run.cell for run in plan.parents] == ["toy__lstm-lm__standard__L0"] * 2
    assert [run.config.seed for run in plan.parents] == [0, 1]
    assert len(plan.runs) == 4  # both settings of a seed have one parent
    for run in plan.runs:
        assert run.waits_for == plan.parents[run.config.seed].name
    assert next(iter(plan.variants())).startswith("toy__lstm-lm__standard__L0 ")
    assert len(plan.with_status("left")) == 6
    assert startable(plan.with_status("left"), parents=()) == plan.with_status("left")
    (note,) = parents_notes(plan, plan.with_status("left"))
    assert note.startswith("2 parents are trained first")


def test_a_parent_that_is_a_cell_of_the_grid_is_not_added(tmp_path):
    plan = plan_of(GRID, tmp_path)
    assert plan.parents == []
    waiting = {run.waits_for for run in plan.runs if run.waits_for}
    assert waiting == {run.name for run in plan.runs if run.cell == "toy__lstm-lm__standard__L0"}
    assert parents_notes(plan, plan.runs) == []


def test_a_trained_run_waits_for_nothing(tmp_path):
    first, other = CHILDREN.configs()[0], CHILDREN.configs()[2]
    assert (first.seed, other.seed) == (0, 1)
    finish(tmp_path, first)
    finish_with_weights(tmp_path, parent(other))
    plan = plan_of(dataclasses.replace(CHILDREN, settings=("standard",)), tmp_path)
    assert [(run.status, run.waits_for) for run in plan.runs] == [("done", ""), ("left", "")]
    assert plan.parents == []


def test_a_failed_parent_holds_its_children_back_until_it_is_retried(tmp_path):
    config = CHILDREN.configs()[0]
    failed = settle(tmp_path, parent(config), "failure.json", **{"class": "code", "message": "no"})
    plan = plan_of(CHILDREN, tmp_path)
    assert [run.status for run in plan.parents] == ["failed", "left"]
    started = startable(plan.with_status("left"), parents=())
    assert [run.config.seed for run in started] == [1, 1, 1]
    notes = parents_notes(plan, started)
    assert notes[0].startswith("1 parent is trained first")
    assert notes[1].startswith(
        "2 runs are not started, because the run that the encoder starts from has failed"
    )
    assert failed.name in notes[1]
    assert len(startable(plan.with_status("left", "failed"), parents=())) == 6


def test_a_run_with_a_checkpoint_of_its_own_needs_its_parent_no_more(tmp_path):
    grid = dataclasses.replace(CHILDREN, settings=("standard",), seeds=1)
    (config,) = grid.configs()
    folder = settle(tmp_path, config, "metrics.jsonl")
    assert [run.waits_for != "" for run in plan_of(grid, tmp_path).runs] == [True]
    for file in ("checkpoint.pt", "checkpoint.previous.pt"):
        (folder / file).write_bytes(b"")
        plan = plan_of(grid, tmp_path)
        assert (list(plan.parents), [run.waits_for for run in plan.runs]) == ([], [""])
        (folder / file).unlink()


def test_a_missing_parent_is_not_trained_for_a_child_that_has_failed(tmp_path):
    grid = dataclasses.replace(CHILDREN, settings=("standard",), seeds=1)
    (config,) = grid.configs()
    settle(tmp_path, config, "failure.json", **{"class": "code", "message": "no"})
    plan = plan_of(grid, tmp_path)
    parents = {run.name for run in plan.parents}
    assert len(parents) == 1
    started = startable(plan.with_status("left"), parents=parents)
    assert started == []
    assert parents_notes(plan, started) == []
    retried = startable(plan.with_status("left", "failed"), parents=parents)
    assert {run.name for run in retried} == parents | {run.name for run in plan.runs}
    assert parents_notes(plan, retried)[0].startswith("1 parent is trained first")


def test_a_parent_without_its_weights_is_refused_before_anything_is_started(tmp_path):
    config = CHILDREN.configs()[0]
    folder = finish_with_weights(tmp_path, parent(config))
    (folder / "checkpoint.pt").unlink()
    with pytest.raises(InputError, match=re.escape(f"{folder}: finished, but has no checkpoint.pt")):
        plan_of(CHILDREN, tmp_path)
    for child in CHILDREN.configs():
        settle(tmp_path, child, "failure.json")  # a run that has begun has its own checkpoint
    assert plan_of(CHILDREN, tmp_path).parents[0].config.seed == 1


def test_a_parent_named_by_its_folder_must_exist_be_finished_and_match(tmp_path):
    folder = finish_with_weights(tmp_path, parent(CHILDREN.configs()[0]))

    def named(name: str, *changes: str) -> Grid:
        changes = (f"init_encoder_from={name}", *changes)
        return dataclasses.replace(CHILDREN, systems={"lstm-vae": (1,)}, changes=changes)

    plan = plan_of(named(folder.name), tmp_path)
    assert (plan.parents, {run.waits_for for run in plan.runs}) == ([], {""})
    with pytest.raises(InputError, match=r"its hidden_size is 16, and that of lstm-vae, .*, is 17"):
        plan_of(named(folder.name, "hidden_size=17"), tmp_path)
    for sizes in ("hidden_size=16,17", "hidden_size=17,16"):  # each variant is checked, not only the first
        with pytest.raises(InputError, match=r"its hidden_size is 16, and that of lstm-vae, .*, is 17"):
            plan_of(named(folder.name, sizes), tmp_path)
    with pytest.raises(InputError, match="no run folder, and lstm-vae starts its encoder from it"):
        plan_of(named("toy__lstm-lm__standard__L0__seed7__01234567"), tmp_path)
    (folder / "result.json").unlink()
    with pytest.raises(InputError, match="not finished, and lstm-vae starts its encoder from it"):
        plan_of(named(folder.name), tmp_path)


def test_a_run_waits_for_a_parent_of_the_grid_that_is_named_by_its_folder(tmp_path):
    study, first = Study(str(tmp_path)), parent(CHILDREN.configs()[0])
    name = run_name(first, fingerprint(first, DATA["toy"]))
    child = dataclasses.replace(recipe("lstm-vae", dataset="toy"), init_encoder_from=name)
    plan = with_parents(make_plan([child, first], DATA, study, evaluate=True), DATA, study)
    assert (plan.parents, [run.waits_for for run in plan.runs]) == ([], [name, ""])


@pytest.mark.parametrize("dataset", ["topics", "toy", "pydocs", "ptb", "yahoo"])
def test_the_language_model_of_a_child_is_that_of_the_grid_on_every_dataset(dataset):
    """Datasets differ in more than sizes: topics has no dropout."""
    child = recipe("cnn-vae-init", dataset=dataset, seed=3)
    assert parent(child) == recipe("lstm-lm", dataset=dataset, seed=3)
