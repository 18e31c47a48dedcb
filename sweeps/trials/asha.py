"""Run a search by successive halving over all trials so far, without rounds (ASHA; Li et al. 2020).

A job trains one trial to one rung. A step takes up to ``at_once`` jobs as ASHA does: first the trials that
are promoted, from the highest rung down, then new points. Unlike ASHA, a step waits for all of its jobs, so
each decision depends on finished steps alone and not on which job ends first. Every step is recorded before
it is started, and replayed when the search continues.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sweeps.launching.progress.display import Display
from sweeps.launching.session import Launch
from sweeps.planning.plan import PlannedRun
from sweeps.trials.proposals import Trial
from sweeps.trials.search import Search
from sweeps.trials.space import Values

Job = tuple[int, int]
"""A trial's number, and the index of the rung to train it to; the last index is the end of training."""


class AshaSearch(Search):
    """A search that promotes trials among all of those that have reached the same rung."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Read the study's search, if it has one; see :class:`Search`."""
        super().__init__(*args, **options)
        self._all: list[Trial] = []
        """The trials of the finished steps; those that wait at a rung are open."""
        self._steps = 0
        """The number of finished steps."""
        self._asked: set[Job] = set()
        """The jobs of the finished steps."""
        self._reached: list[dict[int, float]] = [{} for _ in (*self.rules.rungs, None)]
        """For each rung: the number of a trial that has reached it -> its score there."""

    def run(self, launch: Callable[[], Launch], display: Display) -> bool:
        """Do what is left of the search; see :meth:`Search.run`."""
        self.read_finished_rounds()
        while True:
            if self._steps == len(self.history.rounds):
                if line := self._failing():
                    display.say(line)
                    break
                points, promotions = self._next_step()
                if not points and not promotions:
                    if len(self._all) < self.rules.trials:
                        display.say("no untried point was found: the search ends here")
                    break
                launch()  # if it refuses, nothing has been recorded
                self.history.add(points, promotions)
            if not self._do_step(launch, display):
                return False
            display.say(self._progress())
        self._settle()
        return True

    def read_finished_rounds(self) -> None:
        """Replay the steps whose jobs have all ended; start nothing."""
        while self._steps < len(self.history.rounds):
            if not self._do_step():
                return
        if self._steps and (self._failing() or self._next_step() == ([], [])):
            self._settle()

    def points(self) -> list[Values]:
        """The recorded points of this search. Every step is replayed, even if it has fewer trials now."""
        return [values for points in self.history.rounds for values in points]

    def _settle(self) -> None:
        """Count the trials that wait at a rung as dropped."""
        self.known = [replace(t, state="dropped") if t.state == "open" else t for t in self._all]

    def _next_step(self) -> tuple[list[Values], list[Job]]:
        """The next step: points to start, and jobs of trials to continue; both empty at the end."""
        promotions = self._promotable(at_end=False)[: self.rules.at_once]
        room = min(self.rules.at_once - len(promotions), self.rules.trials - len(self._all))
        points = self._propose(len(self._all), room) if room > 0 else []
        if points or promotions:
            return points, promotions
        # No new trial will come: there are enough of them, or no untried point was found.
        return [], self._promotable(at_end=True)[: self.rules.at_once]

    def _promotable(self, *, at_end: bool) -> list[Job]:
        """The jobs that continue trials, from the highest rung down, the better trials of a rung first.

        Of the trials that have reached a rung, one in ``keep`` continues: rounded down while more may
        reach it, so that no trial continues only because it was early, and rounded up at the end. A
        diverged trial counts as the worst; a failed one does not count.
        """
        jobs: list[Job] = []
        for rung in reversed(range(len(self.rules.rungs))):
            reached = {n: score for n, score in self._reached[rung].items() if not self._has_failed(n)}
            ranked = sorted(reached, key=lambda number: (reached[number], number))
            count = -(-len(ranked) // self.rules.keep) if at_end else len(ranked) // self.rules.keep
            jobs += [
                (number, rung + 1)
                for number in ranked[:count]
                if (number, rung + 1) not in self._asked and math.isfinite(reached[number])
            ]
        return jobs

    def _has_failed(self, number: int) -> bool:
        return self._all[number].state == "failed"

    def _failed_at_first(self, trial: Trial) -> bool:
        """Whether a trial failed before the first rung: a promoted one says nothing about new ones."""
        return super()._failed_at_first(trial) and trial.number not in self._reached[0]

    def _do_step(self, launch: Callable[[], Launch] | None = None, display: Display | None = None) -> bool:
        """Do what is left of the next recorded step.

        Returns:
            False after an interrupt, or if there is something to train but no ``launch``.
        """
        rungs = (*self.rules.rungs, None)
        new = self._trials(self.history.rounds[self._steps])
        jobs: list[Job] = [(trial.number, 0) for trial in new if trial.state == "open"]
        jobs += [(number, rung) for number, rung in self.history.promotions[self._steps]]
        trials = [*self._all, *new]
        chosen = [trials[number] for number, _ in jobs]
        epochs = [rungs[rung] for _, rung in jobs]
        runs = self._look_up(chosen)
        names = self._names(chosen)  # after the look-up, which finds folders of earlier versions
        lacking = {
            name: epoch
            for name, epoch in zip(names, epochs, strict=True)
            if self.runs.lacks(runs[name], epoch)
        }
        if lacking:
            if launch is None or display is None:
                return False
            self.runs.started |= lacking.keys()
            todo = [runs[name] for name in lacking]
            self._update_board(todo, later=max(0, self.rules.trials - len(trials)))
            paused = {trial.number for trial in self._all if trial.state == "open"}
            self.board.paused = len(paused - {number for number, _ in jobs})
            self.board.dropped -= self.board.paused
            if not launch()(todo, display, {n: epoch for n, epoch in lacking.items() if epoch is not None}):
                return False
            runs = self._look_up(chosen)
        for (number, rung), name, epoch in zip(jobs, names, epochs, strict=True):
            trial = trials[number] = self._at_rung(trials[number], runs[name], epoch)
            self._asked.add((number, rung))
            if trial.state != "failed":
                score = trial.scores[-1] if trial.state != "diverged" else math.inf
                self._reached[rung][number] = score
        self._all, self._steps = trials, self._steps + 1
        self.known = list(trials)
        return True

    def _at_rung(self, trial: Trial, run: PlannedRun, epoch: int | None) -> Trial:
        """The trial as it was when it reached a rung, even if it has been trained further since."""
        trial = self._read(trial, run, epoch)
        if trial.state != "open":
            return trial
        if epoch is None or len(trial.scores) < epoch:
            return replace(trial, state="failed", scores=())
        return replace(trial, scores=trial.scores[:epoch])
