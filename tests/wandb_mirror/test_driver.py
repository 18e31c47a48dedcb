"""A launch's end of the mirror: what it tells, and what it refuses before anything is started."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lvae_core.data.corpus import load
from lvae_core.identity import fingerprint
from lvae_core.run_folder.folder import Study
from sweeps.launching.board import Board
from sweeps.paper_grid import main
from sweeps.planning.grid import Grid
from sweeps.planning.plan import Plan, make_plan
from sweeps.wandb_mirror.live import _news, mirrored

from ..wandb_server.server import Server
from .kit import KEY, assert_mirrored, complete, rows, until

GRID = Grid(datasets=("toy",), systems={"lstm-vae": (1,)}, settings=("standard",), seeds=4, changes=())


def planned(study: Path) -> tuple[Plan, list[str]]:
    plan = make_plan(GRID.configs(), {"toy": "d" * 64}, Study(str(study)))
    return plan, [run.name for run in plan.runs]


def write(study: Path, plan: Plan, place: int, epochs: int) -> None:
    run = plan.runs[place]
    folder = Study(str(study)).run(run.name)
    folder.write_config(run.config, fingerprint(run.config, "d" * 64))
    folder.write_metrics(rows(epochs))


def test_it_tells_what_runs_and_once_what_has_ended(tmp_path: Path) -> None:
    plan, (a, b, c, d) = planned(tmp_path / "study")
    write(tmp_path / "study", plan, 3, 1)
    plan, _ = planned(tmp_path / "study")
    board = Board.of(plan, plan.runs)
    news = _news(plan, board)
    assert next(news) == {"running": [], "over": [d]}  # it was begun by an earlier launch
    board.start(a)
    board.start(b)
    board.hold(c)
    assert next(news) == {"running": sorted([a, b]), "over": []}
    board.report(a, {"phase": "failed", "failure": {}})
    board.lose(b)
    assert next(news) == {"running": [], "over": [a, b]}
    assert next(news) == {"running": [], "over": []}
    board.start(b)
    board.failed_in_other(c, {})
    assert next(news) == {"running": [b], "over": [c]}
    board.report(b, {"phase": "stopped"})
    assert next(news) == {"running": [], "over": [b]}


@pytest.fixture
def user(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process is that of a user of ``server``."""
    for name, value in {"HOME": home, "NETRC": home / "netrc", "WANDB_BASE_URL": server.url}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.chdir(home)
    return home


def test_a_launch_is_mirrored_while_it_goes_on(
    server: Server, user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    study = tmp_path / "study"
    plan, names = planned(study)
    lines: list[str] = []
    with mirrored("online", str(study), "mine", None, lines.append) as mirror:
        # What the launch starts from here on has no use for the key.
        assert "WANDB_API_KEY" not in os.environ
        board = Board.of(plan, plan.runs)
        mirror(plan, board)
        for place, name in enumerate(names[:2]):
            write(study, plan, place, 2)
            board.start(name)
        folder = Study(str(study)).run(names[0])
        until(lambda: len(server.runs) == 2)
        complete(folder)
        done = {"phase": "done", "train_seconds": 1.0, "evaluate_seconds": 1.0}
        board.report(names[0], {**done, "metrics": None})
        board.report(names[1], {"phase": "stopped"})
    assert os.environ["WANDB_API_KEY"] == KEY
    assert lines == [f"W&B has 2 runs: {server.url}/reader/mine"]
    assert_mirrored(server, folder)
    assert sorted(run.states[-1] for run in server.runs.values()) == ["finished", "preempted"]


def test_a_mirror_that_dies_harms_nothing(
    server: Server, user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    plan, _ = planned(tmp_path / "study")
    lines: list[str] = []
    with mirrored("online", str(tmp_path / "study"), "mine", "me", lines.append) as mirror:
        mirror(plan, Board.of(plan, plan.runs))
        mirror.__self__._process.kill()  # type: ignore[attr-defined]
    (line,) = lines
    assert line == (
        "W&B lacks some runs (the mirror did not answer); nothing is lost, next: "
        f"python sweeps/wandb_push.py {tmp_path / 'study'} --project mine --entity me"
    )


def test_without_a_key_nothing_is_started(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--datasets", "toy", "--seeds", "1", "--wandb", "online"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --wandb online: no API key for http://127.0.0.1")
    assert error.count("\n") == 1
    assert not (user / "runs").exists()


def test_without_the_library_nothing_is_started(
    user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--datasets", "toy", "--seeds", "1", "--wandb", "offline"]
    with monkeypatch.context() as without:
        without.setattr(sys, "path", [])
        without.delitem(sys.modules, "wandb", raising=False)
        assert main(arguments) == 2
    assert capsys.readouterr().err == (
        "error: --wandb offline: wandb is not installed; pip install 'lvae[wandb]'\n"
    )
    assert not (user / "runs").exists()


def test_the_command_again_sends_what_earlier_ones_have_not(
    server: Server, user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--datasets", "toy", "--systems", "lstm-vae", "--num-samples", "1", "--seeds", "2"]
    arguments += ["--settings", "standard", "--study", "study"]
    sha256, study = load("toy").data_sha256, Study("runs/study")
    plan = make_plan(replace(GRID, seeds=2).configs(), {"toy": sha256}, study)
    for run in plan.runs:
        study.run(run.name).write_config(run.config, fingerprint(run.config, sha256))
        study.run(run.name).write_metrics(rows(2, run.config.seed))
        complete(study.run(run.name))
    assert main([*arguments, "--wandb", "offline"]) == 0
    out = capsys.readouterr().out
    assert "nothing to start: 2 of 2 runs are done" in out
    assert "W&B: 2 runs written; next: wandb sync ./wandb" in out
    assert len(list((user / "wandb").glob("offline-run-*"))) == 2
    assert main([*arguments, "--wandb", "offline"]) == 0
    assert len(list((user / "wandb").iterdir())) == 2
