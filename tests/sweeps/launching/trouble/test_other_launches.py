"""Runs that another launch works on: held back, followed to their end, and taken over when it has died."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lvae_core.errors import InputError
from lvae_core.run_folder.claims import STALE_SECONDS
from lvae_core.run_folder.study import Study
from sweeps.launching.progress.board import Board
from sweeps.launching.trouble import other_launches
from sweeps.launching.trouble.other_launches import LOOK_SECONDS, OtherLaunches
from sweeps.planning.plan import Plan
from sweeps.planning.run_lookup import make_plan

from ...planning.test_plan import DATA, GRID, settle
from ..boards import Clock

ELSEWHERE = {"launch": "x", "host": "far", "machine": "another", "pid": 1, "started": "1"}


class Launch:
    """A launch beside another one, which holds the first run of the grid."""

    def __init__(self, place: Path, failure: dict[str, Any] | None = None) -> None:
        config = GRID.configs()[0]
        settle(place, config, "failure.json" if failure else "config.json", **(failure or {}))
        self.study, self.clock, self.lines = Study(str(place)), Clock(), []
        (name,) = self.study.run_names()
        self.held = self.study.run(name)
        self.beat(1)
        self.plan: Plan = make_plan(GRID.configs(), DATA, self.study, evaluate=True)
        self.board = Board.of(self.plan, [run for run in self.plan.runs if run.status == "left"])
        say: Callable[[str], None] = self.lines.append
        self.others = OtherLaunches(self.study, self.board, self.plan.runs, say, lambda: self.clock.time)
        self.others.begin()

    def beat(self, beat: int) -> None:
        self.held.write_json("claim-1.json", {**ELSEWHERE, "beat": beat})

    def end(self, **files: dict[str, Any]) -> None:
        """The other launch releases the run and leaves these files."""
        self.held.store.delete(f"{self.held.name}/claim-1.json")
        for name, content in files.items():
            self.held.write_json(f"{name}.json", content)

    def look(self, after: float = LOOK_SECONDS) -> None:
        self.clock.time += after
        self.others.look()


def test_a_run_that_is_under_way_elsewhere_is_held_and_the_others_are_not(tmp_path: Path) -> None:
    launch = Launch(tmp_path)
    assert set(launch.board.held) == {launch.held.name}
    assert len(launch.board.waiting) == len(GRID.configs()) - 1
    assert launch.lines == [f"{launch.board.label(launch.held.name)}: under way in process 1 on far"]


def test_a_heartbeat_keeps_it_held_and_silence_gives_it_to_this_launch(tmp_path: Path) -> None:
    launch = Launch(tmp_path)
    for beat in range(2, 6):
        launch.beat(beat)
        launch.look(after=0.9 * STALE_SECONDS)
    assert launch.others.stale_claims == {}
    launch.look(after=STALE_SECONDS)
    assert launch.lines[-1].endswith("process 1 on far is gone; taking over")
    assert (launch.board.held, launch.held.name in launch.board.waiting) == ({}, True)
    assert set(launch.others.stale_claims) == {launch.held.name}


def test_it_is_done_when_the_other_launch_has_finished_it(tmp_path: Path) -> None:
    launch = Launch(tmp_path)
    launch.end(result={"train_seconds": 2.0, "evaluate_seconds": 1.0, "estimates": {}})
    launch.look()
    assert launch.lines[-1].endswith(": done by another launch")
    assert (launch.board.done, launch.board.failed, launch.board.held) == (1, 0, {})


def test_it_has_failed_when_it_has_failed_there(tmp_path: Path) -> None:
    launch = Launch(tmp_path)
    failure = {"class": "diverged", "attempt": 1, "message": "the loss is nan"}
    launch.end(failure=failure)
    launch.look()
    assert launch.lines[-1].endswith(": failed in another launch")
    assert launch.board.failures == {launch.held.name: failure}
    assert (launch.board.done, launch.board.failed, launch.board.held) == (0, 1, {})


def test_a_failure_from_before_is_none_of_the_launch_that_retries_it(tmp_path: Path) -> None:
    """It released the run without a failure of its own: this launch may do it."""
    before = {"class": "code", "attempt": 1, "message": "no"}
    launch = Launch(tmp_path, before)
    launch.end()
    launch.look()
    assert (launch.board.failed, launch.held.name in launch.board.waiting) == (0, True)
    again = Launch(tmp_path, before)
    again.end(failure={**before, "attempt": 2})
    again.look()
    assert again.board.failures == {again.held.name: {**before, "attempt": 2}}


def test_a_damaged_result_is_left_to_the_run_that_repairs_it(tmp_path: Path) -> None:
    launch = Launch(tmp_path)
    launch.end()
    launch.held.store.write(f"{launch.held.name}/result.json", b"{}")
    launch.look()
    assert launch.held.name in launch.board.waiting


def test_a_storage_that_fails_is_asked_again_and_ends_only_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = Launch(tmp_path)

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(other_launches, "read_claim", broken)
        launch.look()
        assert set(launch.board.held) == {launch.held.name}
        with pytest.raises(InputError, match=f"storage {tmp_path}.* cannot be read"):
            launch.others.begin()
    launch.look(after=1.0)
    assert set(launch.board.held) == {launch.held.name}
    launch.end()
    launch.look()
    assert launch.board.held == {}
