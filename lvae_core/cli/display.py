"""Progress and results of one run in a terminal."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from lvae_core.config import RunConfig
from lvae_core.messages import is_quiet
from lvae_core.run_folder.estimates import ESTIMATES, bound, is_unreliable, valid_ppl_is_bound
from lvae_core.training.runtime import Progress

LIVE_SECONDS, LINE_SECONDS = 0.5, 60.0
"""Seconds between updates of a terminal's line, and between the lines of a log within an epoch."""

KNOWN_SECONDS = 5.0
"""Seconds of a phase after which its remaining time is estimated."""


class Display:
    """Progress on standard error: on a terminal a line that is rewritten, else a line now and then.

    Both have a line for each finished epoch.

    Args:
        config: of the run.
        now: the clock, in seconds.
        finished: whether the run had its result before; if no more is done, a note says so.
    """

    def __init__(
        self, config: RunConfig, now: Callable[[], float] = time.monotonic, *, finished: bool = False
    ) -> None:
        self.live = sys.stderr.isatty()
        self._finished = finished
        self._now = now
        self._mark = "" if valid_ppl_is_bound(config) else " (not a bound)"
        self._phase = ""
        self._started = self._began = self._shown = now()
        self._first = 0.0

    def show(self, progress: Progress) -> None:
        """Print what has changed since the last call."""
        if is_quiet():
            return
        if self._finished and progress.phase == "done" and not self._phase:
            print("note: finished before; these are its numbers, and nothing was trained", file=sys.stderr)
        now = self._now()
        if progress.phase != self._phase:
            self._phase, self._began, self._first = progress.phase, now, progress.fraction
            self._shown = -math.inf if self.live else now
        clear = "\r\033[K" if self.live else ""
        if progress.metrics:
            print(f"{clear}{self._epoch_line(progress, now)}", file=sys.stderr)
            self._shown = now
        elif progress.phase == "done":
            print(clear, end="", file=sys.stderr)
        elif now - self._shown >= (LIVE_SECONDS if self.live else LINE_SECONDS):
            end = "" if self.live else "\n"
            line = self._status(progress, now)
            print(clear + (_cut(line) if self.live else line), end=end, file=sys.stderr, flush=True)
            self._shown = now

    def _epoch_line(self, progress: Progress, now: float) -> str:
        row = progress.metrics or {}
        parts = [f"valid PPL {row['valid_ppl']:.2f}{self._mark}"]
        parts += [f"KL {row['valid_kl']:z.2f}"] if "valid_kl" in row else []
        parts += [f"loss {row['train_loss']:.2f}", f"learning rate {row['learning_rate']:g}"]
        if progress.pace:
            parts.append(f"{progress.pace.tokens_per_second:,.0f} tokens/s")
        if not self.live and (left := self._left(progress, now)):
            parts.append(left)
        return f"epoch {row['epoch']} of {progress.epochs}: {', '.join(parts)}"

    def _status(self, progress: Progress, now: float) -> str:
        """One line within an epoch or the evaluation."""
        if progress.phase == "train":
            head = f"epoch {min(progress.epoch + 1, progress.epochs)} of {progress.epochs}"
        else:
            head = "evaluating the test split"
        parts = [f"{head}, {progress.fraction:.1%}"]
        if progress.pace:
            pace = progress.pace
            parts += [f"mean loss {pace.loss:.2f}", f"{pace.tokens_per_second:,.0f} tokens/s"]
        parts.append(f"{_hours(now - self._started)} elapsed")
        parts.append(self._left(progress, now) or "– left")
        return ", ".join(parts)

    def _left(self, progress: Progress, now: float) -> str:
        """The remaining time of this phase; empty if it is not known yet."""
        done = progress.fraction - self._first
        if now - self._began < KNOWN_SECONDS or done <= 0:
            return ""
        seconds = (now - self._began) * (1 - progress.fraction) / done
        # Training may stop before its last epoch.
        return f"{_hours(seconds)} left{' at most' if progress.phase == 'train' else ''}"


def _hours(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _cut(line: str) -> str:
    """The part of a line that fits the terminal: a longer one could not be rewritten."""
    return line[: shutil.get_terminal_size().columns - 1]


def summary(result: dict[str, Any], config: RunConfig) -> str:
    """Format the content of a ``result.json``."""
    tested = "the last epoch's parameters on the " if config.tested_epoch == "last" else ""
    head = f"best epoch {result['best_epoch']} of {result['epochs']}, {tested}"
    return head + estimates_text(result["estimates"], config)


def estimates_text(estimates: dict[str, Any], config: RunConfig) -> str:
    """Format estimates, one per line, below a heading.

    Each has its unit unless it is a perplexity, and each likelihood says whether it is exact or a bound.
    """
    is_sampled = any(_stderr(estimate) is not None for estimate in estimates.values())
    head = f"test split{' (±: Monte Carlo standard error)' if is_sampled else ''}:"
    return "\n".join([head, *_estimate_lines(estimates, config)])


def _estimate_lines(estimates: dict[str, Any], config: RunConfig) -> list[str]:
    numbers = {name: _number(estimate) for name, estimate in estimates.items()}
    width, wide = max(13, *map(len, numbers)), max(map(len, numbers.values()), default=0)
    lines = []
    for name, number in numbers.items():
        kind = bound(name, config.averaging, config.num_samples)
        unit = "" if name.startswith("ppl") else ESTIMATES[name].unit
        notes: list[str] = [note for note in (unit, kind) if note]
        share = estimates[name].get("khat_above")
        if is_unreliable(estimates[name].get("ess"), share):
            why = "too few importance samples to judge them; more than 20 are needed"
            if share is not None:
                why = f"Pareto shape above 0.7 in {share:.0%} of sentences"
            notes.append(f"unreliable: {why}")
        lines.append(f"  {name:<{width}} {number:<{wide}}  {', '.join(notes)}".rstrip())
    return lines


def _number(estimate: dict[str, Any]) -> str:
    value, stderr = estimate["value"], _stderr(estimate)
    error = "" if stderr is None else f" ± {stderr:.4f}"
    return f"{value if isinstance(value, int) else f'{value:z.4f}'}{error}"


def _stderr(estimate: dict[str, Any]) -> float | None:
    stderr: float | None = estimate.get("jackknife", estimate.get("stderr"))
    return stderr
