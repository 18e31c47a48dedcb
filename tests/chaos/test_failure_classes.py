"""Failures of every class, with real causes, are recorded, isolated, listed and retried on request."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import ray
from rich.console import Console

from lvae_core.data.corpus import load
from lvae_core.run_folder.names import RunName
from lvae_core.run_folder.study import Study
from sweeps.cluster.connect import OWN_RAY
from sweeps.cluster.replaced import environment
from sweeps.launching.launch import launch
from sweeps.launching.progress.board import Board
from sweeps.launching.progress.display import Display
from sweeps.planning.grid import Grid
from sweeps.planning.resources import Resources
from sweeps.planning.run_lookup import make_plan
from sweeps.planning.workload import Workload

from .small_run import write_corpus
from .sweep_command import GRID, SCRIPT, Launch, Runs, closing, modification_times, wait_until

HUGE = 999_999_999
"""A number of latent samples whose noise alone takes terabytes."""

# At this learning rate lstm-lm learns, but lstm-vae's KL explodes.
MIXED = [
    *("--datasets", "toy", "--systems", "lstm-lm", "lstm-vae", "--num-samples", "2", str(HUGE)),
    *("--settings", "standard", "inputless", "--seeds", "1"),
    *("--set", "learning_rate=10", "latent_size=64", "max_epochs=3", "kl_anneal_epochs=1", "iw_samples=6"),
]
EXPECTED = {
    "lstm-lm__standard__L0": None,
    "lstm-lm__inputless__L0": "code",
    "lstm-vae__standard__L2": "diverged",
    "lstm-vae__inputless__L2": "code",
    f"lstm-vae__standard__L{HUGE}": "out_of_memory",
    f"lstm-vae__inputless__L{HUGE}": "out_of_memory",
}
RAISED = {
    "code": "AttributeError: 'LSTMDecoder' object has no attribute 'misspelt'",
    "diverged": "DivergedError: the loss has exploded",
    "out_of_memory": "MemoryError",
}


def copy_of_the_code(folder: Path) -> Path:
    """Copy the code, so that a test can damage it, and return the copy's command."""
    for package in ("lvae_core", "sweeps"):
        shutil.copytree(SCRIPT.parents[1] / package, folder / package)
    return folder / "sweeps" / SCRIPT.name


def cell_without_dataset(name: str) -> str:
    parts = RunName.parse(name)
    assert parts is not None
    return str(parts.cell).removeprefix("toy__")


def recorded_failures(runs: Runs) -> dict[str, tuple[str, int] | None]:
    """Return class and attempt of the recorded failure of each cell."""
    found: dict[str, tuple[str, int] | None] = {}
    for name in runs.names():
        try:
            failure = runs.json(name, "failure.json")
        except FileNotFoundError:
            found[cell_without_dataset(name)] = None
            continue
        assert RAISED[failure["class"]] in failure["traceback"]
        assert len(failure["traceback"].splitlines()) <= 40
        assert failure["message"]
        found[cell_without_dataset(name)] = failure["class"], failure["attempt"]
    return found


def listed_failures(output: str) -> set[str]:
    """Return the runs in the final table of failures, in which long names take several lines."""
    names: list[str] = []
    for line in output.partition("failed runs")[2].splitlines():
        cells = [cell.strip() for cell in line.split("│")]
        if len(cells) == 6 and cells[3]:
            names.append(cells[1])
        elif len(cells) == 6:
            names[-1] += cells[1]
    return set(names)


@pytest.mark.slow  # tests/integration/test_sweep_run.py has a fast test of this
def test_every_failure_is_recorded_with_its_class_and_stops_no_other_run(tmp_path, scratch):
    runs = Runs(tmp_path)
    script = copy_of_the_code(tmp_path / "code")
    decoder = tmp_path / "code" / "lvae_core" / "model" / "contracts.py"
    decoder.write_text(decoder.read_text().replace("self.hidden_word.expand(", "self.misspelt.expand("))
    damaged = Launch(
        tmp_path, scratch, grid=MIXED, script=script, environment={"PYTHONPATH": str(tmp_path / "code")}
    )
    with closing(damaged):
        assert damaged.wait() == 1, damaged.output
    once = {k: None if c is None else (c, 1) for k, c in EXPECTED.items()}
    assert recorded_failures(runs) == once, damaged.output
    (done,) = runs.done()
    assert cell_without_dataset(done) == "lstm-lm__standard__L0"
    assert listed_failures(damaged.output) == set(runs.names()) - {done}

    # With the original code exactly the failed runs are retried; those that failed by the damage succeed.
    before = modification_times(tmp_path / "s", [done])
    retried = Launch(tmp_path, scratch, "--retry-failed", grid=MIXED)
    with closing(retried):
        assert retried.wait() == 1, retried.output
        assert "5 of 6 runs to do" in retried.output
    twice = {k: None if c in (None, "code") else (c, 2) for k, c in EXPECTED.items()}
    # With the original code, too, lstm-vae diverges at this learning rate.
    twice["lstm-vae__inputless__L2"] = ("diverged", 2)
    assert recorded_failures(runs) == twice, retried.output
    assert sorted(map(cell_without_dataset, runs.done())) == [
        "lstm-lm__inputless__L0",
        "lstm-lm__standard__L0",
    ]
    assert modification_times(tmp_path / "s", [done]) == before


