"""What is measured, each in a process of its own: wall seconds and the most memory it held at once."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """Of one measurement."""

    seconds: float
    """Without the start of the process and its imports."""
    peak_mib: float
    """Of the whole process, its libraries included."""
    runs: int
    """How many it found."""


def alone(job: Callable[[Path], T], folder: Path) -> T:
    """What comes of a job in a fresh process that does nothing else."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(job, folder).result()


def collate(folder: Path) -> Cost:
    """All runs of ``folder / study`` as a frame; what was read before is in ``folder / cache``."""
    from analysis.reading.cache import Cache
    from analysis.reading.collect import collect
    from analysis.reading.sources import open_source

    since = time.perf_counter()
    runs = collect([open_source(str(folder / "study"))], cache=Cache(folder / "cache"))
    return _cost(since, len(runs.frame))


def collate_with_curves(folder: Path) -> Cost:
    """The frame without a cache, and every learning curve."""
    from analysis.reading.collect import collect
    from analysis.reading.learning_curves import learning_curves
    from analysis.reading.sources import open_source

    since = time.perf_counter()
    sources = [open_source(str(folder / "study"))]
    frame = collect(sources).frame
    curves = learning_curves(sources, frame).frame
    return _cost(since, curves["run"].nunique())


def summarize(folder: Path) -> dict[str, Cost]:
    """Stage -> its cost, of all that ``analysis/summarize.py`` does with the frame read before.

    The memory of a stage is the most that the process has held until its end.
    """
    import io

    from rich.console import Console

    from analysis.formats.summary import Wanted, write_page, write_tables
    from analysis.formats.terminal import print_report
    from analysis.reading.cache import Cache
    from analysis.reading.collect import collect
    from analysis.reading.sources import open_source
    from analysis.report.report import compose

    costs = {}
    since = time.perf_counter()

    def done(stage: str) -> None:
        nonlocal since
        costs[stage] = _cost(since, len(runs.frame))
        since = time.perf_counter()

    @contextlib.contextmanager
    def step(name: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda read, total: None
        done(name)

    source = open_source(str(folder / "study"))
    runs = collect([source], cache=Cache(folder / "cache"))
    done("reading")
    report = compose(runs)
    done("statistics")
    out = str(folder / "summary")
    write_tables(report, out)
    done("files of tables")
    print_report(report, Console(file=io.StringIO(), width=100))
    done("tables on the terminal")
    write_page(report, [source], Wanted(out, "benchmarks/collate.py"), step)
    done("the page")
    return costs


def tune(folder: Path) -> Cost:
    """The trials of an experiment folder as Ray Tune gives them back, and its frame of last results."""
    from ray.tune import ExperimentAnalysis, ResultGrid

    from collation.tune import EXPERIMENT

    since = time.perf_counter()
    grid = ResultGrid(ExperimentAnalysis(str(folder / EXPERIMENT)))
    frame = grid.get_dataframe()
    return _cost(since, len(frame))


def _cost(since: float, runs: int) -> Cost:
    seconds = time.perf_counter() - since
    # Unlike getrusage's, this peak is not what the parent had when it made the process.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return Cost(seconds, int(found[1]) / 1024 if found else float("nan"), runs)
