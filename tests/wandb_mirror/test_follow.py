"""A follower of a study's folders finds which runs are under way, have ended or have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lvae_core.run_folder.claims import STALE_SECONDS
from lvae_core.run_folder.study import Study
from sweeps.wandb_mirror.content import is_in_training, read_content
from sweeps.wandb_mirror.follow import RECHECK_SECONDS, Follower
from sweeps.wandb_mirror.mirror import Tally

from .kit import Work, begin, complete

ELSEWHERE = {"launch": "x", "host": "far", "machine": "another", "pid": 1, "started": "1"}
"""The holder of a claim, on another machine."""


class Recorder:
    """A mirror that sends everything at once, and records it."""

    place = "somewhere"
    waiting = False

    def __init__(self, study: Study) -> None:
        self.study = study
        self.sent: set[str] = set()
        self.finished: set[str] = set()
        self.running: set[str] = set()
        self.closed: list[str] = []

    def follow(self, running: Iterable[str]) -> None:
        self.running = set(running)
        self.sent -= self.running

    def close(self, names: Iterable[str]) -> None:
        self.closed += sorted(names)

    def close_all(self) -> None:
        self.close(self.running)
        self.running = set()

    def step(self, deadline: float = 0.0) -> bool:
        self.sent |= set(self.closed)
        self.finished |= {name for name in self.closed if self.study.run(name).has("result.json")}
        return True

    def tally(self, unreadable: Mapping[str, str]) -> Tally:
        return Tally(sent=len(self.sent), left=len(unreadable), trouble="".join(unreadable.values()))

    def news(self) -> tuple[set[str], list[str]]:
        closed, self.closed = self.closed, []
        return self.running, closed


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


def follower_of(path: Path, clock: Any) -> tuple[Follower, Recorder]:
    study = Study(str(path), create=False)
    mirror = Recorder(study)
    return Follower(study, mirror, clock), mirror  # type: ignore[arg-type]


def test_claims_show_which_runs_are_under_way_and_which_have_ended(tmp_path: Path, work: Work) -> None:
    clock = Clock()
    follower, mirror = follower_of(tmp_path / "study", clock)
    follower.step()  # there is no study yet
    assert mirror.news() == (set(), [])
    earlier, a, b = (begin(tmp_path / "study", seed) for seed in range(3))
    work.begin(a, b)
    follower.step()
    assert mirror.news() == ({a.name, b.name}, [earlier.name])
    a.write_failure("diverged", "the loss is not finite", "Traceback")
    work.end(a)
    complete(b)
    work.end(b)
    follower.step()
    assert mirror.news() == (set(), sorted([a.name, b.name]))
    follower.step()
    assert mirror.news() == (set(), [])
    work.begin(a)
    follower.step()
    assert mirror.news() == ({a.name}, [])
    work.end(a)
    follower.step()
    assert mirror.news() == (set(), [a.name])
    # Runs that are not done may change between two looks, so they are compared from time to time.
    clock.time += RECHECK_SECONDS
    follower.step()
    assert mirror.news() == (set(), sorted([earlier.name, a.name]))
    follower.finish()
    assert mirror.news() == (set(), sorted([earlier.name, a.name]))


def test_a_finished_run_that_is_evaluated_again_is_not_under_way(tmp_path: Path, work: Work) -> None:
    folder = begin(tmp_path / "study", epochs=2)
    complete(folder)
    work.begin(folder)
    before = read_content(folder)
    follower, mirror = follower_of(tmp_path / "study", Clock())
    follower.step()
    assert mirror.news() == (set(), [folder.name])
    assert not is_in_training(folder)
    folder.write_json("evaluation-0badcafe.json", {"estimates": {"nll_iw": {"value": 1.0}}})
    folder.write_failure("code", "no", "Traceback", "evaluation-0badcafe.failure.json")
    assert read_content(folder) == before
    follower.step()
    assert mirror.news() == (set(), [])
    follower.finish()


def test_a_run_on_another_machine_has_ended_once_its_claim_is_stale(tmp_path: Path) -> None:
    clock = Clock()
    folder = begin(tmp_path / "study")
    folder.write_json("claim-1.json", {**ELSEWHERE, "beat": 4})
    follower, mirror = follower_of(tmp_path / "study", clock)
    follower.step()
    assert mirror.news() == ({folder.name}, [])
    clock.time += STALE_SECONDS
    follower.step()
    assert mirror.news() == (set(), [folder.name])


def test_one_follower_at_a_time_sends_a_study(tmp_path: Path) -> None:
    begin(tmp_path / "study")
    (first, mirror), (second, other) = (follower_of(tmp_path / "study", Clock()) for _ in range(2))
    first.step()
    second.step()
    assert len(mirror.sent) == 1
    tally = second.finish()
    assert (other.sent, tally.sent, "is sending them" in tally.trouble) == (set(), 0, True)
    first.finish()
    third, mirror = follower_of(tmp_path / "study", Clock())
    third.step()
    assert len(mirror.sent) == 1
    third.finish()


def test_a_study_that_cannot_be_written_is_followed_without_a_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begin(tmp_path / "study")
    follower, mirror = follower_of(tmp_path / "study", Clock())

    def refuse(path: str, data: bytes) -> bool:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(follower._study.store, "create", refuse)
    follower.step()
    assert mirror.sent == {folder.name}
    assert follower.finish().trouble == ""


def test_an_unreadable_study_is_reported_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begin(tmp_path / "study")
    follower, mirror = follower_of(tmp_path / "study", Clock())

    def fail() -> list[str]:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(follower._study, "run_names", fail)
        follower.step()
        assert mirror.news() == (set(), [])
    follower.step()
    assert mirror.sent == {folder.name}
    monkeypatch.setattr(follower._study, "run_names", fail)
    assert follower.finish().trouble == "the study cannot be read: Input/output error"


def test_a_run_that_cannot_be_read_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Work
) -> None:
    closed, ended, running = (begin(tmp_path / "study", seed, epochs=1) for seed in range(3))
    work.begin(running)
    follower, mirror = follower_of(tmp_path / "study", Clock())
    names = follower._study.store.names

    def refuse(path: str = "") -> list[str]:
        if path == closed.name:
            raise PermissionError(13, "Permission denied", path)
        return names(path)

    with monkeypatch.context() as refusing:
        refusing.setattr(follower._study.store, "names", refuse)
        follower.step()
        assert mirror.news() == ({running.name}, [ended.name])
        trouble = f"{closed.name} cannot be read: Permission denied"
        assert follower._progress().endswith(f"to send: 1 ({trouble})")
    follower.step()
    assert mirror.news() == ({running.name}, [closed.name])
    assert "cannot be read" not in follower._progress()
    monkeypatch.setattr(follower._study.store, "names", refuse)
    follower.step()
    tally = follower.finish()
    assert (tally.left, tally.trouble) == (1, trouble)
    assert closed.name not in mirror.news()[1]


def test_a_follower_that_lost_its_lease_sends_nothing_more(tmp_path: Path) -> None:
    begin(tmp_path / "study")
    follower, mirror = follower_of(tmp_path / "study", Clock())
    mirror.abandon = lambda: None  # type: ignore[attr-defined]
    follower.step()
    before = set(mirror.sent)
    # This machine was suspended; another one has seen no heartbeat and has taken over.
    lease = Study(str(tmp_path / "study")).run(follower._lease_folder.name)
    lease.write_json("claim-2.json", {**ELSEWHERE, "beat": 0})
    begin(tmp_path / "study", seed=1)
    follower.step()
    tally = follower.finish()
    assert (mirror.sent, "is sending them" in tally.trouble) == (before, True)
