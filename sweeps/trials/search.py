"""Run a search in rounds: propose points, train them to each rung, continue the best.

A search keeps no state but its run folders and the record of its proposals. A trial is a run like any
other, and the rungs are epochs at which runs pause: a trial that continues gives the same numbers as a run
that was never paused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from optuna.distributions import BaseDistribution

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.errors import InputError, cannot_read
from lvae_core.run_folder.study import Study
from sweeps.launching.progress.board import Board
from sweeps.launching.progress.display import Display
from sweeps.launching.session import Launch
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.planning.resources import Resources
from sweeps.planning.times.durations import Speed
from sweeps.planning.times.variants import variant_of
from sweeps.planning.workload import Workload
from sweeps.trials.history import History, describe
from sweeps.trials.objectives import OBJECTIVES, pareto_front
from sweeps.trials.proposals import Trial, propose
from sweeps.trials.rules import Rules
from sweeps.trials.rungs import select
from sweeps.trials.space import Values, largest
from sweeps.trials.trial_runs import TrialRuns

_FAILURES = 3
"""The fewest new trials that must fail one after another before a search ends."""


class Search:
    """The search of a study: its trials so far, and what is left to do."""

    def __init__(
        self,
        base: RunConfig,
        space: Mapping[str, BaseDistribution],
        rules: Rules,
        corpora: Mapping[str, Corpus],
        study: Study,
        *,
        retry_failed: bool = False,
    ) -> None:
        """Read the study's search, if it has one.

        Args:
            base: the config of every trial except for the fields of the space; its seed is the search's.
            space: field -> its range or choices.
            rules: how the search proceeds.
            corpora: the corpus that ``base`` names, by dataset.
            study: keeps the trials; it need not exist.
            retry_failed: whether failed runs are retried, once.

        Raises:
            InputError: the study holds another search, or cannot be read.
        """
        self.base, self.space, self.rules = base, space, rules
        self.corpora, self.study = corpora, study
        self.runs = TrialRuns(base, corpora, study, rules.objectives, retry_failed=retry_failed)
        try:
            identity = describe(base, space, data=corpora[base.dataset].data_sha256, **rules.lasting)
            self.history = History(study, identity, space, base)
        except OSError as error:
            raise cannot_read(f"storage {study.url}", error) from None
        self.known: list[Trial] = []
        """The trials of all finished rounds."""
        self._labels: dict[str, str] = {}
        self._variant_labels: dict[str, str] = {}
        self.board = Board(Speed(), 0, 0, {}, labels=self._labels, hide_test_scores=True, more=True)
        self.board.variant_labels = self._variant_labels
        self.board.mark_bounds([base])
        self._check_study()

    @property
    def plan(self) -> Plan:
        """Every run of the search so far, and the times that are known by now."""
        return Plan(list(self.runs.seen), self.board.speed)

    def _check_study(self) -> None:
        """Raise InputError if the study holds runs, but none of this search."""
        names = [] if self.history.rounds else self.study.run_names()
        if names and not any(run.begun for run in self.runs.find(self._propose(0)).runs):
            raise InputError(
                f"{self.study.url}: holds runs that belong to no search, or to another one; give another "
                "--study"
            )

    def expected_workload(self, resources: Resources) -> Workload:
        """As many runs as may still begin, each of the largest size, to check that there is room."""
        points = self.points()
        under_way = self.runs.find(points[len(self.known) :]).runs
        new = max(0, self.rules.trials - len(points)) + sum(not run.begun for run in under_way)
        run = PlannedRun(config=largest(self.space, self.base), name="", status="left")
        # A launch needs a run; one that has begun needs no more room.
        plan = Plan([run] * new or [replace(run, begun=True)], self.board.speed)
        return Workload(plan=plan, corpora=self.corpora, study=self.study, resources=resources)

    def run(self, launch: Callable[[], Launch], display: Display) -> bool:
        """Do what is left of the search; returns False after an interrupt.

        Args:
            launch: connects to Ray; called when there is a first run to do.
            display: shows the board of this search.
        """
        self.read_finished_rounds()
        while (number := len(self.known)) < self.rules.trials:
            if not (proposals := self._recorded(number)):
                if line := self._failing():
                    display.say(line)
                    break
                if not (points := self._propose(number)):
                    display.say("no untried point was found: the search ends here")
                    break
                launch()  # if it refuses, nothing has been recorded
                self.history.add(points)
                proposals = self._recorded(number)
            if (ended := self._round(self._trials(proposals), launch, display)) is None:
                return False
            self.known += ended
            display.say(self._progress())
        return True

    def read_finished_rounds(self) -> None:
        """Read the rounds whose trials have all ended; start nothing."""
        while proposals := self._recorded(len(self.known)):
            if (ended := self._round(self._trials(proposals))) is None:
                return
            self.known += ended

    def points(self) -> list[Values]:
        """The recorded points of this search; a round that begins within it counts whole."""
        points: list[Values] = []
        for proposals in self.history.rounds:
            if len(points) < self.rules.trials:
                points += proposals
        return points

    def unfinished(self) -> list[PlannedRun]:
        """The runs of the round under way that a launch has left, as their folders are now."""
        runs = self.runs.find(self.points()).runs
        return [run for run in runs if run.name in self.board.waiting]

    def best(self, count: int) -> list[Trial]:
        """The trials of lowest perplexity among those that were trained to their ends.

        With several objectives: those on the Pareto front, the lowest NLL first.
        """
        done = [trial for trial in self.known if trial.state == "done"]
        ranked = sorted(done, key=lambda trial: (trial.scores[-1], trial.number))
        if len(self.rules.objectives) > 1:
            ranked = pareto_front(self.known, self.rules.objectives)
        # Of trials that share a run, which earlier versions proposed, the first counts.
        firsts: dict[str, Trial] = {}
        for trial in ranked:
            firsts.setdefault(self.runs.name(trial.values), trial)
        return list(firsts.values())[:count]

    def failed_runs(self) -> list[PlannedRun]:
        """The runs of the trials that have failed or diverged: those that a launch may retry."""
        others = {self.runs.name(t.values) for t in self.known if t.state not in ("failed", "diverged")}
        return [run for run in self.plan.runs if run.name not in others and run.status == "failed"]

    def _failing(self) -> str:
        """A line if the last new trials have all failed, several and a round of them; "" otherwise."""
        count = max(_FAILURES, self.rules.at_once)
        tried = [trial for trial in self.known if self.runs.is_valid(trial.values)]
        if len(tried) < count or not all(map(self._failed_at_first, tried[-count:])):
            return ""
        return f"the last {count} new trials have all failed: the search ends here"

    def _failed_at_first(self, trial: Trial) -> bool:
        """Whether a trial failed in the round that began it."""
        return trial.state == "failed"

    def _trials(self, proposals: Sequence[Values]) -> list[Trial]:
        """The trials at recorded points. Those whose points give no config have failed."""
        return [
            Trial(number=number, values=values, state="open" if self.runs.is_valid(values) else "failed")
            for number, values in enumerate(proposals, start=len(self.known))
        ]

    def _recorded(self, number: int) -> list[Values]:
        """The recorded proposals of the round that begins with trial ``number``.

        A round is never shortened when fewer trials are wanted than before: its rungs compare all of them.
        """
        before = 0
        for proposals in self.history.rounds:
            if before == number < self.rules.trials:
                return proposals
            before += len(proposals)
        return []

    def _propose(self, number: int, count: int | None = None) -> list[Values]:
        """Points for the trials from ``number`` on: ``count`` of them, or as many as a round has."""
        rules = self.rules
        fields = self.base.to_dict()
        return propose(
            self.space,
            self.known,
            min(rules.at_once, rules.trials - number) if count is None else count,
            sampler=rules.sampler,
            seed=self.base.seed,
            first={field: fields[field] for field in self.space},
            startup=rules.at_once,
            directions=[OBJECTIVES[name].direction for name in rules.objectives],
            valid=self.runs.is_valid,
            key=self.runs.name,
        )

    def _round(
        self,
        trials: list[Trial],
        launch: Callable[[], Launch] | None = None,
        display: Display | None = None,
    ) -> list[Trial] | None:
        """Train the trials of a round to their ends.

        Returns:
            The trials, none of them open; None after an interrupt, or if there is something to train but no
            ``launch``.
        """
        for epoch in (*self.rules.rungs, None):
            runs = self._look_up(trials)
            names = self._names(trials)
            # Earlier versions proposed points that share a run.
            waiting = {name for name, trial in zip(names, trials, strict=True) if trial.state == "open"}
            todo = [run for name, run in runs.items() if name in waiting and self.runs.lacks(run, epoch)]
            if todo:
                if launch is None or display is None:
                    return None
                self.runs.started |= {run.name for run in todo}
                later = self.rules.trials - trials[-1].number - 1
                self._update_board(todo, later=later, launches=self._later_launches(later))
                pause_after = {} if epoch is None else {run.name: epoch for run in todo}
                if not launch()(todo, display, pause_after):
                    return None
                runs = self._look_up(trials)
            trials = [
                self._read(trial, runs[name], epoch) if trial.state == "open" else trial
                for trial, name in zip(trials, names, strict=True)
            ]
            trials = select(trials, epoch, self.rules.keep)
        return trials

    def _later_launches(self, later: int) -> list[int] | None:
        """The trials that each further round starts; None with rungs, where results decide that."""
        if self.rules.rungs:
            return None
        return [min(self.rules.at_once, later - first) for first in range(0, later, self.rules.at_once)]

    def _names(self, trials: Iterable[Trial]) -> list[str]:
        """The names of the runs of ``trials``, which lines for people call by the trials' numbers."""
        names = []
        for trial in trials:
            names.append(name := self.runs.name(trial.values))
            if not name:
                continue
            self._labels[name] = label = f"trial {trial.number}"
            self._variant_labels[variant_of(self.runs.config(trial.values))] = label
        return names

    def _look_up(self, trials: Iterable[Trial]) -> dict[str, PlannedRun]:
        """Read the runs of ``trials`` again: name -> run."""
        plan = self.runs.look_up(trials)
        self.board.speed = plan.speed
        return {run.name: run for run in plan.runs}

    def _read(self, trial: Trial, run: PlannedRun, epoch: int | None) -> Trial:
        """The trial as it is at a rung or, for None, at its end."""
        return self.runs.read(trial, run, epoch, self.board.failures.get(run.name))

    def _update_board(
        self, todo: Sequence[PlannedRun], *, later: int, launches: Sequence[int] | None = None
    ) -> None:
        """Let the board wait for ``todo``, and count the runs that ended.

        Args:
            todo: runs that start now.
            later: the number of trials to follow.
            launches: how many of them each launch starts; None: unknown.
        """
        board, names = self.board, {run.name for run in todo}
        ended = [run for run in self.runs.seen if run.name not in names]
        board.done = sum(run.status == "done" for run in ended)
        board.failed = sum(run.status == "failed" for run in ended)
        board.dropped = len(ended) - board.done - board.failed
        board.paused = 0
        board.waiting = {run.name: run.cell for run in todo}
        board.variants = {run.name: run.variant for run in todo}
        board.later, board.later_launches = [variant_of(self.base)] * later, launches

    def _progress(self) -> str:
        done = f"{len(self.known)} of {self.rules.trials} trials"
        if (best := self.best(1)) == []:
            return f"{done}; no trial has been trained to the end"
        return f"{done}; the lowest so far: trial {best[0].number}, valid ppl {best[0].scores[-1]:.2f}"
