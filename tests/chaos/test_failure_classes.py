"""Failures of every class with real causes: recorded, isolated, listed, and taken up again on demand."""

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
from lvae_core.run_folder.folder import Study
from lvae_core.run_folder.names import RunName
from sweeps.cluster.connect import OWN_RAY, environment
from sweeps.launching.board import Board
from sweeps.launching.display import Display
from sweeps.launching.launch import launch
from sweeps.planning.grid import Grid
from sweeps.planning.plan import make_plan
from sweeps.planning.resources import Resources
from sweeps.planning.workload import Workload

from .place import write_corpus
from .sweep_command import GRID, SCRIPT, Launch, Runs, closing, times_of, until

pytestmark = pytest.mark.timeout(900)

HUGE = 999_999_999
"""Latent samples whose noise alone takes terabytes."""

# At this learning rate lstm-lm learns, and lstm-vae's KL explodes.
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
    """Another checkout, to be damaged; its command."""
    for package in ("lvae_core", "sweeps"):
        shutil.copytree(SCRIPT.parents[1] / package, folder / package)
    return folder / "sweeps" / SCRIPT.name


def kind(name: str) -> str:
    parts = RunName.parse(name)
    assert parts is not None
    return str(parts.cell).removeprefix("toy__")


def recorded(runs: Runs) -> dict[str, tuple[str, int] | None]:
    """Kind of run -> class and attempt of its failure, as recorded."""
    found: dict[str, tuple[str, int] | None] = {}
    for name in runs.names():
        try:
            failure = runs.json(name, "failure.json")
        except FileNotFoundError:
            found[kind(name)] = None
            continue
        assert RAISED[failure["class"]] in failure["traceback"]
        assert len(failure["traceback"].splitlines()) <= 40
        assert failure["message"]
        found[kind(name)] = failure["class"], failure["attempt"]
    return found


def listed(output: str) -> set[str]:
    """The runs in the closing table of failures; long names take several lines."""
    names: list[str] = []
    for line in output.partition("failed runs")[2].splitlines():
        cells = [cell.strip() for cell in line.split("│")]
        if len(cells) == 6 and cells[3]:
            names.append(cells[1])
        elif len(cells) == 6:
            names[-1] += cells[1]
    return set(names)


def test_every_failure_has_its_class_and_stops_no_other_run(tmp_path, scratch):
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
    assert recorded(runs) == once, damaged.output
    (done,) = runs.done()
    assert kind(done) == "lstm-lm__standard__L0"
    assert listed(damaged.output) == set(runs.names()) - {done}

    # The code is mended: exactly the failed runs are taken up, and those that failed by it are done.
    before = times_of(tmp_path / "s", [done])
    mended = Launch(tmp_path, scratch, "--retry-failed", grid=MIXED)
    with closing(mended):
        assert mended.wait() == 1, mended.output
        assert "5 of 6 runs to do" in mended.output
    twice = {k: None if c in (None, "code") else (c, 2) for k, c in EXPECTED.items()}
    # Mended or not, lstm-vae diverges at this learning rate.
    twice["lstm-vae__inputless__L2"] = ("diverged", 2)
    assert recorded(runs) == twice, mended.output
    assert sorted(map(kind, runs.done())) == ["lstm-lm__inputless__L0", "lstm-lm__standard__L0"]
    assert times_of(tmp_path / "s", [done]) == before


@pytest.mark.slow
def test_an_environment_that_breaks_under_way_is_a_failure_of_code(tmp_path, scratch, undisturbed_table):
    """Processes that cannot start any more are not tried for ever, and what they were to do is not lost."""
    runs = Runs(tmp_path)
    script = copy_of_the_code(tmp_path / "code")
    given = {"grid": GRID, "script": script, "environment": {"PYTHONPATH": str(tmp_path / "code")}}
    launch = Launch(tmp_path, scratch, **given)
    module = tmp_path / "code" / "lvae_core" / "schedule.py"
    with closing(launch):
        until(lambda: len(runs.claims()) == 2, launch)
        sound = module.read_text()
        module.write_text("raise OSError('damaged')\n")
        # Both: a process that is left would do all the runs.
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
    mended = Launch(tmp_path, scratch, "--retry-failed", **given)
    with closing(mended):
        assert mended.wait() == 0, mended.output
    assert runs.table() == undisturbed_table


