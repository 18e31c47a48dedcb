"""A search's trials, round by round: proposed, trained up to each rung, compared, gone on with.

Where a search stands is read from its run folders, as everything here is: a trial is a run like any other,
and the rungs are epochs at which runs pause, so that one that goes on is the run that was never paused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from optuna.distributions import BaseDistribution

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.run_folder.folder import DamagedError, Study
from lvae_core.run_folder.names import CellName, run_name
from sweeps.launching.board import Board
from sweeps.launching.display import Display
from sweeps.launching.session import Launch
from sweeps.planning.loading import look_up
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.trials.history import History, describe
from sweeps.trials.proposals import Sampler, Trial, promoted, propose
from sweeps.trials.space import MOST, Values, spec_of


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a search goes about it.

    Raises:
        InputError: a number cannot be used.
    """

    trials: int
    """In all."""
    at_once: int
    """Trials of a round: what a round proposes depends on the rounds before."""
    sampler: Sampler = "tpe"
    rungs: tuple[int, ...] = ()
    """Epochs after which only the better trials of a round go on."""
    keep: int = 3
    """One in so many."""

    def check(self, max_epochs: int) -> None:
        """Raise InputError unless they can be used with runs of so many epochs."""
        for option, value, least in (
            *(("--trials", self.trials, 1), ("--at-once", self.at_once, 1), ("--keep", self.keep, 2)),
            *(("--rungs", epoch, 1) for epoch in self.rungs),
        ):
            if value < least:
                raise InputError(f"{option} {value}: must be at least {least}")
            if value > MOST:
                raise InputError(f"{option} {value}: must be at most {MOST}")
        if self.rungs and self.at_once == 1:
            raise InputError(
                "--rungs with --at-once 1: a round of one leaves none behind; give more at once"
            )
        if list(self.rungs) != sorted(set(self.rungs)) or any(r >= max_epochs for r in self.rungs):
            given = " ".join(map(str, self.rungs))
            raise InputError(f"--rungs {given}: must rise, and end below max_epochs = {max_epochs}")


