"""A workload: everything that a launch needs to execute a set of runs, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lvae_core.data.corpus import Corpus
from lvae_core.run_folder.study import Study
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.planning.resources import Resources


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Planned runs, the corpora that they read, the study that keeps them, and the resources of each."""

    plan: Plan
    corpora: Mapping[str, Corpus]
    """Dataset, as the configs name it -> its corpus."""
    study: Study
    resources: Resources = field(default_factory=Resources)
    """Resources of a run that ``per_run`` does not name."""
    per_run: Mapping[str, Resources] = field(default_factory=dict)
    """Name of a run -> its resources."""

    @property
    def runs(self) -> Sequence[PlannedRun]:
        """The runs of the plan."""
        return self.plan.runs

    def corpus_of(self, run: PlannedRun) -> Corpus:
        """The corpus that a run reads."""
        return self.corpora[run.config.dataset]

    def resources_of(self, name: str) -> Resources:
        """Return the resources of the run of this name."""
        return self.per_run.get(name, self.resources)

    def only(self, runs: Sequence[PlannedRun]) -> Workload:
        """A copy with other runs, such as those left to do."""
        return replace(self, plan=Plan(runs, self.plan.speed))
