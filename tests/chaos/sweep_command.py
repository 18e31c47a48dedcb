"""Launches of one small study by the command, as a user makes them, for tests that kill and repeat them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro

from lvae_core.data.corpus import load
from lvae_core.run_folder.folder import reproducible
from lvae_core.run_folder.study import Study
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.grid_options import Options
from sweeps.planning.run_lookup import make_plan

SCRIPT = Path(__file__).parents[2] / "sweeps" / "paper_grid.py"

EPOCHS, STEPS = 80, 13
"""Epochs of every run, and steps per epoch."""

GRID = [
    *("--datasets", "toy", "--systems", "lstm-lm", "lstm-vae-avg", "--num-samples", "2"),
    *("--settings", "standard", "--seeds", "2", "--set", f"max_epochs={EPOCHS}", f"patience={EPOCHS}"),
    *("kl_anneal_epochs=2", "iw_samples=6"),
]
"""Arguments for four runs of a few seconds each."""

RUNS = 4

Table = dict[str, tuple[dict[str, Any], bytes]]


class Launch:
    """A start of the command as the leader of a process group, as from a terminal.

    Args:
        storage: storage of the study ``s``.
        scratch: an empty folder for its temporary files; its path must be short.
        arguments: arguments of the command after those of the grid.
        script: the script to start.
        grid: arguments that define the grid.
        environment: additional variables of its process.
        before: words before the command, such as those of a program that starts it.
        command: a whole command that a launch has printed, to be started instead; see
            :func:`printed_command`.
    """

    def __init__(
        self,
        storage: str | Path,
        scratch: Path,
        *arguments: str,
        script: Path = SCRIPT,
        grid: list[str] = GRID,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        command: Sequence[str] = (),
    ) -> None:
        self.scratch = scratch
        self.arguments = [*grid, "--storage", str(storage), "--study", "s", *arguments]
        words = [str(script), *self.arguments]
        if command:
            (python, *words), self.arguments = command, list(command[2:])
            assert python == "python"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self._log = scratch.parent / f"{scratch.name}.{time.monotonic_ns()}.log"
        self._output: str | None = None
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*before, sys.executable, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ray's workers import first from the driver's working directory.
                cwd=script.parents[1],
                env={**kept, "RAY_TMPDIR": str(scratch), **(environment or {})},
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log.read_text() if self._output is None else self._output

    def wait(self, seconds: float = 240.0) -> int:
        """Wait for the end of the command and return its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended in {seconds} s: {self.output}") from None

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL, self.output

    def press_ctrl_c(self) -> None:
        """Send SIGINT to every process of the group, as a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def close(self) -> None:
        """Kill all processes of the launch that are left."""
        for pid in [self.process.pid, *processes_writing_below(self.scratch)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        if self._output is None:
            self._output = self.output
            self._log.unlink()


def printed_command(output: str) -> list[str]:
    """Return the words of the last command that a launch has printed for resuming it; empty if none."""
    found = re.findall(r"^.*(?:resume|last checkpoints) with: (.*)$", output, re.MULTILINE)
    return shlex.split(found[-1]) if found else []


def processes_writing_below(folder: Path) -> list[int]:
    """Return the processes that have a file below ``folder`` open for writing, as all of Ray's have."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if link.lstat().st_mode & 0o200 and link.readlink().is_relative_to(folder):
                found.add(int(link.parts[2]))
    return sorted(found)


def wait_until(condition: Callable[[], bool], launch: Launch, *, seconds: float = 240.0) -> None:
    """Wait until a condition is true; fail if the launch ends or the time is over."""
    end = time.monotonic() + seconds
    while not condition():
        assert launch.process.poll() is None, f"it has ended: {launch.output}"
        assert time.monotonic() < end, f"not true within {seconds} s: {launch.output}"
        time.sleep(0.02)


class Runs:
    """The run folders of the study ``s`` on any storage."""

    def __init__(self, storage: str | Path) -> None:
        self.study = Study(f"{storage}/s")

    def names(self) -> list[str]:
        return self.study.run_names()

    def done(self) -> list[str]:
        return [name for name in self.names() if self.study.run(name).has("result.json")]

    def rows(self, name: str) -> int:
        """Return the number of epochs in metrics.jsonl."""
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
        """Return the process that has claimed each run."""
        found = {}
        for name in self.names():
            for file in self.study.store.names(name):
                if re.fullmatch(r"claim-\d+\.json", file):
                    with contextlib.suppress(FileNotFoundError):
                        found[name] = self.json(name, file)["pid"]
        return found

    def table(self) -> Table:
        """Return for each run the numbers that must be equal to the last bit."""
        found = {}
        for name in self.names():
            result = self.json(name, "result.json")
            del result["sha256"]  # it also covers the times
            found[name] = reproducible(result), self.study.store.read(f"{name}/metrics.jsonl")
        return found


def run_in_sequence(storage: Path) -> None:
    """Do the runs of the study ``s`` in sequence in this process."""
    grid = tyro.cli(Options, args=GRID).grid()
    corpus, study = load("toy"), Study(str(storage / "s"))
    runs = make_plan(grid.configs(), {"toy": corpus.data_sha256}, study, evaluate=True).runs
    assert len(runs) == RUNS
    for run in runs:
        for _ in execute(run.config, corpus, study.run(run.name), Runtime(threads=1)):
            pass


def modification_times(study: Path, names: list[str]) -> dict[Path, int]:
    """Return the modification time of every file of some run folders on a disk."""
    return {path: path.stat().st_mtime_ns for name in names for path in (study / name).iterdir()}


@contextlib.contextmanager
def closing(*launches: Launch) -> Iterator[None]:
    """Close launches at the end of the block, even after an error."""
    try:
        yield
    finally:
        for launch in launches:
            launch.close()