@pytest.mark.slow
def test_runs_fail_as_code_if_their_processes_can_no_longer_start(tmp_path, scratch, undisturbed_table):
    """The sweep does not retry such processes for ever, and records the failure of each of their runs."""
    runs = Runs(tmp_path)
    script = copy_of_the_code(tmp_path / "code")
    given = {"grid": GRID, "script": script, "environment": {"PYTHONPATH": str(tmp_path / "code")}}
    launch = Launch(tmp_path, scratch, **given)
    module = tmp_path / "code" / "sweeps" / "launching" / "trainable.py"
    with closing(launch):
        wait_until(lambda: len(runs.claims()) == 2, launch)
        sound = module.read_text()
        module.write_text("raise OSError('damaged')\n")
        # Kill both processes: one that is left would do all the runs.
        for pid in runs.claims().values():
            os.kill(pid, signal.SIGKILL)
        assert launch.wait() == 1, launch.output
    failed = set(runs.names()) - set(runs.done())
    assert failed
    for run in failed:
        failure = runs.json(run, "failure.json")
        assert (failure["class"], failure["attempt"]) == ("code", 1)
        assert "its process could not start: OSError: damaged" in failure["message"]
        assert "raise OSError(" in failure["traceback"]

    module.write_text(sound)
    retried = Launch(tmp_path, scratch, "--retry-failed", **given)
    with closing(retried):
        assert retried.wait() == 0, retried.output
    assert runs.table() == undisturbed_table


@pytest.mark.slow
def test_deleting_the_data_during_a_sweep_stops_only_the_next_launch(tmp_path, scratch):
    """A sweep has all its data in memory; a launch that does not find the data starts nothing."""
    words = tmp_path / "words"
    words.mkdir()
    write_corpus(words)
    sizes = ["embedding_size=4", "hidden_size=8", "latent_size=2"]
    grid = ["--datasets", str(words), *GRID[2:], *sizes]
    runs = Runs(tmp_path)
    launch = Launch(tmp_path, scratch, grid=grid)
    with closing(launch):
        wait_until(lambda: bool(runs.claims()), launch)
        shutil.rmtree(words)
        assert launch.wait() == 0, launch.output
    seeds = grid.index("--seeds") + 1
    again = Launch(tmp_path, scratch, grid=[*grid[:seeds], "3", *grid[seeds + 1 :]])
    with closing(again):
        assert again.wait() == 2
        (line,) = again.output.splitlines()
        assert line.startswith("error: ")
        assert str(words) in line


LITTLE = 16 * 2**20
"""Bytes: enough to train ``GREEDY``, but far too few to evaluate it."""

GREEDY = ("max_epochs=80", "patience=80", "kl_anneal_epochs=2", "latent_size=256", "iw_samples=200")


class MemoryLimitingBoard(Board):
    """Limit the first process that reports training to little more memory than it uses."""

    limited: int | None = None

    def report(self, name: str, report: Mapping[str, Any]) -> None:
        super().report(name, report)
        if self.limited is None and report["phase"] == "train":
            self.limited = report["pid"]
            used = int(Path(f"/proc/{self.limited}/statm").read_text().split()[0]) * resource.getpagesize()
            resource.prlimit(self.limited, resource.RLIMIT_AS, (used + LITTLE, used + LITTLE))


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_out_of_memory_in_a_share_of_a_gpu_is_retried_once_with_a_larger_share(share, tmp_path, scratch):
    """Ray is given a GPU that does not exist; the memory that runs out is the process's main memory."""
    toy = load("toy")
    grid = Grid(
        datasets=("toy",),
        systems={"lstm-vae-avg": (2,)},
        settings=("standard",),
        seeds=1,
        changes=(*GREEDY, "eval_batch_size=100"),
    )
    study = Study(str(tmp_path))
    plan = make_plan(grid.configs(), {"toy": toy.data_sha256}, study, evaluate=True)
    (todo,) = plan.runs
    with simulated_gpu(scratch), (tmp_path / "log").open("w") as log:
        board = MemoryLimitingBoard.of(
            make_plan(grid.configs(), {"toy": toy.data_sha256}, study, evaluate=True), [todo]
        )
        with Display(board, Console(file=log, width=200)) as display:
            resources = Resources(gpus=share, device="cpu")
            workload = Workload(plan=plan, corpora={"toy": toy}, study=study, resources=resources)
            assert launch(workload, display)
    output = (tmp_path / "log").read_text()
    if share == 1.0:
        failure = study.run(todo.name).read_json("failure.json")
        assert failure is not None
        assert (failure["class"], failure["attempt"]) == ("out_of_memory", 1)
        return
    assert "out of memory; to be retried once on 0.5 GPUs" in output
    assert study.run(todo.name).has("result.json")
    assert not study.run(todo.name).has("failure.json")


@contextlib.contextmanager
def simulated_gpu(folder: Path):
    # Ray keeps the first token of a process, so use the token of all our local Rays.
    with environment(OWN_RAY):
        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=1,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=str(folder),
        )
        try:
            yield
        finally:
            ray.shutdown()
