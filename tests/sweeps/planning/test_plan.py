from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from lvae_core.config import RunConfig
from lvae_core.data.corpus import load
from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.run_folder.claims import _machine, acquire
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from sweeps.planning.grid import Grid
from sweeps.planning.grids.run_list import run_lines
from sweeps.planning.loading import look_up
from sweeps.planning.plan import Plan
from sweeps.planning.run_lookup import make_plan
from sweeps.planning.times.variants import variant_of
from sweeps.sweep import work_text

DATA = {"toy": "ab" * 32}
METRICS = b"rows\n"
GRID = Grid(datasets=("toy",), systems={"lstm-lm": (1,), "lstm-vae": (1,)}, settings=("standard",), seeds=2)


def settle(root: Path, config: RunConfig, file: str, data: str = DATA["toy"], **content: object) -> Path:
    """Write a run folder as a finished or failed run leaves it, by hand."""
    key = fingerprint(config, data)
    folder = root / run_name(config, key)
    folder.mkdir(parents=True, exist_ok=True)
    claim = {"fingerprint": key, "config": dataclasses.asdict(config)}
    write(folder / "config.json", claim)
    (folder / "metrics.jsonl").write_bytes(METRICS)
    write(folder / file, claim | {"metrics_sha256": hashlib.sha256(METRICS).hexdigest()} | content)
    return folder


