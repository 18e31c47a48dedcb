"""The clock of a machine is set an hour forward and back while runs and sweeps are under way.

``libfaketime`` changes the clock that a running process sees. Only the wall clock jumps: the monotonic one,
by which durations are to be measured, is one that nobody sets.
"""

import ast
import contextlib
import importlib.util
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lvae_core.__main__ import main
from lvae_core.run_folder import claims
from lvae_core.run_folder.claims import StaleClaims, read_claim
from lvae_core.run_folder.study import Study
from sweeps.cluster import scratch_folder

from .short_grid import ARGUMENTS
from .small_run import make_small_run, outcome
from .sweep_command import Launch, Runs, closing

ROOT = Path(__file__).parents[2]

WALL_CLOCK = {
    "analysis/reading/signatures.py": "compares with times of files; a wrong answer only reads a run again",
    "lvae_core/run_folder/declared_seeds.py": "records when a number of seeds was declared",
    "lvae_core/training/provenance.py": "records when an attempt began",
    "sweeps/checks/node_facts.py": "compares the clocks of nodes",
    "sweeps/checks/preflight.py": "compares the clocks of nodes",
    "sweeps/cluster/scratch_folder.py": "compares times of files, and starts of processes where need be",
    "sweeps/runs.py": "compares with the time of a file; a wrong answer keeps or removes an empty study",
}
"""Files that may read the wall clock, and why no duration depends on it."""

READERS = {"time", "time_ns", "now", "utcnow", "today", "create_time", "boot_time"}
MODULES = {"time", "datetime", "date", "psutil", "process", "Process"}


def reads_the_wall_clock(file: Path) -> bool:
    source = file.read_text()
    if not READERS.intersection(re.findall(r"\w+", source)):
        return False  # it need not be parsed
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "psutil"):
            names = {alias.name for alias in node.names}
            if names & READERS:
                return True
        if isinstance(node, ast.Attribute) and node.attr in READERS:
            source = ast.unparse(node.value).removesuffix("()").rpartition(".")[2]
            if source in MODULES and not (node.attr == "time" and source != "time"):
                return True
    return False


def test_only_what_has_a_reason_reads_the_wall_clock():
    files = [
        file for package in ("lvae_core", "sweeps", "analysis") for file in (ROOT / package).rglob("*.py")
    ]
    found = {str(file.relative_to(ROOT)) for file in files if reads_the_wall_clock(file)}
    assert found == set(WALL_CLOCK)


def test_a_run_has_the_same_bits_while_the_clock_jumps(tmp_path, monkeypatch):
    small = make_small_run(None, tmp_path)
    assert main(small.arguments(tmp_path / "undisturbed")) == 0
    real, calls = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: real() + 3600.0 * (-1) ** next(calls))
    assert main(small.arguments(tmp_path / "run")) == 0
    assert outcome(tmp_path / "run") == outcome(tmp_path / "undisturbed")


def test_a_process_is_no_younger_than_a_launch_because_the_clock_was_set(monkeypatch):
    """The processes of a dead launch are killed with its folder; an older process is none of them."""
    with subprocess.Popen(["sleep", "60"], env={}) as older:
        try:
            time.sleep(0.05)  # some ticks of the kernel's clock
            began = scratch_folder.start_of(psutil.Process())
            seconds = psutil.Process.create_time
            monkeypatch.setattr(psutil.Process, "create_time", lambda process: seconds(process) + 3600.0)
            monkeypatch.setattr(psutil.Process, "parents", lambda process: [])
            assert scratch_folder.start_of(psutil.Process()) == began
            newer = scratch_folder.start_of(psutil.Process(older.pid))
            assert newer > began
            assert not scratch_folder._is_of(psutil.Process(older.pid), "launch", newer + 1)
            assert scratch_folder._is_of(psutil.Process(older.pid), "launch", newer)
        finally:
            older.kill()


class Jumps:
    """A clock that jumps an hour forward, back and further back, until the end of a ``with`` block."""

    def __init__(self, place: Path) -> None:
        found = importlib.util.find_spec("libfaketime")
        if found is None or found.origin is None:
            pytest.skip("libfaketime is not installed")
        library = Path(found.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
        self._file = place / "clock"
        self._set("+0")
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        """Variables of a process whose clock jumps."""

    def _set(self, offset: str) -> None:
        beside = self._file.with_suffix(".new")
        beside.write_text(offset)
        beside.replace(self._file)

    @contextlib.contextmanager
    def jumping(self, pause: float) -> Iterator[None]:
        over = threading.Event()

        def jump() -> None:
            while not over.is_set():
                for offset in ("+3600", "+0", "-3600"):
                    self._set(offset)
                    over.wait(pause)

        thread = threading.Thread(target=jump)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


RUN = """
import sys
from lvae_core.run_folder import claims
claims.HEARTBEAT_SECONDS = 0.2
from lvae_core.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_claim_stays_alive_and_a_run_has_the_same_bits_while_libfaketime_sets_the_clock(
    tmp_path, monkeypatch
):
    small, jumps = make_small_run(None, tmp_path), Jumps(tmp_path)
    longer = ["--set", "max_epochs=40", "patience=40"]
    assert main([*small.arguments(tmp_path / "undisturbed"), *longer]) == 0
    monkeypatch.setattr(claims, "STALE_SECONDS", 5.0)
    folder, observer = Study(str(tmp_path)).run("run"), StaleClaims()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *small.arguments(tmp_path / "run"), *longer],
        env={**os.environ, **jumps.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    beats = set()
    with jumps.jumping(pause=0.3):
        while process.poll() is None:
            if (claim := read_claim(folder)) is not None:
                beats.add(claim.beat)
                assert not observer.is_stale("run", claim)
            time.sleep(0.1)
        output = process.communicate()[0]
    assert process.returncode == 0, output
    assert len(beats) > 3, "the claim was renewed meanwhile"
    assert not [line for line in output.splitlines() if "left" in line and " -" in line], output
    assert outcome(tmp_path / "run") == outcome(tmp_path / "undisturbed")


@pytest.mark.slow
def test_two_launches_share_a_study_while_the_clock_of_one_jumps(scratch, tmp_path, undisturbed_storage):
    """Neither takes over a run that the other is at work on, and the table is the same."""
    jumps, other = Jumps(tmp_path), scratch / "o"
    other.mkdir()
    first = Launch(tmp_path / "runs", scratch, grid=ARGUMENTS, environment=jumps.environment)
    with closing(first), jumps.jumping(pause=2.0):
        second = Launch(tmp_path / "runs", other, grid=ARGUMENTS)
        with closing(second):
            assert (first.wait(400), second.wait(400)) == (0, 0), first.output + second.output
            for launch in (first, second):
                assert "Traceback" not in launch.output
                assert "taken over" not in launch.output
    assert Runs(tmp_path / "runs").table() == Runs(undisturbed_storage).table()
    for name in Runs(tmp_path / "runs").names():
        assert len(Runs(tmp_path / "runs").attempts(name)) == 1
