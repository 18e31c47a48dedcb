"""What a launch shows while it goes on: a state that events change, and two ways of drawing it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.estimate import Speed, clock, projected_seconds, remaining_seconds
from sweeps.plan import Plan, PlannedRun

LIVE_SECONDS, LINE_SECONDS = 0.5, 10.0
"""How often a terminal is redrawn, and how often a line appears where there is none."""

OWN_PACE = 0.1
"""A run's own pace counts once it has done this share of its work; before, what is known of like runs."""

MOST_ROWS = 12
"""Of the runs under way, and of the cells, so many are shown."""


@dataclass
class Running:
    """A run under way."""

    cell: str
    since: float
    share: float | None = None
    """Of its whole time, what lies behind; None before its first report."""
    start_share: float = 0.0
    """What lay behind when it was taken up."""
    phase: str = "starting"
    epoch: int = 0
    valid_ppl: float | None = None


@dataclass
class Board:
    """Where a launch stands. Everything it knows comes from the events it is told."""

    speed: Speed
    done: int
    """Runs of the grid that are done, those of earlier launches included."""
    failed: int
    waiting: dict[str, str]
    """Name -> cell of the runs not yet started."""
    slots: int = 1
    """How many runs go on at once."""
    now: Callable[[], float] = time.monotonic
    running: dict[str, Running] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Name -> cell of the runs that another launch is at work on."""
    best: dict[str, float] = field(default_factory=dict)
    """Cell -> lowest validation perplexity so far."""
    paused: int = 0
    """Runs that have come as far as they were to come for now."""
    dropped: int = 0
    """Runs that have been left behind."""
    later: Sequence[str] = ()
    """Cells of runs that will follow, but of which no more is known yet."""
    more: bool = False
    """Whether something follows when nothing waits any more: an interrupt then leaves it undone."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Name -> what the run is called here, where its own name says too little."""
    blind: bool = False
    """Whether test estimates are not shown: where runs are chosen by others."""
    failures: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> class and message of the runs that failed in this launch."""

    @classmethod
    def of(cls, plan: Plan, runs: Iterable[PlannedRun]) -> Self:
        """The board of a launch that is about to do ``runs``."""
        waiting = {run.name: run.config.cell for run in runs}
        failed = sum(run.name not in waiting for run in plan.with_status("failed"))
        return cls(plan.speed, len(plan.with_status("done")), failed, waiting)

    def label(self, name: str) -> str:
        """What a run is called in a line for people."""
        return self.labels.get(name) or short(name)

    def start(self, name: str) -> None:
        """A run has an actor."""
        self.running[name] = Running(self.waiting.pop(name), self.now())
        self.slots = max(self.slots, len(self.running))

    def report(self, name: str, report: Mapping[str, Any]) -> None:
        """A run has reported; see :class:`sweeps.trainable.RunTrainable`."""
        run = self.running[name]
        run.phase = report["phase"]
        if run.phase == "done":
            self.done += 1
            self.speed.add(run.cell, report["train_seconds"], report["evaluate_seconds"])
        elif run.phase == "failed":
            self.failed += 1
            self.failures[name] = report["failure"]
        elif run.phase == "stopped":
            self.waiting[name] = run.cell
        elif run.phase == "paused":
            self.paused += 1
        elif run.phase == "held":
            self.elsewhere[name] = run.cell
        else:
            run.epoch = report["epoch"]
            share = self.speed.done_share(run.cell, run.phase, report["fraction"])
            if run.share is None:
                run.start_share, run.since = share, self.now()
            run.share = share
        if report.get("metrics"):
            run.valid_ppl = report["metrics"]["valid_ppl"]
            self.best[run.cell] = min(self.best.get(run.cell, float("inf")), report["metrics"]["best_ppl"])
        if run.phase in ("done", "failed", "stopped", "paused", "held"):
            del self.running[name]

    def lose(self, name: str) -> None:
        """A run's process is gone; it waits to be taken up again."""
        self.waiting[name] = self.running.pop(name).cell

    def hold(self, name: str) -> None:
        """Another launch is at work on a waiting run."""
        self.elsewhere[name] = self.waiting.pop(name)

    def free(self, name: str) -> None:
        """Another launch has let go of a run, or died."""
        self.waiting[name] = self.elsewhere.pop(name)

    def done_elsewhere(self, name: str, result: Mapping[str, Any]) -> None:
        """Another launch has done a run; ``result`` is its result.json."""
        self.speed.add(self.elsewhere.pop(name), result["train_seconds"], result["evaluate_seconds"])
        self.done += 1

    def failed_elsewhere(self, name: str, failure: Mapping[str, Any]) -> None:
        """A run has failed in another launch; ``failure`` is its failure.json."""
        del self.elsewhere[name]
        self.failed += 1
        self.failures[name] = failure

    def give_up(self, name: str, failure: Mapping[str, Any]) -> None:
        """A waiting run has been lost too often."""
        del self.waiting[name]
        self.failed += 1
        self.failures[name] = failure

    def share(self) -> float:
        """The part of the grid, 0 to 1, that lies behind; a run counts as one whatever it takes."""
        ended = self.done + self.failed + self.paused + self.dropped
        total = ended + len(self.running) + len(self.waiting) + len(self.elsewhere) + len(self.later)
        behind = ended + sum(run.share or 0.0 for run in self.running.values())
        return behind / total if total else 1.0

    def eta(self) -> float | None:
        """Seconds until the last run has ended; None where nothing has been measured yet."""
        running = [self._remaining(run) for run in self.running.values()]
        waiting = [self.speed.expect(cell) for cell in (*self.waiting.values(), *self.later)]
        return remaining_seconds(waiting, running, self.slots)

    def _remaining(self, run: Running) -> float | None:
        share = run.share or 0.0
        expected = self.speed.expect(run.cell)
        if expected is not None and share - run.start_share < OWN_PACE:
            return expected * (1.0 - share)
        return projected_seconds(self.now() - run.since, run.start_share, share)

    def summary(self) -> str:
        """One line of numbers."""
        counts = {
            "done": self.done,
            "running": len(self.running),
            "failed": self.failed,
            "left": len(self.waiting) + len(self.later),
        }
        counts |= {word: n for word, n in (("paused", self.paused), ("dropped", self.dropped)) if n}
        if self.elsewhere:
            counts["in another launch"] = len(self.elsewhere)
        line = ", ".join(f"{number} {word}" for word, number in counts.items())
        eta = self.eta() if self.running else None
        return f"{self.share():.0%}: {line}" + ("" if eta is None else f"; about {clock(eta)} to go")


