"""Runs that are done are read once, while the others are still under way."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lvae_core.data.corpus import load
from lvae_core.run_folder.folder import RunFolder
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.planning.done_runs import DoneRuns
from sweeps.planning.loading import look_up
from sweeps.planning.plan import Plan

from .test_plan import finish

TOY = load("toy")
DATA = {"toy": TOY.data_sha256}
CONFIGS = [dataclasses.replace(recipe("lstm-vae", dataset="toy"), seed=seed) for seed in range(3)]


def plan(place: Path, **options) -> Plan:
    return look_up(CONFIGS, {"toy": TOY}, Study(str(place)), **options)


def test_the_plan_at_the_end_is_the_same_and_reads_no_run_again(tmp_path, monkeypatch):
    before = plan(tmp_path)
    with DoneRuns(str(tmp_path), before.runs, DATA) as done:
        for run in before.runs[:2]:
            finish(tmp_path, run.config, seconds=5.0, data=TOY.data_sha256)
            done.add(run.name)
        done.add(before.runs[2].name)  # it has no folder
    assert list(done.by_key) == [run.key for run in before.runs[:2]]
    expected = plan(tmp_path)
    read = []
    read_identity = RunFolder.read_config
    monkeypatch.setattr(
        RunFolder, "read_config", lambda self: read.append(self.name) or read_identity(self)
    )
    after = plan(tmp_path, known=done.by_key)
    assert [run.status for run in after.runs] == ["done", "done", "left"]
    assert list(after.runs) == list(expected.runs)
    assert after.speed.expected_seconds(after.runs[0].variant) == pytest.approx(
        expected.speed.expected_seconds(after.runs[0].variant)
    )
    assert read == []


def test_a_run_that_is_damaged_is_left_for_the_end(tmp_path):
    before = plan(tmp_path)
    finish(tmp_path, CONFIGS[0], seconds=5.0, data=TOY.data_sha256)
    (tmp_path / before.runs[0].name / "result.json").write_text("{")
    with DoneRuns(str(tmp_path), before.runs, DATA) as done:
        done.add(before.runs[0].name)
    assert done.by_key == {}
