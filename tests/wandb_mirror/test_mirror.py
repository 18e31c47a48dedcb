"""The decisions of a mirror: what it sends, counts and reports. Its senders are stand-ins."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lvae_core.run_folder.folder import RunFolder
from lvae_core.run_folder.study import Study
from sweeps import wandb_push
from sweeps.wandb_mirror import mirror as module
from sweeps.wandb_mirror.client import UnreachableError
from sweeps.wandb_mirror.content import Content
from sweeps.wandb_mirror.cursor import Cursor, read_cursor, write_cursor
from sweeps.wandb_mirror.mirror import Mirror

from .kit import begin, complete, rows

PLACE = "somewhere"

Open = Callable[..., Mirror]


class World:
    """W&B as the stand-ins show it."""

    def __init__(self) -> None:
        self.is_there = True
        self.refuses = False
        self.ends: list[tuple[str, str, bool]] = []
        """Name, state and whether the model was sent, of the W&B runs that were ended."""
        self.opened: list[str] = []

    def take(self) -> list[tuple[str, str, bool]]:
        taken, self.ends = self.ends, []
        return taken


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()

    class Sender:
        url = ""

        def __init__(self, target: object, content: Content, folder: RunFolder) -> None:
            self.folder, self.name = folder, content.name
            self.cursor = read_cursor(folder, PLACE)
            self.disagrees = False
            world.opened.append(self.name)

        def send_history(self, content: Content) -> None:
            pass

        def finish(self, content: Content, *, model: bool = False) -> None:
            self.disagrees = not self.cursor.agrees(content)
            world.ends.append((self.name, content.state, model))
            if world.refuses:
                raise UnreachableError("refused")
            write_cursor(self.folder, PLACE, Cursor.after(content, self.cursor, model=model))

        def preempt(self) -> None:
            world.ends.append((self.name, "preempted", False))
            if world.refuses:
                raise UnreachableError("refused")

        def drop(self) -> None:
            raise AssertionError("not ended")

    monkeypatch.setattr(module, "Sender", Sender)
    monkeypatch.setattr(module, "reachable", lambda: world.is_there)
    monkeypatch.setattr(module, "forget_all", lambda: None)
    return world


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(str(tmp_path / "study"))


@pytest.fixture
def open_mirror(study: Study, world: World) -> Open:
    target: Any = SimpleNamespace(mode="online", place=PLACE)
    return lambda **more: Mirror(study, target, **{"again": False, "artifacts": False, **more})


def pushed(mirror: Mirror, *folders: RunFolder) -> tuple[int, int, int, str]:
    """Send runs; returns the numbers of those sent, left and disagreeing, and the trouble."""
    mirror.close(folder.name for folder in folders)
    mirror.step()
    tally = mirror.tally()
    return tally.sent, tally.left, tally.disagreeing, tally.trouble


def finished(study: Study, seed: int = 0, epochs: int = 2) -> RunFolder:
    folder = begin(Path(study.url), seed, epochs)
    complete(folder)
    return folder


def train_anew(folder: RunFolder, epochs: int = 2) -> None:
    """Train a run in its folder again, to other numbers."""
    folder.write_metrics(rows(epochs, seed=5))
    complete(folder)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_run_trained_anew_after_it_was_sent_is_sent_again_and_reported(
    study: Study, world: World, open_mirror: Open, epochs: int
) -> None:
    folder = finished(study)
    assert pushed(open_mirror(), folder) == (1, 0, 0, "")
    assert world.take() == [(folder.name, "finished", False)]
    assert pushed(open_mirror(), folder) == (1, 0, 0, "")
    assert world.take() == []
    train_anew(folder, epochs)
    assert pushed(open_mirror(), folder) == (1, 0, 1, "")
    assert world.take() == [(folder.name, "finished", False)]
    assert pushed(open_mirror(), folder) == (1, 0, 0, "")
    assert world.take() == []


def test_a_run_that_lost_its_result_is_not_counted_as_finished(
    study: Study, world: World, open_mirror: Open
) -> None:
    folder = finished(study)
    pushed(open_mirror(), folder)
    folder.store.delete(f"{folder.name}/result.json")
    folder.write_metrics([])
    mirror = open_mirror()
    assert pushed(mirror, folder) == (1, 0, 0, "")
    assert mirror.finished == set()
    train_anew(folder)
    # It is compared with the rows that W&B had before.
    assert pushed(mirror, folder) == (1, 0, 1, "")
    assert world.take() == [(folder.name, state, False) for state in ("finished", "preempted", "finished")]


def test_a_record_of_an_earlier_version_still_counts_as_sent(
    study: Study, world: World, open_mirror: Open
) -> None:
    folder = finished(study)
    write_cursor(folder, PLACE, Cursor(rows=2, digest="d" * 64, finished=True))
    assert pushed(open_mirror(), folder) == (1, 0, 0, "")
    assert world.opened == []


def test_the_model_of_a_run_trained_anew_is_uploaded_again(
    study: Study, world: World, open_mirror: Open
) -> None:
    folder = finished(study)
    folder.write_checkpoint(b"a model")
    for retrained, sent in ((False, True), (False, False), (True, True), (False, False)):
        if retrained:
            train_anew(folder)
        pushed(open_mirror(artifacts=True), folder)
        assert world.take() == ([(folder.name, "finished", True)] if sent else [])


def test_a_finished_run_that_lacks_rows_is_left_until_it_is_repaired(
    study: Study, world: World, open_mirror: Open
) -> None:
    folder = finished(study, epochs=3)
    folder.write_metrics(rows(2))
    mirror = open_mirror()
    sent, left, _, trouble = pushed(mirror, folder)
    assert (sent, left, "metrics.jsonl: damaged" in trouble, world.ends) == (0, 1, True, [])
    folder.write_metrics(rows(3))
    assert pushed(mirror, folder) == (1, 0, 0, "")
    assert read_cursor(folder, PLACE).rows == 3


def test_a_finished_run_without_its_config_is_sent(study: Study, world: World, open_mirror: Open) -> None:
    folder = finished(study)
    folder.store.delete(f"{folder.name}/config.json")
    assert pushed(open_mirror(), folder) == (1, 0, 0, "")
    assert world.take() == [(folder.name, "finished", False)]


def test_a_run_that_has_not_started_is_not_counted(study: Study, world: World, open_mirror: Open) -> None:
    folder = begin(Path(study.url))
    for file in ("config.json", "metrics.jsonl", "provenance.json"):
        folder.store.delete(f"{folder.name}/{file}")
    assert pushed(open_mirror(), folder) == (0, 0, 0, "")
    assert world.opened == []


def test_trouble_is_forgotten_once_a_step_succeeds(study: Study, world: World, open_mirror: Open) -> None:
    folder = begin(Path(study.url), epochs=1)
    clock = SimpleNamespace(time=0.0)
    mirror = open_mirror(now=lambda: clock.time)
    mirror.follow([folder.name])
    world.is_there = False
    mirror.step()
    assert mirror.tally().trouble == "W&B cannot be reached"
    world.is_there = True
    mirror.step()  # too early to try again
    assert mirror.tally().trouble == "W&B cannot be reached"
    clock.time += module.RETRY_SECONDS[1]
    mirror.step()
    tally = mirror.tally()
    assert (tally.running, tally.trouble, world.opened) == (1, "", [folder.name])


@pytest.mark.parametrize("refuses", [False, True])
def test_the_wandb_run_of_a_deleted_folder_is_ended_as_preempted(
    study: Study, world: World, open_mirror: Open, refuses: bool
) -> None:
    folder, other = (begin(Path(study.url), seed, epochs=1) for seed in range(2))
    mirror = open_mirror()
    mirror.follow([folder.name, other.name])
    mirror.step()
    assert world.opened == [folder.name, other.name]
    shutil.rmtree(f"{study.url}/{folder.name}")
    mirror.follow([other.name])  # as a follower, which no longer sees the folder
    world.refuses = refuses
    mirror.step()
    world.refuses = False
    assert world.take() == [(folder.name, "preempted", False)]
    mirror.close_all()
    mirror.step()
    assert world.take() == [(other.name, "preempted", False)]
    tally = mirror.tally()
    assert (tally.sent, tally.running, tally.left, mirror._open) == (1, 0, 0, {})
    assert study.run_names() == [other.name]


@pytest.mark.parametrize(("method", "artifacts"), [("names", False), ("read", False), ("exists", True)])
def test_a_push_names_a_run_that_cannot_be_read_and_sends_the_others(
    study: Study,
    world: World,
    open_mirror: Open,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    artifacts: bool,
) -> None:
    closed, other = (finished(study, seed) for seed in range(2))
    allowed = getattr(study.store, method)

    def refuse(path: str = "") -> Any:
        if path.startswith(closed.name):
            raise PermissionError(13, "Permission denied", path)
        return allowed(path)

    monkeypatch.setattr(study.store, method, refuse)
    tally, under_way = wandb_push._push(study, open_mirror(artifacts=artifacts))
    assert (tally.sent, tally.left, under_way) == (1, 1, 0)
    assert closed.name in tally.trouble
    assert "Permission denied" in tally.trouble
    assert world.take() == [(other.name, "finished", False)]


def test_a_storage_that_does_not_answer_is_not_the_fault_of_one_run(
    study: Study, open_mirror: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished(study)
    names = study.store.names

    def fail(path: str = "") -> list[str]:
        if path == folder.name:
            raise OSError(5, "Input/output error", path)
        return names(path)

    monkeypatch.setattr(study.store, "names", fail)
    with pytest.raises(OSError, match="Input/output error"):
        wandb_push._push(study, open_mirror())