def write(file: Path, value: dict[str, object]) -> None:
    """An object with its digest, as anyone can compute it."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    file.write_text(json.dumps(value | {"sha256": hashlib.sha256(canonical.encode()).hexdigest()}))


def finish(root: Path, config: RunConfig, seconds: float = 3.0, data: str = DATA["toy"]) -> Path:
    return settle(
        root, config, "result.json", data, train_seconds=seconds - 1, evaluate_seconds=1.0,
        estimates={"nll_elbo": {"value": 10.0}}, data_sha256=data,
    )  # fmt: skip


def statuses(grid: Grid, root: Path) -> list[str]:
    return [run.status for run in make_plan(grid.configs(), DATA, Study(str(root)), evaluate=True).runs]


def test_without_a_study_every_run_is_left(tmp_path):
    assert statuses(GRID, tmp_path / "none") == ["left"] * 4
    assert not (tmp_path / "none").exists()


def test_a_failed_run_that_another_launch_retries_is_under_way(tmp_path):
    first = GRID.configs()[0]
    failed = settle(tmp_path, first, "failure.json", **{"class": "code", "attempt": 2, "message": "no"})
    with acquire(Study(str(tmp_path)).run(failed.name), "another launch"):
        (run,) = make_plan([first], DATA, Study(str(tmp_path)), evaluate=True).runs
        assert (run.status, run.failure["attempt"]) == ("left", 2)
    assert statuses(GRID, tmp_path)[0] == "failed"
    gone = {"launch": "a", "host": "h", "machine": _machine(), "pid": 2**22 + 1, "started": "1", "beat": 0}
    write(failed / "claim-1.json", gone)
    assert statuses(GRID, tmp_path)[0] == "failed"


def test_a_folder_that_a_newer_version_wrote_is_refused_only_if_it_is_of_the_grid(tmp_path):
    first = GRID.configs()[0]
    folder = settle(tmp_path, first, "checkpoint.pt")
    key = fingerprint(first, DATA["toy"])
    newer = {"fingerprint": key, "config": {**dataclasses.asdict(first), "of_tomorrow": 1}}
    write(folder / "config.json", newer)
    with pytest.raises(InputError, match=r"json: written by a newer version .*; update this checkout"):
        statuses(GRID, tmp_path)
    folder.rename(folder.with_name(folder.name[:-8] + "0123abcd"))
    assert statuses(GRID, tmp_path)[0] == "left"


def test_the_plan_is_the_grid_less_what_is_done(tmp_path):
    first, second, third, _ = GRID.configs()
    finish(tmp_path, first)
    failed = settle(tmp_path, second, "failure.json", **{"class": "code", "attempt": 2, "message": "no"})
    settle(tmp_path, third, "checkpoint.pt")
    plan = make_plan(GRID.configs(), DATA, Study(str(tmp_path)), evaluate=True)
    assert [run.status for run in plan.runs] == ["done", "failed", "left", "left"]
    assert [run.name for run in plan.with_status("failed")] == [failed.name]
    assert plan.runs[1].failure is not None
    assert plan.runs[1].failure["attempt"] == 2


def test_a_run_that_can_resume_counts_its_finished_epochs(tmp_path):
    study, configs = Study(str(tmp_path)), GRID.configs()
    for config, files in zip(configs[:3], ("checkpoint.pt", "failure.json", "other.json"), strict=True):
        folder = settle(tmp_path, config, files)
        study.run(folder.name).write_metrics([{"epoch": 1}, {"epoch": 2}])
    plan = make_plan(configs, DATA, study, evaluate=True)
    # A failed run is not left, and without a checkpoint nothing can be resumed.
    assert [(run.status, run.epochs) for run in plan.runs] == [
        *(("left", 2), ("failed", 0), ("left", 0), ("left", 0))
    ]
    todo = plan.with_status("left")
    epochs = configs[0].max_epochs
    assert work_text(plan, todo) == f"3 of 4 runs to do, 1 of them unfinished (2 of {epochs} epochs)"
    assert work_text(plan, todo[1:]) == "2 of 4 runs to do"
    resumed = todo[0]
    trained = dataclasses.replace(resumed, epochs=epochs)
    assert work_text(plan, [trained, resumed]) == (
        "2 of 4 runs to do, 1 of them trained and not yet evaluated, "
        f"1 of them unfinished (2 of {epochs} epochs)"
    )


def test_a_result_outweighs_an_older_failure(tmp_path):
    config = GRID.configs()[0]
    settle(tmp_path, config, "failure.json", **{"class": "code"})
    finish(tmp_path, config)
    assert statuses(GRID, tmp_path)[0] == "done"


def test_more_seeds_add_their_runs_and_no_others(tmp_path):
    three = dataclasses.replace(GRID, seeds=3)
    for config in three.configs():
        finish(tmp_path, config)
    assert set(statuses(three, tmp_path)) == {"done"}
    plan = make_plan(
        dataclasses.replace(GRID, seeds=5).configs(), DATA, Study(str(tmp_path)), evaluate=True
    )
    assert Counter(run.config.seed for run in plan.with_status("left")) == {3: 2, 4: 2}


def test_another_value_of_a_field_is_another_run(tmp_path):
    for config in GRID.configs():
        finish(tmp_path, config)
    assert set(statuses(dataclasses.replace(GRID, changes=("dropout=0.4",)), tmp_path)) == {"left"}


def test_two_configs_of_one_fingerprint_are_one_run(tmp_path):
    configs = GRID.configs()
    assert len(make_plan([*configs, *configs], DATA, Study(str(tmp_path)), evaluate=True).runs) == len(
        configs
    )


def test_a_folder_of_data_counts_by_name_and_content_not_by_place(tmp_path):
    here, there = (dataclasses.replace(GRID.configs()[0], dataset=f"{place}/toy") for place in "ab")
    finish(tmp_path, here)
    plan = make_plan([there], {"b/toy": DATA["toy"]}, Study(str(tmp_path)), evaluate=True)
    assert [run.status for run in plan.runs] == ["done"]
    plan = make_plan([there], {"b/toy": "cd" * 32}, Study(str(tmp_path)), evaluate=True)
    assert [run.status for run in plan.runs] == ["left"]


def test_finished_runs_over_text_that_has_changed_since_are_named(tmp_path):
    config = GRID.configs()[0]
    finish(tmp_path, config, data="0" * 64)
    finish(tmp_path, dataclasses.replace(config, dropout=0.25))
    plan = make_plan(GRID.configs(), DATA, Study(str(tmp_path)), evaluate=True)
    (note,) = plan.notes
    assert note.startswith("1 finished run of this grid: trained before the files of toy changed; ")
    assert {run.status for run in plan.runs} == {"left"}


@pytest.mark.parametrize("file", ["config.json", "result.json", "failure.json", "metrics.jsonl"])
@pytest.mark.parametrize("damage", [b"", b'{"config": ', b"[1]", b"\xff\x00"])
def test_a_run_with_a_damaged_file_is_to_do_and_the_file_is_named(tmp_path, file, damage):
    config = GRID.configs()[1]
    folder = finish(tmp_path, config)
    if file == "failure.json":
        (folder / "result.json").unlink()
    (folder / file).write_bytes(damage)
    run = make_plan(GRID.configs(), DATA, Study(str(tmp_path)), evaluate=True).runs[1]
    assert run.status == "left"
    assert run.result is None
    (line,) = run.damages
    assert line.startswith(f"{folder / file}: damaged, ")
    assert "\n" not in line
    assert (folder / file).read_bytes() == damage, "planning reads and changes nothing"


def test_a_result_without_its_metrics_is_to_be_repaired(tmp_path):
    folder = finish(tmp_path, GRID.configs()[1])
    (folder / "metrics.jsonl").unlink()
    run = make_plan(GRID.configs(), DATA, Study(str(tmp_path)), evaluate=True).runs[1]
    assert run.status == "left"
    assert run.damages == (f"{folder}/metrics.jsonl: missing, although the run has a result",)


def test_a_foreign_config_is_named(tmp_path):
    mine, other = GRID.configs()[:2]
    folder = finish(tmp_path, mine)
    shutil.copy(finish(tmp_path, other) / "config.json", folder / "config.json")
    with pytest.raises(InputError, match=r"config\.json: not the config that the folder's name"):
        statuses(GRID, tmp_path)


def test_a_config_that_was_edited_is_named(tmp_path):
    folder = finish(tmp_path, GRID.configs()[0])
    claim = json.loads((folder / "config.json").read_text())
    del claim["sha256"]
    claim["config"]["dropout"] = 0.123
    write(folder / "config.json", claim)
    with pytest.raises(InputError, match=r"config\.json: not the config"):
        statuses(GRID, tmp_path)


def test_a_foreign_result_is_named(tmp_path):
    mine, other = GRID.configs()[:2]
    folder = finish(tmp_path, mine)
    shutil.copy(finish(tmp_path, other) / "result.json", folder / "result.json")
    with pytest.raises(InputError, match=r"result\.json: the result of another run"):
        statuses(GRID, tmp_path)


def test_the_study_is_listed_once_and_no_file_is_read_twice(tmp_path):
    class Counting:
        def __init__(self, store):
            self.store, self.url, self.calls = store, store.url, Counter()

        def names(self, path=""):
            self.calls["names", path] += 1
            return self.store.names(path)

        def read(self, path):
            self.calls["read", path] += 1
            return self.store.read(path)

    for config in GRID.configs()[:3]:
        finish(tmp_path, config)
    study = Study(str(tmp_path))
    study.store = counting = Counting(study.store)
    make_plan(GRID.configs(), DATA, study, evaluate=True)
    assert counting.calls["names", ""] == 1
    assert max(counting.calls.values()) == 1
    # Three reads a finished run, none for a run that has no folder.
    assert sum(counting.calls.values()) == 1 + 3 * 3


def test_the_time_of_a_run_is_scaled_by_epochs_from_runs_with_others_and_else_a_mean(tmp_path):
    toy = dataclasses.replace(load("toy"), data_sha256=DATA["toy"])

    def planned(*configs: RunConfig) -> Plan:
        return look_up(configs, {"toy": toy}, Study(str(tmp_path)))

    lm = dataclasses.replace(GRID.configs()[0], max_epochs=30)
    short, wide = (dataclasses.replace(lm, **change) for change in ({"max_epochs": 3}, {"hidden_size": 9}))
    assert planned(lm).speed.expected_seconds(variant_of(lm)) is None
    # A tenth of the epochs: nine seconds of training become ninety, one of evaluation stays.
    finish(tmp_path, short, seconds=10.0)
    plan = planned(lm, wide)
    assert plan.speed.expected_seconds(variant_of(lm)) == pytest.approx(91.0)
    assert [plan.speed.basis(variant) for variant in plan.variants()] == ["operations", "sizes"]
    # In one grid as well, each variant has its own time.
    plan = planned(lm, short)
    assert [*map(plan.speed.expected_seconds, plan.variants())] == pytest.approx([91.0, 10.0])
    finish(tmp_path, lm, seconds=40.0)
    finish(tmp_path, dataclasses.replace(lm, seed=7), seconds=60.0)
    plan = planned(lm, dataclasses.replace(lm, seed=7))
    assert plan.speed.expected_seconds(variant_of(lm)) == pytest.approx(50.0)
    assert plan.speed.basis(variant_of(lm)) == "runs"


def test_other_estimates_do_not_time_a_run_with_the_wanted_ones(tmp_path):
    toy = dataclasses.replace(load("toy"), data_sha256=DATA["toy"])
    vae = dataclasses.replace(GRID.configs()[1], iw_exact_samples=0)
    folder = finish(tmp_path, vae, seconds=3.0)
    (folder / "checkpoint.pt").write_bytes(b"")
    more = dataclasses.replace(vae, iw_samples=10 * vae.iw_samples)
    plan = look_up([more, dataclasses.replace(more, seed=1)], {"toy": toy}, Study(str(tmp_path)))
    assert [run.status for run in plan.runs] == ["evaluate", "left"]
    # Two seconds of training, and about ten times the one second of evaluation.
    assert plan.speed.expected_seconds(variant_of(more)) == pytest.approx(12.0, rel=0.01)


@pytest.mark.parametrize("content", [{}, {"train_seconds": None}, {"train_seconds": -5.0}])
def test_a_result_without_a_required_field_is_refused(content: dict[str, object], tmp_path: Path) -> None:
    config = GRID.configs()[0]
    folder = settle(tmp_path, config, "result.json", **content)
    with pytest.raises(InputError, match=r"result\.json: it lacks"):
        make_plan(GRID.configs(), DATA, Study(str(tmp_path)), evaluate=True)
    # Of a run outside the grid it is no business of the plan's.
    others = [c for c in GRID.configs() if c != config]
    assert folder.exists()
    assert len(make_plan(others, DATA, Study(str(tmp_path)), evaluate=True).runs) == len(others)


@pytest.mark.parametrize(
    ("epochs", "text"),
    [(0, "left"), (2, "left (2 of 30 epochs)"), (30, "left (trained and not yet evaluated)")],
)
def test_a_list_tells_a_trained_run_from_an_unfinished_one(tmp_path, epochs, text):
    plan = make_plan(GRID.configs()[:1], DATA, Study(str(tmp_path)), evaluate=True)
    run = dataclasses.replace(plan.runs[0], epochs=epochs)
    assert run.config.max_epochs == 30
    (line,) = run_lines(dataclasses.replace(plan, runs=[run]))
    assert line.split("  ")[1] == text
