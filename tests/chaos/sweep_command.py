"""Launches of one small study by the command, as a user makes them: to be killed, stopped and repeated."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tyro

from lvae_core.data.corpus import load
from lvae_core.run_folder.folder import Study, reproducible
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.paper_grid import Options
from sweeps.planning.plan import make_plan

SCRIPT = Path(__file__).parents[2] / "sweeps" / "paper_grid.py"

EPOCHS, STEPS = 80, 13
"""Of every run; steps are those of an epoch."""

GRID = [
    *("--datasets", "toy", "--systems", "lstm-lm", "lstm-vae-avg", "--num-samples", "2"),
    *("--settings", "standard", "--seeds", "2", "--set", f"max_epochs={EPOCHS}", f"patience={EPOCHS}"),
    *("kl_anneal_epochs=2", "iw_samples=6"),
]
"""Four runs of some seconds each."""

RUNS = 4

Table = dict[str, tuple[dict[str, Any], bytes]]


class Launch:
    """One start of the command, which leads a process group as it would from a terminal.

    Args:
        storage: of the study ``s``.
        scratch: an empty folder for what it keeps while it goes on; its path must be short.
        arguments: of the command, after those of the grid.
        script: that is started.
        grid: arguments that say what there is to do.
        environment: variables of its process.
    """

    def __init__(
        self,
        storage: str | Path,
        scratch: Path,
        *arguments: str,
        script: Path = SCRIPT,
        grid: list[str] = GRID,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.scratch = scratch
        self.arguments = [*grid, "--storage", str(storage), "--study", "s", *arguments]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self._log = scratch.parent / f"{scratch.name}.{time.monotonic_ns()}.log"
        self._output: str | None = None
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(script), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ray's workers import from the driver's working directory first.
                cwd=script.parents[1],
                env={**kept, "RAY_TMPDIR": str(scratch), **(environment or {})},
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log.read_text() if self._output is None else self._output

    def wait(self, seconds: float = 200.0) -> int:
        """Its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it goes on and on: {self.output}") from None

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL, self.output

    def press_ctrl_c(self) -> None:
        """As a terminal does it: a signal to every process of the group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def close(self) -> None:
        """End what is left of it."""
        for pid in [self.process.pid, *writers(self.scratch)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        if self._output is None:
            self._output = self.output
            self._log.unlink()


def writers(folder: Path) -> list[int]:
    """The processes that have a file below ``folder`` open for writing, as all of a Ray's have."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if link.lstat().st_mode & 0o200 and link.readlink().is_relative_to(folder):
                found.add(int(link.parts[2]))
    return sorted(found)


def until(holds: Callable[[], bool], launch: Launch, *, seconds: float = 120.0) -> None:
    """Wait until it holds while a launch goes on."""
    end = time.monotonic() + seconds
    while not holds():
        assert launch.process.poll() is None, f"it has ended: {launch.output}"
        assert time.monotonic() < end, f"it does not come to pass: {launch.output}"
        time.sleep(0.02)


class Runs:
    """What the run folders of the study ``s`` say, on whatever storage."""

    def __init__(self, storage: str | Path) -> None:
        self.study = Study(f"{storage}/s")

    def names(self) -> list[str]:
        return self.study.run_names()

    def done(self) -> list[str]:
        return [name for name in self.names() if self.study.run(name).has("result.json")]

    def rows(self, name: str) -> int:
        """Epochs that are in metrics.jsonl, whole or not."""
        try:
            return self.study.store.read(f"{name}/metrics.jsonl").count(b"\n")
        except FileNotFoundError:
            return 0

    def attempts(self, name: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self.json(name, "provenance.json")["attempts"]
        except FileNotFoundError:
            return []
        return found

    def json(self, name: str, file: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.study.store.read(f"{name}/{file}"))
        return found

    def claims(self) -> dict[str, int]:
        """Run -> the process that has claimed it."""
        found = {}
        for name in self.names():
            for file in self.study.store.names(name):
                if re.fullmatch(r"claim-\d+\.json", file):
                    with contextlib.suppress(FileNotFoundError):
                        found[name] = self.json(name, file)["pid"]
        return found

    def table(self) -> Table:
        """Run -> all that is promised to be the same to the last bit."""
        found = {}
        for name in self.names():
            result = self.json(name, "result.json")
            del result["sha256"]  # over the times as well
            found[name] = reproducible(result), self.study.store.read(f"{name}/metrics.jsonl")
        return found


def run_by_run(storage: Path) -> None:
    """Do the study ``s`` one run after the other in this process."""
    grid = tyro.cli(Options, args=GRID).grid()
    corpus, study = load("toy"), Study(str(storage / "s"))
    runs = make_plan(grid.configs(), {"toy": corpus.data_sha256}, study).runs
    assert len(runs) == RUNS
    for run in runs:
        for _ in execute(run.config, corpus, study.run(run.name), Runtime(threads=1)):
            pass


def times_of(study: Path, names: list[str]) -> dict[Path, int]:
    """File -> when it was last written, of run folders on a disk."""
    return {path: path.stat().st_mtime_ns for name in names for path in (study / name).iterdir()}


@contextlib.contextmanager
def closing(*launches: Launch) -> Iterator[None]:
    """End launches with the block, however it ends."""
    try:
        yield
    finally:
        for launch in launches:
            launch.close()
