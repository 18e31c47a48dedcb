"""The display of a launch: live on a terminal, or as lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from lvae_core.messages import is_quiet
from sweeps.launching.progress.board import Board
from sweeps.launching.progress.events import Events
from sweeps.launching.progress.running import Running

LIVE_SECONDS = 0.5
"""Seconds between updates of a terminal."""

LINE_SECONDS = ((1800.0, 300.0), (120.0, 60.0), (0.0, 10.0))
"""If there is no terminal: after so many seconds there are so many between lines, the first pair that fits.
A log of hours would otherwise have thousands of lines."""

MAX_ROWS = 12
"""The largest number of runs under way, and the most cells, that are shown."""


STARTING = "starting processes for the first runs; each loads torch and the data"
"""Shown until the first run has an actor, which takes some seconds to a minute."""


def describe(run: Running, not_bounds: Collection[str] = ()) -> str:
    """The progress of a run, in a few words."""
    if run.phase == "starting":
        return "starting"
    mark = " (not a bound)" if run.cell in not_bounds else ""
    parts = [] if run.valid_ppl is None else [f"valid ppl {run.valid_ppl:.2f}{mark}"]
    if run.phase != "train":
        return ", ".join(["evaluating", *parts])
    epoch = f"epoch {run.epoch}"
    if run.epochs:
        epoch = f"epoch {min(run.epoch + 1, run.epochs)} of {run.epochs}"
    if run.loss is not None:
        parts.append(f"mean loss {run.loss:.2f}")
    if run.tokens_per_second is not None:
        parts.append(f"{run.tokens_per_second:,.0f} tokens/s")
    return ", ".join([epoch, *parts])


def draw(board: Board) -> Group:
    """Draw the board for a terminal."""
    runs = Table.grid(padding=(0, 2))
    for name, run in list(board.running.items())[:MAX_ROWS]:
        bar = ProgressBar(total=1.0, completed=run.share or 0.0, width=12)
        # Variants of a cell differ at the ends of their labels, so nothing is cut.
        runs.add_row(bar, Text(board.label(name), overflow="fold"), describe(run, board.valid_not_bounds))
    heading = Column("lowest validation perplexity so far", overflow="fold")
    best = Table(heading, "", "", box=None, header_style="dim")
    # The lowest trials of a search; the first cells of a grid, whose values are not comparable.
    lowest_first = board.hide_test_scores
    shown = sorted(board.best.items(), key=lambda item: (item[1] if lowest_first else 0.0, item[0]))
    for cell, value in shown[:MAX_ROWS]:
        best.add_row(cell, f"{value:.2f}", "not a bound" if cell in board.best_not_bounds else "")
    # A bar ends without a line break, so each needs a table row to itself.
    whole = Table.grid()
    whole.add_row(ProgressBar(total=1.0, completed=board.share(), width=60))
    summary = board.summary() if board.has_begun else f"{board.summary()}; {STARTING}"
    return Group(whole, Text(summary), runs, *([best] if board.best else []))


def line_seconds(passed: float) -> float:
    """The seconds between lines of a display that began ``passed`` seconds ago, without a terminal."""
    return next(seconds for after, seconds in LINE_SECONDS if passed >= after)


class Display:
    """Shows a board: live on a terminal, else as lines with the time of day.

    Args:
        board: the state of the launch.
        console: where to print.
        events: event files to write as well.
    """

    def __init__(self, board: Board, console: Console, events: Events | None = None) -> None:
        self.board = board
        self.events = events
        self._console = console
        self._live = (
            Live(console=console, auto_refresh=False) if console.is_terminal and not console.quiet else None
        )
        self._began = time.monotonic()
        self._drawn = 0.0
        self._announced = False
        self._said_to_start: set[str] = set()
        """Names of the runs that start, and have had their line."""

    def __enter__(self) -> Display:
        self.board.launch()
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
        """Print a line that stays."""
        if self._live:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif not self._console.quiet:
            print(f"{time.strftime('%H:%M:%S')}  {line}", file=self._console.file, flush=True)

    def refresh(self) -> None:
        """Update the display if it is due."""
        now = time.monotonic()
        if now - self._drawn < (LIVE_SECONDS if self._live else line_seconds(now - self._began)):
            return
        self._drawn = now
        if self._live:
            self._live.update(draw(self.board), refresh=True)
            return
        if not self.board.has_begun:
            if not self._announced:
                self.say(STARTING)
                self._announced = True
            return
        self.say(self.board.summary())
        starting = {name for name, run in self.board.running.items() if run.phase == "starting"}
        for name, run in list(self.board.running.items())[:MAX_ROWS]:
            if name not in starting & self._said_to_start:
                self.say(f"  {self.board.label(name)}: {describe(run, self.board.valid_not_bounds)}")
                self._said_to_start.add(name)
        self._said_to_start &= starting


def console() -> Console:
    """The standard output; if it is no terminal, wide enough for whole run names."""
    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else 140, highlight=False)


def unless_quiet(out: Console) -> Console:
    """``out``, or a console that prints nothing if the command is to be quiet."""
    return Console(quiet=True) if is_quiet() else out