@pytest.mark.slow
def test_data_that_vanishes_under_way_harms_nothing_and_is_missed_by_the_next_launch(tmp_path, scratch):
    """All of it is in memory by then; a launch that does not find it starts nothing."""
    words = tmp_path / "words"
    words.mkdir()
    write_corpus(words)
    sizes = ["embedding_size=4", "hidden_size=8", "latent_size=2"]
    grid = ["--datasets", str(words), *GRID[2:], *sizes]
    runs = Runs(tmp_path)
    launch = Launch(tmp_path, scratch, grid=grid)
    with closing(launch):
        until(lambda: bool(runs.claims()), launch)
        shutil.rmtree(words)
        assert launch.wait() == 0, launch.output
    again = Launch(tmp_path, scratch, "--seeds", "3", grid=grid)
    with closing(again):
        assert again.wait() == 2
        (line,) = again.output.splitlines()
        assert line.startswith("error: ")
        assert str(words) in line


LITTLE = 16 * 2**20
"""Bytes: enough for training, and far from enough for the evaluation of ``GREEDY``."""

GREEDY = ("max_epochs=80", "patience=80", "kl_anneal_epochs=2", "latent_size=256", "iw_samples=200")


class Starving(Board):
    """Leaves the first process that reports little more memory than it has."""

    starved: int | None = None

    def report(self, name: str, report: Mapping[str, Any]) -> None:
        super().report(name, report)
        if self.starved is None and report["phase"] == "train":
            self.starved = report["pid"]
            used = int(Path(f"/proc/{self.starved}/statm").read_text().split()[0]) * resource.getpagesize()
            resource.prlimit(self.starved, resource.RLIMIT_AS, (used + LITTLE, used + LITTLE))


@pytest.mark.parametrize("share", [0.25, pytest.param(1.0, marks=pytest.mark.slow)])
def test_out_of_memory_in_a_share_of_a_gpu_is_tried_once_more_in_a_larger_one(share, tmp_path, scratch):
    """A GPU that Ray believes in; the memory that gives out is the process's own."""
    toy = load("toy")
    grid = Grid(
        datasets=("toy",),
        systems={"lstm-vae-avg": (2,)},
        settings=("standard",),
        seeds=1,
        changes=(*GREEDY, "eval_batch_size=100"),
    )
    study = Study(str(tmp_path))
    plan = make_plan(grid.configs(), {"toy": toy.data_sha256}, study)
    (todo,) = plan.runs
    with simulated_gpu(scratch), (tmp_path / "log").open("w") as log:
        board = Starving.of(make_plan(grid.configs(), {"toy": toy.data_sha256}, study), [todo])
        with Display(board, Console(file=log, width=200)) as display:
            resources = Resources(gpus=share, device="cpu")
            workload = Workload(plan=plan, corpora={"toy": toy}, study=study, resources=resources)
            assert launch(workload, display)
    told = (tmp_path / "log").read_text()
    if share == 1.0:
        failure = study.run(todo.name).read_json("failure.json")
        assert failure is not None
        assert (failure["class"], failure["attempt"]) == ("out_of_memory", 1)
        return
    assert "out of memory; to be tried once more on 0.5 GPUs" in told
    assert study.run(todo.name).has("result.json")
    assert not study.run(todo.name).has("failure.json")


@contextlib.contextmanager
def simulated_gpu(folder: Path):
    # Ray keeps to the first token that a process shows it: it is to be that of all our own Rays.
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
