"""Event files of the runs of a launch, from the reports of their actors."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lvae_core.messages import printed
from lvae_core.run_folder.digests import seal_rows
from lvae_core.run_folder.study import open_study
from sweeps.launching.progress.events import Events, note_without_events, open_events

from ....logs import expect_log
from ....test_imports import loaded_by

NAME = "toy__lstm-lm__standard__L0__seed0__0badcafe"


def report(phase: str, step: int, epoch: int, **fields: object) -> dict[str, object]:
    return {"phase": phase, "step": step, "epoch": epoch, "metrics": None, **fields}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_event_files_have_the_points_of_the_run_folder_however_few_reports_there_are() -> None:
    study = open_study("runs/mine")
    points = [
        {"epoch": step / 20, "step": step, "loss": float(step), "kl": 0.5, "cpu_percent": 99.0}
        for step in range(1, 21)
    ]
    study.run(NAME).write_steps(seal_rows(points))
    events = Events(study)
    row = {"epoch": 1, "step": 20, "valid_ppl": 90.0}
    events.write(NAME, report("done", 20, 1, estimates={"nll": {"value": 7.0}}) | {"metrics": row})
    found = EventAccumulator(f"tensorboard/mine/{NAME}").Reload()
    scalars = {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    assert scalars == {
        "train/loss": [(step, float(step)) for step in range(1, 21)],
        "train/kl": [(step, 0.5) for step in range(1, 21)],
        "epoch/valid_ppl": [(20, 90.0)],
        "test/nll": [(20, 7.0)],
    }


def test_runs_that_are_only_evaluated_again_have_no_event_files() -> None:
    events = Events(open_study("runs/mine"), frozenset({NAME}))
    events.write(NAME, report("evaluate", 0, 0))
    assert not Path("tensorboard").exists()


def test_a_disk_that_refuses_costs_one_warning_and_no_run() -> None:
    Path("tensorboard").write_text("a file, not a folder")
    events = Events(open_study("runs/mine"))
    with expect_log("lvae.tensorboard", "no more event files are written"):
        events.write(NAME, report("train", 10, 0))
    events.write(NAME, report("train", 20, 0))


def test_a_launch_with_event_files_says_where_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    study = open_study("runs/mine")
    with printed():
        assert open_events(study, wanted=True) is not None
        assert open_events(study, wanted=False) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "note: event files: tensorboard/mine; see them with: tensorboard --logdir tensorboard"


def test_a_launch_without_event_files_loads_no_library_for_them() -> None:
    (loaded,) = loaded_by("import sweeps.launching.progress.events")
    assert loaded & {"torch", "tensorboardX", "tensorboard"} == set()


def test_runs_that_were_trained_without_event_files_are_counted_in_a_note(
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = open_study("runs/mine")
    Path("tensorboard/mine", NAME).mkdir(parents=True)
    with printed():
        note_without_events(study, [NAME])
        note_without_events(study, [NAME, NAME.replace("seed0", "seed1")])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "note: 1 run trained before without --tensorboard: no event files in tensorboard/mine"
    )