def describe(run: Running) -> str:
    """Where a run stands, in a few words."""
    if run.phase == "starting":
        return "starting"
    ppl = "" if run.valid_ppl is None else f", valid ppl {run.valid_ppl:.2f}"
    return f"epoch {run.epoch}{ppl}" if run.phase == "train" else f"evaluating{ppl}"


def draw(board: Board) -> Group:
    """The board as a terminal shows it."""
    runs = Table.grid(padding=(0, 2))
    for name, run in list(board.running.items())[:MOST_ROWS]:
        bar = ProgressBar(total=1.0, completed=run.share or 0.0, width=12)
        runs.add_row(bar, Text(board.label(name), overflow="ellipsis", no_wrap=True), describe(run))
    best = Table("lowest validation perplexity so far", "", box=None, header_style="dim")
    for cell, value in sorted(board.best.items())[:MOST_ROWS]:
        best.add_row(cell, f"{value:.2f}")
    # Bars end without a new line: each needs a row of a table to itself, or what follows is cut off.
    whole = Table.grid()
    whole.add_row(ProgressBar(total=1.0, completed=board.share(), width=60))
    return Group(whole, Text(board.summary()), runs, *([best] if board.best else []))


def short(name: str) -> str:
    """A run's name without its fingerprint."""
    return name.rpartition("__")[0]


class Display:
    """Shows a board: live on a terminal, as lines with the time of day elsewhere."""

    def __init__(self, board: Board, console: Console) -> None:
        self.board = board
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._drawn = 0.0

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.update(draw(self.board), refresh=True)
            self._live.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._live:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(f"{time.strftime('%H:%M:%S')}  {line}", file=self._console.file, flush=True)

    def refresh(self) -> None:
        """Draw the board anew if it is time for that."""
        now = time.monotonic()
        if now - self._drawn < (LIVE_SECONDS if self._live else LINE_SECONDS):
            return
        self._drawn = now
        if self._live:
            self._live.update(draw(self.board), refresh=True)
            return
        self.say(self.board.summary())
        for name, run in list(self.board.running.items())[:MOST_ROWS]:
            self.say(f"  {self.board.label(name)}: {describe(run)}")


def console() -> Console:
    """The standard output; wide enough for whole run names where it is no terminal."""
    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else 140, highlight=False)
