"""A sweep's side of the mirror: how it starts and ends it, and what stops it before any run."""

from __future__ import annotations

import os
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lvae_core.data.corpus import load
from lvae_core.identity import fingerprint
from lvae_core.run_folder.study import Study
from sweeps import search
from sweeps.options import check_wandb_names
from sweeps.paper_grid import main
from sweeps.planning.grid import Grid
from sweeps.planning.plan import Plan
from sweeps.planning.run_lookup import make_plan
from sweeps.wandb_mirror.live import mirrored

from ..wandb_server.server import Server
from .kit import KEY, ROOT, Work, assert_mirrored, complete, rows, until

GRID = Grid(datasets=("toy",), systems={"lstm-vae": (1,)}, settings=("standard",), seeds=4, changes=())


def planned(study: Path) -> tuple[Plan, list[str]]:
    plan = make_plan(GRID.configs(), {"toy": "d" * 64}, Study(str(study)), evaluate=True)
    return plan, [run.name for run in plan.runs]


def write(study: Path, plan: Plan, place: int, epochs: int) -> None:
    run = plan.runs[place]
    folder = Study(str(study)).run(run.name)
    folder.write_config(run.config, fingerprint(run.config, "d" * 64))
    folder.write_metrics(rows(epochs))


@pytest.fixture
def user(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process that of a user of ``server``."""
    for name, value in {"HOME": home, "NETRC": home / "netrc", "WANDB_BASE_URL": server.url}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.chdir(home)
    return home


def test_a_launch_is_mirrored_while_it_runs(
    server: Server, user: Path, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    study = tmp_path / "study"
    plan, names = planned(study)
    lines: list[str] = []
    with mirrored("online", str(study), "mine", None, lines.append):
        # Processes that the launch starts from here on do not need the key.
        assert "WANDB_API_KEY" not in os.environ
        folder, stopped = (Study(str(study)).run(name) for name in names[:2])
        work.begin(folder, stopped)
        for place in range(2):
            write(study, plan, place, 2)
        until(lambda: len(server.runs) == 2)
        complete(folder)
        work.end(folder, stopped)
    assert os.environ["WANDB_API_KEY"] == KEY
    assert lines[-1] == f"W&B has 2 runs at {server.url}/reader/mine"
    assert set(lines[:-1]) <= {"W&B: sending what is left, 30 seconds at most"}  # if the machine is slow
    assert_mirrored(server, folder)
    assert sorted(run.states[-1] for run in server.runs.values()) == ["finished", "preempted"]


def test_a_mirror_that_dies_does_no_harm(
    server: Server, user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    lines: list[str] = []
    with mirrored("online", str(tmp_path / "study"), "mine", "me", lines.append):
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        (child,) = [pid for pid in children if b"--follow" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(int(child), signal.SIGKILL)
    (line,) = lines
    assert line == (
        "W&B lacks some runs (the mirror did not answer); nothing is lost, next: "
        f"python {ROOT}/sweeps/wandb_push.py {tmp_path / 'study'} --project mine --entity me"
    )


def test_without_a_key_nothing_is_started(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--datasets", "toy", "--seeds", "1", "--wandb", "online"]) == 2
    out, error = capsys.readouterr()
    assert error.startswith("error: --wandb online: no API key for http://127.0.0.1")
    assert error.count("\n") == 1
    assert out == "", "the error is the only line"
    assert not (user / "runs").exists()


def test_without_a_key_no_search_is_started(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = ["--dataset", "toy", "--space", "dropout=0.1,0.2", "--trials", "2"]
    assert search.main([*space, "--wandb", "online"]) == 2
    out, error = capsys.readouterr()
    assert error.startswith("error: --wandb online: no API key for http://127.0.0.1")
    assert (out, error.count("\n")) == ("", 1)
    assert not (user / "runs").exists()


def test_without_the_library_nothing_is_started(
    user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--datasets", "toy", "--seeds", "1", "--wandb", "offline"]
    with monkeypatch.context() as without:
        without.setattr(sys, "path", [])
        without.delitem(sys.modules, "wandb", raising=False)
        assert main(arguments) == 2
    assert capsys.readouterr() == (
        "",
        "error: --wandb offline: wandb is not installed; pip install -c constraints.txt -e '.[wandb]'\n",
    )
    assert not (user / "runs").exists()


@pytest.mark.slow
def test_repeating_the_command_sends_what_is_still_missing(
    server: Server, user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--datasets", "toy", "--systems", "lstm-vae", "--num-samples", "1", "--seeds", "2"]
    arguments += ["--settings", "standard", "--study", "study"]
    sha256, study = load("toy").data_sha256, Study("runs/study")
    plan = make_plan(replace(GRID, seeds=2).configs(), {"toy": sha256}, study, evaluate=True)
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


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("project", "team/vae", "none of / .*; give the owner with --wandb-entity"),
        ("project", "50%", "none of"),
        ("project", "", "use 1 to 128 characters"),
        ("project", "v" * 129, "use 1 to 128 characters"),
        ("entity", "my team", "use letters, digits"),
        ("entity", "team/vae", "use letters, digits"),
    ],
)
def test_a_name_that_wandb_refuses_ends_every_command_before_anything_starts(
    option: str, value: str, reason: str, user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--datasets", "toy", "--wandb", "online", f"--wandb-{option}", value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"error: --wandb-{option} .*{reason}", line)
    assert not (user / "runs").exists()


@pytest.mark.parametrize("project", ["lvae", "Ablation 2 (final)", "v" * 128])
def test_names_that_wandb_takes_are_taken(project: str) -> None:
    from wandb.sdk.wandb_settings import Settings

    assert Settings(project=project).project == project
    check_wandb_names(project, "my-team_2", prefix="--")
