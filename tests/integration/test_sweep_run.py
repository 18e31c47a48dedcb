"""The grid on a real Ray: results, reuse of finished runs, failures, lost processes and interruptions."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from rich.console import Console

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus, load
from lvae_core.run_folder.folder import reproducible
from lvae_core.run_folder.study import Study
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.launching.launch import launch
from sweeps.launching.progress.board import Board
from sweeps.launching.progress.display import Display
from sweeps.paper_grid import main
from sweeps.planning.grid import Grid
from sweeps.planning.plan import Plan
from sweeps.planning.resources import Resources
from sweeps.planning.run_lookup import make_plan
from sweeps.planning.workload import Workload

from .nodes import is_alive, process_tree, wait_until

pytestmark = pytest.mark.usefixtures("one_ray_for_all")

SCRIPT = Path(__file__).parents[2] / "sweeps" / "paper_grid.py"
SUMMARIZE = Path(__file__).parents[2] / "analysis" / "summarize.py"
SMALL = ("max_epochs=3", "kl_anneal_epochs=2", "iw_samples=6")
GRID = Grid(
    datasets=("toy",),
    systems={"lstm-lm": (1,), "lstm-vae-avg": (2,)},
    settings=("standard",),
    seeds=2,
    changes=SMALL,
)
WITHOUT_SEEDS = [
    *("--datasets", "toy", "--systems", "lstm-lm", "lstm-vae-avg", "--num-samples", "2"),
    *("--settings", "standard", "--set", *SMALL),
]
COMMAND = [*WITHOUT_SEEDS, "--seeds", "2"]


class DisturbingBoard(Board):
    """Record the process of every report and cause failures.

    Kill the first ``kills`` processes that report training, then raise ``crashes`` errors in Tune itself.
    """

    kills = crashes = 0

    def report(self, name: str, report: Mapping[str, Any]) -> None:
        super().report(name, report)
        self.__dict__.setdefault("pids", []).append(report["pid"])
        if report["phase"] == "train" and self.kills:
            self.kills -= 1
            os.kill(report["pid"], signal.SIGKILL)
        elif report["phase"] == "train" and self.crashes:
            self.crashes -= 1
            raise RuntimeError("an error in Tune's own process")

    @property
    def pids(self) -> set[int]:
        return set(self.__dict__.get("pids", ()))


def run_sweep(
    configs: Sequence[RunConfig],
    root: Path,
    toy: Corpus,
    *,
    kills: int = 0,
    crashes: int = 0,
    losses: int = 5,
) -> tuple[Plan, DisturbingBoard]:
    """Launch the unfinished runs of ``configs`` and return the plan afterwards and the board."""
    study, data = Study(str(root)), {"toy": toy.data_sha256}
    plan = make_plan(configs, data, study, evaluate=True)
    todo = plan.with_status("left", "failed")
    board = DisturbingBoard.of(plan, todo)
    board.kills, board.crashes = kills, crashes
    with open(os.devnull, "w") as nowhere, Display(board, Console(file=nowhere)) as display:
        workload = Workload(
            plan=plan, corpora={"toy": toy}, study=study, resources=Resources(max_concurrent=2)
        )
        assert launch(workload.only(todo), display, max_losses=losses)
    return make_plan(configs, data, study, evaluate=True), board


def reproducible_numbers(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return the numbers of a run that must be equal to the last bit."""
    result = json.loads((folder / "result.json").read_text())
    del result["sha256"]  # it also covers the times
    return reproducible(result), (folder / "metrics.jsonl").read_bytes()


def assert_same_as_without_ray(configs: Sequence[RunConfig], root: Path, alone: Path, toy: Corpus) -> None:
    """Check that the runs below ``root`` have the same numbers as runs in sequence without Ray."""
    study = Study(str(alone))
    plan = make_plan(configs, {"toy": toy.data_sha256}, study, evaluate=True)
    for run in plan.runs:
        for _ in execute(run.config, toy, study.run(run.name), Runtime(threads=1)):
            pass
        assert reproducible_numbers(root / run.name) == reproducible_numbers(alone / run.name)


