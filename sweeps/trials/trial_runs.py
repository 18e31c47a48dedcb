"""The runs of a search's trials: which config, name and folder each has, and what its folder shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.identity import fingerprint
from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from sweeps.planning.loading import counted_operations, look_up
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.planning.times.variants import variant_of
from sweeps.trials.objectives import measure
from sweeps.trials.proposals import Trial
from sweeps.trials.space import Values, conflict


class TrialRuns:
    """A trial's run is a run like any other: the base config with the trial's values."""

    def __init__(
        self,
        base: RunConfig,
        corpora: Mapping[str, Corpus],
        study: Study,
        objectives: tuple[str, ...],
        *,
        retry_failed: bool = False,
    ) -> None:
        """Know no run yet.

        Args:
            base: the config of every trial except for the fields of the space.
            corpora: the corpus that ``base`` names, by dataset.
            study: holds the runs; it need not exist.
            objectives: what is read from a finished run if a search has several.
            retry_failed: whether failed runs are retried, once.
        """
        self.base, self.corpora, self.study = base, corpora, study
        self.seen: list[PlannedRun] = []
        """Every run that has been looked up, as its folder was then."""
        self.started: set[str] = set()
        """The names of the runs that this process has started."""
        self._objectives, self._retry = objectives, retry_failed
        self._folders: dict[str, str] = {}
        """Fingerprint -> name of the run's folder, once it has been looked up."""

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
        key = fingerprint(config, self.corpora[self.base.dataset].data_sha256)
        return self._folders.get(key) or run_name(config, key)

    def find(self, points: Iterable[Values]) -> Plan:
        """The runs at these points. Points of one training share a run; one without a config has none."""
        # Trials are compared by validation scores: their estimates are never computed again.
        configs = [self.config(values) for values in points if self.is_valid(values)]
        plan = look_up(configs, self.corpora, self.study, evaluate=False)
        self._folders.update({run.key: run.name for run in plan.runs})
        return plan

    def look_up(self, trials: Iterable[Trial]) -> Plan:
        """Read the runs of ``trials`` again, and remember them as seen."""
        plan = self.find(trial.values for trial in trials)
        # Trials to come are expected to take as long as one at the recipe's point.
        plan.speed.count(
            variant_of(self.base), counted_operations(self.base, self.corpora[self.base.dataset])
        )
        names = {run.name for run in plan.runs}
        self.seen = [*(run for run in self.seen if run.name not in names), *plan.runs]
        return plan

    def lacks(self, run: PlannedRun, epoch: int | None) -> bool:
        """Whether a run has still to reach ``epoch``, or its end if None."""
        if run.status == "done" or (epoch is not None and len(self.scores(run)) >= epoch):
            return False
        return run.status == "left" or (self._retry and run.name not in self.started)

    def scores(self, run: PlannedRun) -> tuple[float, ...]:
        """The lowest validation perplexity of a run so far, after each epoch."""
        try:
            return tuple(row["best_ppl"] for row in self.study.run(run.name).read_metrics())
        except DamagedError:
            return ()

    def read(
        self, trial: Trial, run: PlannedRun, epoch: int | None, failure: Mapping[str, Any] | None
    ) -> Trial:
        """The trial as its folder shows it at a rung or, for None, at its end.

        A trial that has reached a rung counts there even if its run has failed since: a selection at a rung
        must come out the same each time it is read.

        Args:
            trial: the trial as it was before.
            run: its run, as looked up.
            epoch: of the rung.
            failure: how the run failed in this process, if the folder does not tell.
        """
        scores = self.scores(run)
        if epoch is not None and len(scores) >= epoch:
            return replace(trial, scores=scores)
        if run.status == "done":
            return replace(trial, state="done", scores=scores, objectives=self._measured(run))
        if (failure := run.failure or failure) is None:
            return replace(trial, scores=scores)
        diverged = failure.get("class") == "diverged"
        return replace(trial, state="diverged" if diverged else "failed", scores=scores if diverged else ())

    def _measured(self, run: PlannedRun) -> tuple[float, ...]:
        if len(self._objectives) == 1:
            return ()
        assert run.result is not None
        return measure(self._objectives, self.study.run(run.name).read_metrics(), run.result)