class Search:
    """The trials of a study."""

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
        """Read where it stands.

        Args:
            base: what all trials have but for the fields of the space; its seed is that of the search.
            space: field -> what it may be.
            rules: see there.
            corpora: the one that ``base`` names.
            study: where it is kept; it need not exist.
            retry_failed: whether runs that have failed are taken up again, once.

        Raises:
            InputError: the study holds another search, or cannot be read.
        """
        self.base, self.space, self.rules = base, space, rules
        self._corpora, self._study = corpora, study
        self._identity = corpora[base.dataset].data_sha256
        specs = {field: spec_of(distribution) for field, distribution in space.items()}
        rungs = " ".join(map(str, rules.rungs)) or "none"
        lasting = {"sampler": rules.sampler, "rungs": rungs, "keep": str(rules.keep)}
        try:
            self.history = History(study, describe(base, specs, data=self._identity, **lasting))
        except OSError as error:
            raise InputError(f"storage {study.url}: cannot be read ({error.strerror or error})") from None
        self.known: list[Trial] = []
        """Those of the rounds that are over."""
        self._last: list[Trial] = []
        """Those of the last of them."""
        self._runs: list[PlannedRun] = []
        self.plan = Plan(self._runs, look_up([], corpora, study).speed)
        """Every run of the search so far; it grows."""
        self._labels: dict[str, str] = {}
        self.board = Board(self.plan.speed, 0, 0, {}, labels=self._labels, hide_test_scores=True, more=True)
        self._folders: dict[str, str] = {}
        """Fingerprint -> name of the run's folder, where it is known."""
        self._retry = retry_failed
        self._retried: set[str] = set()
        self._check_study()

    def _check_study(self) -> None:
        """Raise InputError where the study holds runs and none of them is the search's."""
        names = [] if self.history.rounds else self._study.run_names()
        if names and not any(run.begun for run in self._find(self._points(0)).runs):
            raise InputError(
                f"{self._study.url}: holds runs that belong to no search, or to another one; give another "
                "--study"
            )

    def config(self, values: Values) -> RunConfig:
        """Of a trial."""
        return replace(self.base, **dict(values))

    def name(self, values: Values) -> str:
        """Of the folder of a trial's run."""
        config = self.config(values)
        key = fingerprint(config, self._identity)
        return self._folders.get(key) or run_name(config, key)

    def go_on(self, launch: Callable[[], Launch], display: Display) -> bool:
        """Do what is left of it; returns whether it was not interrupted.

        Args:
            launch: asked for when there is the first run to do.
            display: its board is that of the search.
        """
        self.catch_up()
        while (number := len(self.known)) < self.rules.trials:
            if self._last and all(trial.state == "failed" for trial in self._last):
                display.say("every trial of that round has failed: the search ends here")
                break
            if not (proposals := self._proposed(number)):
                if not (points := self._points(number)):
                    display.say("no point is found that has not been tried: the search ends here")
                    break
                launch()  # what it refuses must leave nothing behind
                self.history.add(points)
                proposals = self._proposed(number)
            if (ended := self._round(self._trials(proposals), launch, display)) is None:
                return False
            self._add(ended)
            display.say(self._told())
        return True

    def catch_up(self) -> None:
        """Read the rounds that are over; start nothing."""
        while proposals := self._proposed(len(self.known)):
            if (ended := self._round(self._trials(proposals))) is None:
                return
            self._add(ended)

    def _add(self, ended: list[Trial]) -> None:
        self.known += ended
        self._last = ended

    def _trials(self, proposals: Sequence[Values]) -> list[Trial]:
        return [
            Trial(number=number, values=values)
            for number, values in enumerate(proposals, start=len(self.known))
        ]

    def _proposed(self, number: int) -> list[Values]:
        """What the ledger has for the round that begins with a trial of this number.

        A round is never cut short where fewer trials are wanted than before: its rungs are those of all.
        """
        before = 0
        for proposals in self.history.rounds:
            if before == number < self.rules.trials:
                return proposals
            before += len(proposals)
        return []

    def _points(self, number: int) -> list[Values]:
        rules = self.rules
        fields = self.base.to_dict()
        return propose(
            self.space,
            self.known,
            min(rules.at_once, rules.trials - number),
            sampler=rules.sampler,
            seed=self.base.seed,
            first={field: fields[field] for field in self.space},
            startup=rules.at_once,
        )

    def _round(
        self,
        trials: list[Trial],
        launch: Callable[[], Launch] | None = None,
        display: Display | None = None,
    ) -> list[Trial] | None:
        """Train a round's trials to their ends; None where that was interrupted, or may not be begun."""
        for epoch in (*self.rules.rungs, None):
            runs = self._look_up(trials)
            names = [self.name(trial.values) for trial in trials]
            self._labels.update({name: f"trial {t.number}" for name, t in zip(names, trials, strict=True)})
            self._enter(runs)
            alive = [runs[name] for name, t in zip(names, trials, strict=True) if t.state == "open"]
            todo = [run for run in alive if self._lacks(run, epoch)]
            if todo:
                if launch is None or display is None:
                    return None
                self._retried |= {run.name for run in todo}
                self._count(trials, todo)
                pause_after = {} if epoch is None else {run.name: epoch for run in todo}
                if not launch()(todo, display, pause_after):
                    return None
                runs = self._look_up(trials)
                self._enter(runs)
            trials = [
                self._read(trial, runs[name], epoch) if trial.state == "open" else trial
                for trial, name in zip(trials, names, strict=True)
            ]
            trials = self._chosen(trials, epoch)
        return trials

    def _look_up(self, trials: Iterable[Trial]) -> dict[str, PlannedRun]:
        plan = self._find([trial.values for trial in trials])
        self.board.speed = plan.speed
        return {run.name: run for run in plan.runs}

    def _find(self, points: Iterable[Values]) -> Plan:
        plan = look_up([self.config(values) for values in points], self._corpora, self._study)
        self._folders.update({run.key: run.name for run in plan.runs})
        return plan

    def _enter(self, runs: Mapping[str, PlannedRun]) -> None:
        """Put what was read into the plan of the whole search."""
        self._runs[:] = [*(run for run in self._runs if run.name not in runs), *runs.values()]

    def _lacks(self, run: PlannedRun, epoch: int | None) -> bool:
        """Whether it has yet to come to ``epoch``, or to its end."""
        if run.status == "done" or (epoch is not None and len(self._scores(run)) >= epoch):
            return False
        return run.status == "left" or (self._retry and run.name not in self._retried)

    def _scores(self, run: PlannedRun) -> tuple[float, ...]:
        try:
            return tuple(row["best_ppl"] for row in self._study.run(run.name).read_metrics())
        except DamagedError:
            return ()

    def _read(self, trial: Trial, run: PlannedRun, epoch: int | None) -> Trial:
        """The trial as its folder tells it, at a rung or, for None, at its end.

        One that has come to a rung is in the running there whatever has become of it since: what was
        chosen at a rung must be chosen again.
        """
        scores = self._scores(run)
        if epoch is not None and len(scores) >= epoch:
            return replace(trial, scores=scores)
        if run.status == "done":
            return replace(trial, state="done", scores=scores)
        failure = run.failure or self.board.failures.get(run.name)
        if failure is None:
            return replace(trial, scores=scores)
        diverged = failure.get("class") == "diverged"
        return replace(trial, state="diverged" if diverged else "failed", scores=scores if diverged else ())

    def _chosen(self, trials: Sequence[Trial], epoch: int | None) -> list[Trial]:
        """The same, those that are left behind at a rung marked; at the end none stays open."""
        if epoch is None:
            return [replace(t, state="failed", scores=()) if t.state == "open" else t for t in trials]
        running = [trial for trial in trials if trial.state in ("open", "done")]
        better = {trial.number for trial in promoted(running, epoch, self.rules.keep)}
        return [
            replace(t, state="dropped", scores=t.scores[:epoch])
            if t.state == "open" and t.number not in better
            else t
            for t in trials
        ]

    def _count(self, trials: Sequence[Trial], todo: Sequence[PlannedRun]) -> None:
        """Have the board wait for ``todo`` and count what lies behind."""
        board, names = self.board, {run.name for run in todo}
        behind = [run for run in self._runs if run.name not in names]
        board.done = sum(run.status == "done" for run in behind)
        board.failed = sum(run.status == "failed" for run in behind)
        board.dropped = len(behind) - board.done - board.failed
        board.paused = 0
        board.waiting = {run.name: run.cell for run in todo}
        board.later = [str(CellName.of(self.base))] * (self.rules.trials - trials[-1].number - 1)

    def _told(self) -> str:
        done = f"{len(self.known)} of {self.rules.trials} trials"
        if (best := self.best(1)) == []:
            return f"{done}; none has been trained to its end"
        return f"{done}; the best so far: trial {best[0].number}, valid ppl {best[0].scores[-1]:.2f}"

    def best(self, count: int) -> list[Trial]:
        """The trials of lowest perplexity among those that were trained to their ends."""
        done = [trial for trial in self.known if trial.state == "done"]
        return sorted(done, key=lambda trial: (trial.scores[-1], trial.number))[:count]
