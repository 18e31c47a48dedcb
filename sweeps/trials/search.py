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
from lvae_core.identity import fingerprint
from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from sweeps.launching.progress.board import Board
from sweeps.launching.progress.display import Display
from sweeps.launching.session import Launch
from sweeps.planning.loading import counted_operations, look_up
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.planning.resources import Resources
from sweeps.planning.times.durations import Speed
from sweeps.planning.times.variants import variant_of
from sweeps.planning.workload import Workload
from sweeps.trials.history import History, describe
from sweeps.trials.objectives import OBJECTIVES, measure, pareto_front
from sweeps.trials.proposals import Trial, promoted, propose
from sweeps.trials.rules import Rules
from sweeps.trials.space import Values, conflict, largest

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
        self._data_sha256 = corpora[base.dataset].data_sha256
        rungs = " ".join(map(str, rules.rungs)) or "none"
        lasting = {"sampler": rules.sampler, "rungs": rungs, "keep": str(rules.keep)}
        lasting |= {"rule": rules.rule} if rules.rule != "rounds" else {}
        lasting |= {"objective": " ".join(rules.objectives)} if len(rules.objectives) > 1 else {}
        try:
            identity = describe(base, space, data=self._data_sha256, **lasting)
            self.history = History(study, identity, space, base)
        except OSError as error:
            raise cannot_read(f"storage {study.url}", error) from None
        self.known: list[Trial] = []
        """The trials of all finished rounds."""
        self._runs: list[PlannedRun] = []
        """Every run of the search so far."""
        self._labels: dict[str, str] = {}
        self._variant_labels: dict[str, str] = {}
        self.board = Board(Speed(), 0, 0, {}, labels=self._labels, hide_test_scores=True, more=True)
        self.board.variant_labels = self._variant_labels
        self.board.mark_bounds([base])
        self._folders: dict[str, str] = {}
        """Fingerprint -> name of the run's folder, once it has been looked up."""
        self._retry = retry_failed
        self._started: set[str] = set()
        self._check_study()

    @property
    def plan(self) -> Plan:
        """Every run of the search so far, and the times that are known by now."""
        return Plan(list(self._runs), self.board.speed)

    def _check_study(self) -> None:
        """Raise InputError if the study holds runs, but none of this search."""
        names = [] if self.history.rounds else self.study.run_names()
        if names and not any(run.begun for run in self.find(self._propose(0)).runs):
            raise InputError(
                f"{self.study.url}: holds runs that belong to no search, or to another one; give another "
                "--study"
            )

    def config(self, values: Values) -> RunConfig:
        """The config of the trial at a point."""
        return replace(self.base, **dict(values))

    def is_valid(self, values: Values) -> bool:
        """Whether a point gives a config. Earlier versions recorded points that do not."""
        return not conflict(self.base, values)

    def name(self, values: Values) -> str:
        """The folder name of the run of the trial at a point; "" if the point gives no config."""
        if not self.is_valid(values):
            return ""
        config = self.config(values)
        key = fingerprint(config, self._data_sha256)
        return self._folders.get(key) or run_name(config, key)

    def expected_workload(self, resources: Resources) -> Workload:
        """As many runs as may still begin, each of the largest size, to check that there is room."""
        points = self.points()
        under_way = self.find(points[len(self.known) :]).runs
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

    def find(self, points: Iterable[Values]) -> Plan:
        """The runs at these points. Points of one training share a run; one without a config has none."""
        # Trials are compared by validation scores: their estimates are never computed again.
        configs = [self.config(values) for values in points if self.is_valid(values)]
        plan = look_up(configs, self.corpora, self.study, evaluate=False)
        self._folders.update({run.key: run.name for run in plan.runs})
        return plan

    def unfinished(self) -> list[PlannedRun]:
        """The runs of the round under way that a launch has left, as their folders are now."""
        runs = self.find(self.points()).runs
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
            firsts.setdefault(self.name(trial.values), trial)
        return list(firsts.values())[:count]

    def failed_runs(self) -> list[PlannedRun]:
        """The runs of the trials that have failed or diverged: those that a launch may retry."""
        others = {self.name(t.values) for t in self.known if t.state not in ("failed", "diverged")}
        return [run for run in self.plan.runs if run.name not in others and run.status == "failed"]

    def _failing(self) -> str:
        """A line if the last new trials have all failed, several and a round of them; "" otherwise."""
        count = max(_FAILURES, self.rules.at_once)
        tried = [trial for trial in self.known if self.is_valid(trial.values)]
        if len(tried) < count or not all(map(self._failed_at_first, tried[-count:])):
            return ""
        return f"the last {count} new trials have all failed: the search ends here"

    def _failed_at_first(self, trial: Trial) -> bool:
        """Whether a trial failed in the round that began it."""
        return trial.state == "failed"

    def _trials(self, proposals: Sequence[Values]) -> list[Trial]:
        """The trials at recorded points. Those whose points give no config have failed."""
        return [
            Trial(number=number, values=values, state="open" if self.is_valid(values) else "failed")
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
            valid=self.is_valid,
            key=self.name,
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
            todo = [run for name, run in runs.items() if name in waiting and self._lacks(run, epoch)]
            if todo:
                if launch is None or display is None:
                    return None
                self._started |= {run.name for run in todo}
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
            trials = self._select(trials, epoch)
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
            names.append(name := self.name(trial.values))
            if not name:
                continue
            self._labels[name] = label = f"trial {trial.number}"
            self._variant_labels[variant_of(self.config(trial.values))] = label
        return names

    def _look_up(self, trials: Iterable[Trial]) -> dict[str, PlannedRun]:
        """Read the runs of ``trials``, and put them into the plan of the search."""
        plan = self.find(trial.values for trial in trials)
        # Trials to come are expected to take as long as one at the recipe's point.
        plan.speed.count(
            variant_of(self.base), counted_operations(self.base, self.corpora[self.base.dataset])
        )
        self.board.speed = plan.speed
        runs = {run.name: run for run in plan.runs}
        self._runs = [*(run for run in self._runs if run.name not in runs), *runs.values()]
        return runs

    def _lacks(self, run: PlannedRun, epoch: int | None) -> bool:
        """Whether a run has not reached ``epoch``, or its end if None."""
        if run.status == "done" or (epoch is not None and len(self._scores(run)) >= epoch):
            return False
        return run.status == "left" or (self._retry and run.name not in self._started)

    def _scores(self, run: PlannedRun) -> tuple[float, ...]:
        try:
            return tuple(row["best_ppl"] for row in self.study.run(run.name).read_metrics())
        except DamagedError:
            return ()

    def _read(self, trial: Trial, run: PlannedRun, epoch: int | None) -> Trial:
        """The trial as its folder shows it at a rung or, for None, at its end.

        A trial that has reached a rung counts there even if its run has failed since: a selection at a rung
        must come out the same each time it is read.
        """
        scores = self._scores(run)
        if epoch is not None and len(scores) >= epoch:
            return replace(trial, scores=scores)
        if run.status == "done":
            return replace(trial, state="done", scores=scores, objectives=self._objectives(run))
        failure = run.failure or self.board.failures.get(run.name)
        if failure is None:
            return replace(trial, scores=scores)
        diverged = failure.get("class") == "diverged"
        return replace(trial, state="diverged" if diverged else "failed", scores=scores if diverged else ())

    def _objectives(self, run: PlannedRun) -> tuple[float, ...]:
        if len(self.rules.objectives) == 1:
            return ()
        assert run.result is not None
        return measure(self.rules.objectives, self.study.run(run.name).read_metrics(), run.result)

    def _select(self, trials: Sequence[Trial], epoch: int | None) -> list[Trial]:
        """Mark the trials that a rung drops; at the end, mark those still open as failed."""
        if epoch is None:
            return [replace(t, state="failed", scores=()) if t.state == "open" else t for t in trials]
        candidates = [trial for trial in trials if trial.state in ("open", "done")]
        kept = {trial.number for trial in promoted(candidates, epoch, self.rules.keep)}
        return [
            replace(t, state="dropped", scores=t.scores[:epoch])
            if t.state == "open" and t.number not in kept
            else t
            for t in trials
        ]

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
        ended = [run for run in self._runs if run.name not in names]
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
