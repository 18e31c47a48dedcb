"""The measurements of collate.py, each in a fresh process: wall seconds and peak memory."""

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
    """The cost of one measurement."""

    seconds: float
    """Wall time without the start of the process and its imports."""
    peak_mib: float
    """Peak memory of the whole process, libraries included."""
    runs: int
    """Number of runs it read."""


def in_fresh_process(job: Callable[[Path], T], folder: Path) -> T:
    """Run a job in a fresh process and return its result."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(job, folder).result()


def collate(folder: Path) -> Cost:
    """Read all runs of ``folder / study`` into a frame, with the cache in ``folder / cache``."""
    from analysis.reading.cache import Cache
    from analysis.reading.collect import collect
    from analysis.reading.sources import open_source

    start = time.perf_counter()
    runs = collect([open_source(str(folder / "study"))], cache=Cache(folder / "cache"))
    return _cost(start, len(runs.frame))


def collate_with_curves(folder: Path) -> Cost:
    """Read the frame without a cache, and every learning curve."""
    from analysis.reading.collect import collect
    from analysis.reading.learning_curves import learning_curves
    from analysis.reading.sources import open_source

    start = time.perf_counter()
    sources = [open_source(str(folder / "study"))]
    frame = collect(sources).frame
    curves = learning_curves(sources, frame).frame
    return _cost(start, curves["run"].nunique())


def summarize(folder: Path) -> dict[str, Cost]:
    """Run what ``analysis/summarize.py`` does after a cached read, and measure each stage: name -> cost.

    The memory of a stage is the peak of the process up to its end.
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
    start = time.perf_counter()

    def done(stage: str) -> None:
        nonlocal start
        costs[stage] = _cost(start, len(runs.frame))
        start = time.perf_counter()

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
    write_tables(report, out, latex="plain")
    done("files of tables")
    print_report(report, Console(file=io.StringIO(), width=100))
    done("tables on the terminal")
    write_page(report, [source], Wanted(out, "benchmarks/collate.py"), step, refresh=0)
    done("the page")
    return costs


def tune(folder: Path) -> Cost:
    """Read an experiment folder with Ray Tune, as trials and as a frame of their last results."""
    from ray.tune import ExperimentAnalysis, ResultGrid

    from collation.tune import EXPERIMENT

    start = time.perf_counter()
    grid = ResultGrid(ExperimentAnalysis(str(folder / EXPERIMENT)))
    frame = grid.get_dataframe()
    return _cost(start, len(frame))


def _cost(start: float, runs: int) -> Cost:
    seconds = time.perf_counter() - start
    # Unlike the peak of getrusage, this one does not include the parent's memory at the fork.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return Cost(seconds, int(found[1]) / 1024 if found else float("nan"), runs)
