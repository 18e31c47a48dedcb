"""The state of a launch: runs under way, done and failed; speed and remaining time."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from lvae_core.config import RunConfig
from lvae_core.run_folder.estimates import best_ppl_is_bound, valid_ppl_is_bound
from lvae_core.run_folder.names import CellName, without_fingerprint
from sweeps.launching.progress.running import Running
from sweeps.planning.evaluation_parts import EvaluationPart
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.planning.times.durations import Speed, SteadyEnd, format_duration, remaining_seconds
from sweeps.planning.times.remaining import trained_fraction

OWN_PACE = 0.1
"""The share of its work after which a run is judged by its own pace instead of by other runs."""

ENDS = frozenset({"done", "failed", "stopped", "paused", "held"})
"""The phases in which a run no longer occupies a device."""


@dataclass
class Board:
    """The state of a launch. It changes only by the events that it is given."""

    speed: Speed
    done: int
    """Finished runs of the grid, including those of earlier launches."""
    failed: int
    waiting: dict[str, str]
    """Name -> cell of the runs not yet started."""
    variants: Mapping[str, str] = field(default_factory=dict)
    """Name -> variant of the run, by which ``speed`` knows its time; a run that is not listed: its cell."""
    slots: int = 1
    """The number of runs at once."""
    now: Callable[[], float] = time.monotonic
    when_done: Callable[[str], None] = field(default=lambda name: None)
    """Called with the name of each run that is done."""
    running: dict[str, Running] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    """Name -> cell of the runs that another launch works on."""
    best: dict[str, float] = field(default_factory=dict)
    """Label of a variant -> lowest validation perplexity so far."""
    paused: int = 0
    """Runs that have reached the epoch after which they pause."""
    dropped: int = 0
    """Runs that a search has dropped, or whose parent has failed."""
    later: Sequence[str] = ()
    """Variants like those of the runs that will follow, but are not chosen yet."""
    later_launches: Sequence[int] | None = ()
    """How many of the later runs each further launch starts together; None if that is not known yet."""
    more: bool = False
    """Whether more work follows these runs; an interrupt then leaves it undone."""
    again: frozenset[str] = frozenset()
    """Names of the runs that are trained and are only evaluated again."""
    resumed_at: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Name -> phase, and the fraction of it that is done, of the runs that wait to be resumed."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Name -> the share of its run's evaluation that it scores, if that is divided: 1/n for each of n
    parts, 0 for the run, which joins them."""
    parts_ended: int = 0
    """Parts that have been scored, or given up."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Name -> label of the run, if its own name says too little."""
    variant_labels: Mapping[str, str] = field(default_factory=dict)
    """Variant -> its label; a variant that is not listed: its cell."""
    hide_test_scores: bool = False
    """Whether to hide test estimates, because runs are selected by validation scores."""
    failures: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> class and message of the runs that failed in this launch."""
    has_begun: bool = False
    """Whether any run has got an actor."""
    stopping: bool = False
    """Whether the runs under way have been asked to save and stop."""
    valid_not_bounds: set[str] = field(default_factory=set)
    """Cells whose validation perplexity is not a bound of their models'."""
    best_not_bounds: set[str] = field(default_factory=set)
    """Cells, and labels of variants, whose best score is none."""

    began: float = field(init=False)
    """When the board was made."""

    def __post_init__(self) -> None:
        self.began = self.now()
        self._end = SteadyEnd(lambda: self.now())
        self._launched: float | None = None
        self._start_up: float | None = None

    @classmethod
    def of(cls, plan: Plan, runs: Iterable[PlannedRun]) -> Self:
        """The board of a launch that will do ``runs``."""
        runs = list(runs)
        waiting = {run.name: run.cell for run in runs}
        failed = sum(run.name not in waiting for run in plan.with_status("failed"))
        again = frozenset(run.name for run in runs if run.evaluation)
        variants = {run.name: run.variant for run in runs}
        board = cls(plan.speed, len(plan.with_status("done")), failed, waiting, variants, again=again)
        board.resumed_at = {run.name: ("train", trained_fraction(run)) for run in runs if run.epochs}
        board.mark_bounds(run.config for run in runs)
        return board

    def mark_bounds(self, configs: Iterable[RunConfig]) -> None:
        """Note which cells of runs have validation perplexities and best scores that are not bounds."""
        for config in configs:
            cell = str(CellName.of(config))
            if not valid_ppl_is_bound(config):
                self.valid_not_bounds.add(cell)
            if not best_ppl_is_bound(config):
                self.best_not_bounds.add(cell)

    def label(self, name: str) -> str:
        """The label of a run in lines for people."""
        return self.labels.get(name) or without_fingerprint(name)

    def divide(self, parts: Iterable[EvaluationPart]) -> None:
        """Add the parts of the evaluations of waiting runs; the runs join them."""
        parts = list(parts)
        if not parts:
            return
        self.labels = {**self.labels, **{part.name: f"{self.label(part.run)} {part}" for part in parts}}
        self.waiting |= {part.name: self.waiting[part.run] for part in parts}
        self.weights = {part.run: 0.0 for part in parts} | {part.name: 1 / part.count for part in parts}
        self.again |= {part.name for part in parts}
        of_runs = {part.name: self.variants[part.run] for part in parts if part.run in self.variants}
        self.variants = {**self.variants, **of_runs}

    def is_part(self, name: str) -> bool:
        """Whether it is a part of the evaluation of a run."""
        return self.weights.get(name, 0.0) > 0

    def _variant(self, name: str, cell: str) -> str:
        """The name by which ``speed`` knows the time of a run."""
        return self.variants.get(name, cell)

    def _variant_label(self, name: str, cell: str) -> str:
        """The label of a run's variant: variants of a cell differ in model or text."""
        return self.variant_labels.get(self._variant(name, cell), cell)

    def launch(self) -> None:
        """Processes for the waiting runs begin to start."""
        self._launched = self.now()

    def start(self, name: str) -> None:
        """A run has got an actor."""
        self.has_begun = True
        done = self._waiting_share(name)
        self.running[name] = Running(self.waiting.pop(name), start_share=done)
        self.slots = max(self.slots, len(self.running))

    def report(self, name: str, report: Mapping[str, Any]) -> None:
        """A run has reported; see :class:`sweeps.launching.trainable.RunTrainable`."""
        run = self.running[name]
        run.phase = report["phase"]
        if self._launched is not None:
            self._start_up, self._launched = self.now() - self._launched, None
        if self.is_part(name) and run.phase in ("done", "failed"):
            self.parts_ended += 1  # what it lacks is scored when the parts are joined
        elif run.phase == "done":
            self._add_done(name, run.cell, report)
        elif run.phase == "failed":
            self.failed += 1
            self.failures[name] = report["failure"]
        elif run.phase == "stopped":
            self._wait_again(name, run)
        elif run.phase == "paused":
            self.paused += 1
        elif run.phase == "held":
            self.held[name] = run.cell
        else:
            run.epoch, run.epochs = report["epoch"], report.get("epochs", run.epochs)
            run.loss, run.tokens_per_second = report.get("loss"), report.get("tokens_per_second")
            share = self._done_share(name, run.cell, run.phase, report["fraction"])
            run.advance(report["fraction"], share, self.now())
        if report.get("metrics"):
            run.valid_ppl = report["metrics"]["valid_ppl"]
            label = self._variant_label(name, run.cell)
            if run.cell in self.best_not_bounds:
                self.best_not_bounds.add(label)
            self.best[label] = min(self.best.get(label, float("inf")), report["metrics"]["best_ppl"])
        if run.phase in ENDS:
            del self.running[name]

    def lose(self, name: str) -> None:
        """The process of a run is lost; the run waits to be resumed."""
        self._wait_again(name, self.running.pop(name))

    def _wait_again(self, name: str, run: Running) -> None:
        self.waiting[name] = run.cell
        if run.share:
            self.resumed_at[name] = run.points[-1][1:]

    def hold(self, name: str) -> None:
        """Another launch works on a waiting run."""
        self.held[name] = self.waiting.pop(name)

    def free(self, name: str) -> None:
        """Another launch has released a run, or died."""
        self.waiting[name] = self.held.pop(name)

    def done_by_other(self, name: str, result: Mapping[str, Any]) -> None:
        """Another launch has finished a run; ``result`` is its result file."""
        self._add_done(name, self.held.pop(name), result)

    def failed_in_other(self, name: str, failure: Mapping[str, Any]) -> None:
        """A run has failed in another launch; ``failure`` is its failure file."""
        del self.held[name]
        self.failed += 1
        self.failures[name] = failure

    def give_up(self, name: str, failure: Mapping[str, Any]) -> None:
        """A waiting run has been lost too often."""
        del self.waiting[name]
        if self.is_part(name):
            self.parts_ended += 1
            return
        self.failed += 1
        self.failures[name] = failure

    def _add_done(self, name: str, cell: str, times: Mapping[str, Any]) -> None:
        self.done += 1
        variant = self._variant(name, cell)
        if name in self.again:
            self.speed.add_evaluation(variant, times["evaluate_seconds"])
        else:
            self.speed.add(variant, times["train_seconds"], times["evaluate_seconds"])
        self.when_done(name)

    def rank(self, name: str) -> float | None:
        """A number that grows with the time that a waiting run still needs."""
        cell = self.waiting[name]
        if name in self.again:
            return self._left(name, self._expected_seconds(name, cell))
        return self._left(name, self.speed.rank(self._variant(name, cell)))

    def measured_seconds(self, name: str) -> float | None:
        """The seconds that a waiting run still needs, if they rest on its own variant."""
        cell = self.waiting[name]
        if name in self.again:
            return self._left(name, self._expected_seconds(name, cell))
        return self._left(name, self.speed.measured_seconds(self._variant(name, cell)))

    def drop(self, name: str) -> None:
        """A waiting run will not be started."""
        del self.waiting[name]
        self.dropped += 1

    def share(self) -> float:
        """The share of the grid, 0 to 1, that is done or saved; every run counts the same."""
        ended = self.done + self.failed + self.paused + self.dropped + self.parts_ended
        total = ended + len(self.running) + len(self.waiting) + len(self.held) + len(self.later)
        saved = sum(self._waiting_share(name) for name in self.resumed_at if name in self.waiting)
        done = ended + saved + sum(run.done for run in self.running.values())
        return done / total if total else 1.0

    def eta(self) -> float | None:
        """Seconds until the last run has ended; None if too little has been measured or is known."""
        running = {name: self._remaining(name, run) for name, run in self.running.items()}
        rate = self._seconds_per_operation(running)

        @functools.cache
        def whole(variant: str) -> float | None:
            operations = self.speed.operations(variant)
            scaled = rate * operations if rate and operations else None
            expected = self.speed.expected_seconds(variant)
            return (scaled or expected) if self.speed.is_rough(variant) else (expected or scaled)

        under_way = []
        for name, run in self.running.items():
            seconds, expected = running[name], whole(self._variant(name, run.cell))
            if seconds is None and expected is not None and name not in self.again:
                seconds = expected * (1.0 - run.done)
            under_way.append(seconds)
        waiting = []
        for name, cell in self.waiting.items():
            again = name in self.again
            seconds = self._expected_seconds(name, cell) if again else whole(self._variant(name, cell))
            waiting.append(self._left(name, seconds))
        left, later = remaining_seconds(waiting, under_way, self.slots), self._seconds_of_later(whole)
        return None if left is None or later is None else left + later

    def _seconds_of_later(self, whole: Callable[[str], float | None]) -> float | None:
        """Seconds of the launches to come, with the start of their processes; None if they are unknown.

        Args:
            whole: variant -> the expected seconds of a run.
        """
        if self.later_launches is None:
            return None
        each, start_up = [whole(variant) for variant in set(self.later)], self._start_up
        known = [seconds for seconds in each if seconds is not None]
        if self.later_launches and (start_up is None or len(known) < len(each)):
            return None
        turns = sum(math.ceil(number / self.slots) for number in self.later_launches)
        return len(self.later_launches) * (start_up or 0.0) + turns * max(known, default=0.0)

    def _seconds_per_operation(self, remaining: Mapping[str, float | None]) -> float | None:
        """The rate of the runs under way, by which others are scaled: the longest runs start first."""
        seconds = operations = 0.0
        for name, run in self.running.items():
            left, counted = remaining[name], self.speed.operations(self._variant(name, run.cell))
            if left is not None and counted and name not in self.again and run.done < 1.0:
                seconds += left / (1.0 - run.done)
                operations += counted
        return seconds / operations if operations else None

    def _left(self, name: str, whole: float | None) -> float | None:
        """The rest of the ``whole`` time of a waiting run."""
        return None if whole is None else whole * (1.0 - self._waiting_share(name))

    def _waiting_share(self, name: str) -> float:
        """The share of a waiting run's time that it need not repeat."""
        if name not in self.resumed_at:
            return 0.0
        return self._done_share(name, self.waiting[name], *self.resumed_at[name])

    def _done_share(self, name: str, cell: str, phase: str, fraction: float) -> float:
        """The share of a run's time that has passed at a fraction of a phase."""
        if name in self.again:
            return fraction
        return self.speed.done_share(self._variant(name, cell), phase, fraction)

    def _expected_seconds(self, name: str, cell: str) -> float | None:
        if name not in self.again:
            return self.speed.expected_seconds(self._variant(name, cell))
        seconds = self.speed.evaluation_seconds(self._variant(name, cell))
        return None if seconds is None else seconds * self.weights.get(name, 1.0)

    def _remaining(self, name: str, run: Running) -> float | None:
        expected = self._expected_seconds(name, run.cell)
        rough = name not in self.again and self.speed.is_rough(self._variant(name, run.cell))
        if expected is not None and not rough and run.done - run.start_share < OWN_PACE:
            return expected * (1.0 - run.done)
        if (start := run.pace_from()) is None:
            return None
        done = self._done_share(name, run.cell, start.phase, start.fraction)
        return run.seconds_left(start, done, self.now())

    def summary(self) -> str:
        """One line of numbers and times."""
        counts = {
            "done": self.done,
            "running": len(self.running),
            "failed": self.failed,
            "left": len(self.waiting) + len(self.later),
        }
        counts |= {word: n for word, n in (("paused", self.paused), ("dropped", self.dropped)) if n}
        if self.held:
            counts["in another launch"] = len(self.held)
        line = ", ".join(f"{number} {word}" for word, number in counts.items())
        line = f"{self.share():.0%}: {line}; {format_duration(self.now() - self.began)} elapsed"
        if not self.running:
            return line
        if self.stopping:
            return f"{line}, stopping"
        # More may follow, such as a comparison of the best trials.
        of = " for the trials" if self.more else ""
        if (left := self._end.seconds_left(self.eta())) is None:
            return f"{line}, – to go{of}"
        return f"{line}, about {format_duration(left)} to go{of} at the present pace"
