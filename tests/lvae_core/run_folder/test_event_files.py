"""TensorBoard's event files: read by TensorBoard's own reader, they hold each step once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorboardX
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils import tensorboard

from lvae_core.__main__ import main
from lvae_core.run_folder.event_files import EventFiles, Writer
from lvae_core.run_folder.folder import RunFolder
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute

from .. import tiny

WRITERS = [tensorboard.SummaryWriter, tensorboardX.SummaryWriter]


def read(place: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> its steps and values, as TensorBoard shows them."""
    events = EventAccumulator(str(place), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def train(folder: RunFolder, place: Path, writer: Callable[..., Writer], stop_at: int | None = None) -> Any:
    """Train a run of three steps per epoch; stop it at a step, if one is given, as a kill would."""
    config = tiny.config(max_epochs=3, batch_size=4, iw_samples=6, mi_samples=2)
    events = EventFiles(folder, place, writer)
    work = execute(config, tiny.corpus(), folder, Runtime(progress_seconds=0.0))
    for report in work:
        result = folder.read_json("result.json") or {}
        events.write(report.step, report.metrics, result.get("estimates"))
        if report.step == stop_at:
            break
    events.close()
    work.close()


@pytest.mark.parametrize("writer", WRITERS, ids=["torch", "tensorboardX"])
def test_event_files_hold_the_numbers_of_the_run_folder(tmp_path: Path, writer: Any) -> None:
    folder = tiny.folder(tmp_path)
    train(folder, tmp_path / "events", writer)
    found = read(tmp_path / "events" / folder.name)
    rows = folder.read_metrics()
    for name in ("valid_ppl", "train_loss", "kl_weight"):
        expected = [(row["step"], row[name]) for row in rows]
        assert found[f"epoch/{name}"] == [(step, pytest.approx(value)) for step, value in expected]
    points = folder.read_steps()
    assert [point["step"] for point in points] == list(range(1, 10))
    for name in ("loss", "kl", "kl_weight", "learning_rate", "tokens_per_second"):
        expected = [(point["step"], point[name]) for point in points]
        assert found[f"train/{name}"] == [(step, pytest.approx(value)) for step, value in expected]
    estimates = (folder.read_json("result.json") or {})["estimates"]
    assert {tag.removeprefix("test/") for tag in found if tag.startswith("test/")} == set(estimates)
    assert found["test/nll_iw"] == [(9, pytest.approx(estimates["nll_iw"]["value"]))]


@pytest.mark.parametrize("writer", WRITERS, ids=["torch", "tensorboardX"])
@pytest.mark.parametrize("stop_at", [1, 3, 4, 8])
def test_a_resumed_run_has_no_step_twice_and_none_missing(
    tmp_path: Path, writer: Any, stop_at: int
) -> None:
    folder, whole = tiny.folder(tmp_path / "a"), tiny.folder(tmp_path / "b")
    train(folder, tmp_path / "events", writer, stop_at)
    train(folder, tmp_path / "events", writer)
    train(whole, tmp_path / "undisturbed", writer)
    found = read(tmp_path / "events" / folder.name)
    expected = read(tmp_path / "undisturbed" / whole.name)
    points = ("train/loss", "train/kl", "train/kl_weight", "train/learning_rate")
    for tag in ("epoch/valid_ppl", "epoch/train_loss", "test/nll_iw", *points):
        assert found[tag] == expected[tag]
    assert [step for step, _ in found["train/kl"]] == list(range(1, 10))


def test_curves_are_whole_although_a_killed_driver_wrote_less_than_the_checkpoint_knows(
    tmp_path: Path,
) -> None:
    folder = tiny.folder(tmp_path)
    events = tmp_path / "events"
    train(folder, tmp_path / "lost", tensorboardX.SummaryWriter, stop_at=6)
    tensorboardX.SummaryWriter(str(events / folder.name)).add_scalar("train/kl", 1.0, 2)
    train(folder, events, tensorboardX.SummaryWriter)
    found = read(events / folder.name)
    assert [step for step, _ in found["train/kl"]] == list(range(1, 10))
    assert [step for step, _ in found["epoch/valid_ppl"]] == [3, 6, 9]


def test_rows_between_two_reports_are_read_from_the_folder(tmp_path: Path) -> None:
    folder = tiny.folder(tmp_path)
    train(folder, tmp_path / "first", tensorboardX.SummaryWriter)
    events = EventFiles(folder, tmp_path / "second", tensorboardX.SummaryWriter)
    events.write(9, folder.read_metrics()[-1])
    events.close()
    assert [step for step, _ in read(tmp_path / "second" / folder.name)["epoch/valid_ppl"]] == [3, 6, 9]


def test_the_command_writes_event_files_and_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tiny.config(max_epochs=2, iw_samples=6, mi_samples=2)
    Path("run.json").write_text(json.dumps(config.to_dict()))
    assert main(["run", "run.json", "--out", "a", "--tensorboard"]) == 0
    assert "note: event files: tensorboard/a; see them with: tensorboard" in capsys.readouterr().err
    assert main(["run", "run.json", "--out", "b"]) == 0
    assert "event files" not in capsys.readouterr().err
    first, second = (Path(name, "metrics.jsonl").read_bytes() for name in "ab")
    assert first == second
    assert len(read(Path("tensorboard/a"))["epoch/valid_ppl"]) == 2
    before = sorted(path.name for path in Path("tensorboard/a").iterdir())
    assert main(["run", "run.json", "--out", "a", "--tensorboard"]) == 0
    assert sorted(path.name for path in Path("tensorboard/a").iterdir()) == before, "it was finished"
    capsys.readouterr()


def test_without_the_library_one_line_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    (tmp_path / "run.json").write_text(json.dumps(tiny.config().to_dict()))
    assert main(["run", str(tmp_path / "run.json"), "--out", str(tmp_path / "a"), "--tensorboard"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --tensorboard: tensorboard is not installed; pip install -c constraints")
    assert not (tmp_path / "a").exists()