def run_on_this_ray(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a new process that joins the Ray of these tests."""
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, str(SCRIPT), *arguments, "--address", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_a_private_ray_has_no_process_that_nothing_uses():
    running = {word for child in psutil.Process().children(recursive=True) for word in child.cmdline()}
    names = {Path(word).name for word in running}
    assert {"raylet", "gcs_server"} <= names
    assert not names & {"log_monitor.py", "dashboard.py", "monitor.py"}


def test_a_corpus_is_shared_not_copied():
    original = load("pydocs")
    shared = ray.get(ray.put(original))
    for split in ("train", "valid", "test"):
        tokens = getattr(shared, split).tokens
        # An array in the object store is read-only; a copy would be writable.
        assert not tokens.flags.writeable
        assert (tokens == getattr(original, split).tokens).all()


def test_a_sweep_gives_the_same_numbers_as_without_ray_and_repeats_no_run(
    tmp_path, toy, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "runs" / "paper"
    assert main(COMMAND) == 0
    assert f"next: python {SUMMARIZE} runs/paper" in capsys.readouterr().out
    assert_same_as_without_ray(GRID.configs(), study, tmp_path / "alone", toy)

    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    assert main(COMMAND) == 0
    assert "nothing to start: 4 of 4 runs are done" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before

    more = run_on_this_ray(*WITHOUT_SEEDS, "--seeds", "3", "--max-concurrent", "1")
    assert (more.returncode, more.stderr) == (0, "")
    assert "2 of 6 runs to do" in more.stdout
    assert "\x1b" not in more.stdout
    after = {path: path.stat().st_mtime_ns for path in study.rglob("result.json")}
    assert len(after) == 6
    assert {path: after[path] for path in after if path in before} == {
        path: before[path] for path in before if path.name == "result.json"
    }


def test_a_run_that_fits_nowhere_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*COMMAND, "--cpus-per-run", "10000", "--study", "none"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --cpus-per-run 10000: this ")


def test_gpus_per_run_without_a_gpu_is_refused_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*COMMAND, "--gpus-per-run", "auto"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --gpus-per-run auto: this machine has no GPU; leave it out")
    assert main([*COMMAND, "--gpus-per-run", "1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --gpus-per-run 1: this ")
    assert " has 0 GPUs; give a lower number, or the --address of" in line


def test_a_run_that_fails_stops_no_other_and_its_actor_is_reused(tmp_path, toy):
    bad, *good = GRID.configs()
    configs = [dataclasses.replace(bad, learning_rate=1e30), *good]
    plan, board = run_sweep(configs, tmp_path, toy)
    assert [run.status for run in plan.runs] == ["failed", "done", "done", "done"]
    failure = plan.runs[0].failure
    assert failure is not None
    assert (failure["class"], failure["attempt"]) == ("diverged", 1)
    assert "DivergedError" in failure["traceback"]
    assert len(failure["traceback"].splitlines()) <= 40
    assert list(board.failures) == [plan.runs[0].name]
    # Four runs share at most two actors.
    assert 1 <= len(board.pids) <= 2
    assert_same_as_without_ray(good, tmp_path, tmp_path / "alone", toy)


@pytest.mark.slow  # the test above fails a run, and tests/chaos/test_failure_classes.py retries one
def test_failed_runs_are_listed_and_skipped_until_a_retry_is_requested(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bad = ["--datasets", "toy", "--systems", "lstm-vae-avg", "--num-samples", "2", "--seeds", "1"]
    bad += ["--settings", "standard", "--set", *SMALL, "learning_rate=1e30"]
    assert main(bad) == 1
    (file,) = tmp_path.rglob("failure.json")
    assert "diverged" in capsys.readouterr().out
    assert main(bad) == 1
    out = capsys.readouterr().out
    assert "nothing to start: 0 of 1 runs are done" in out
    assert "diverged" in out
    assert json.loads(file.read_text())["attempt"] == 1
    assert main([*bad, "--retry-failed"]) == 1
    assert json.loads(file.read_text())["attempt"] == 2


LONG = dataclasses.replace(
    GRID,
    systems={"lstm-vae-avg": (2,)},
    seeds=1,
    changes=("max_epochs=24", "patience=24", *SMALL[1:]),
)
LONG_COMMAND = [
    *("--datasets", "toy", "--systems", "lstm-vae-avg", "--num-samples", "2"),
    *("--settings", "standard", "--seeds", "1", "--set", *LONG.changes),
]


@pytest.mark.slow  # the next test resumes one, and tests/sweeps/launching/trouble counts losses
def test_a_killed_run_resumes_and_a_run_that_is_lost_too_often_fails(tmp_path, toy):
    plan, board = run_sweep(LONG.configs(), tmp_path, toy, kills=1, losses=0)
    (run,) = plan.with_status("failed")
    assert run.failure is not None
    assert run.failure["class"] == "infrastructure"
    assert "lost 1 times" in run.failure["message"]
    assert board.failures.keys() == {run.name}

    plan, board = run_sweep(LONG.configs(), tmp_path, toy, kills=1, crashes=1)
    assert [run.status for run in plan.runs] == ["done"]
    assert len(board.pids) == 3
    assert not (tmp_path / run.name / "failure.json").exists()
    assert len(json.loads((tmp_path / run.name / "provenance.json").read_text())["attempts"]) == 4
    assert_same_as_without_ray(LONG.configs(), tmp_path, tmp_path / "alone", toy)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=str
)
def test_an_interrupted_sweep_saves_and_the_next_launch_resumes_it(number, tmp_path, toy, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), *LONG_COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
    ) as first:
        assert wait_until(lambda: count_rows(tmp_path) >= 3)
        inside = process_tree(first.pid)
        assert_token_is_secret(inside, tmp_path)
        first.send_signal(number)
        out, err = first.communicate(timeout=240)
    assert (first.returncode, err) == (130, "")
    again = f"interrupted; resume with: python {SCRIPT} {shlex.join(LONG_COMMAND)}"
    assert again in out
    assert wait_until(lambda: not any(map(is_alive, inside)))
    (folder,) = (path for path in (tmp_path / "runs" / "paper").iterdir() if path.is_dir())
    assert {path.name for path in folder.iterdir()} == {
        *("checkpoint.previous.pt", "checkpoint.pt", "config.json", "metrics.jsonl", "provenance.json"),
        "steps.jsonl",
    }

    # If a run started afresh, its metrics file would become empty.
    done, fewest = threading.Event(), [count_rows(tmp_path)]
    watch = threading.Thread(target=lambda: track_fewest_rows(tmp_path, done, fewest))
    watch.start()
    assert main(LONG_COMMAND) == 0
    done.set()
    watch.join()
    assert fewest[-1] >= fewest[0] >= 3
    assert_same_as_without_ray(LONG.configs(), folder.parent, tmp_path / "alone", toy)


def count_rows(root: Path) -> int:
    """Return the largest number of lines in any metrics file."""
    return max((len(path.read_bytes().splitlines()) for path in root.rglob("metrics.jsonl")), default=0)


def track_fewest_rows(root: Path, done: threading.Event, fewest: list[int]) -> None:
    """Append the smallest number of rows that is seen until ``done``."""
    fewest.append(fewest[0])
    while not done.wait(0.02):
        fewest[-1] = min(fewest[-1], count_rows(root))


def assert_token_is_secret(pids: Sequence[int], study: Path) -> None:
    """Check that Ray's token is only in its processes' environment and that the dashboard is local."""
    environments, commands = [], []
    for pid in pids:
        with contextlib.suppress(OSError):
            environments.append(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
            commands.append(Path(f"/proc/{pid}/cmdline").read_bytes())
    tokens = {e.partition(b"=")[2] for env in environments for e in env if e.startswith(b"RAY_AUTH_TOKEN=")}
    (token,) = tokens
    assert len(token) == 64
    assert not any(token in command for command in commands)
    assert all(b"--host=127.0.0.1" in c for c in commands if b"dashboard/dashboard.py" in c)
    (raylet,) = (command for command in commands if b"--raylet_socket_name=" in command)
    session = Path(re.search(rb"--raylet_socket_name=(/.*?/session_[^/]*)/", raylet)[1].decode())  # type: ignore[index]
    files = [path for root in (study, session) for path in root.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not any(token in path.read_bytes() for path in files)
