"""Load what a launch needs before it starts: the corpora of a grid, and its plan with expected times."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from lvae_core.config import RunConfig, from_dict
from lvae_core.data.corpus import Corpus, load_for
from lvae_core.data.public import MissingError
from lvae_core.errors import InputError
from lvae_core.model.counts import amount, evaluation_operations, operations
from lvae_core.run_folder.folder import Study
from sweeps.planning.parents import with_parents
from sweeps.planning.plan import Plan, make_plan
from sweeps.planning.probe_results import ProbeResults, key

_log = logging.getLogger("lvae.data")


def load_corpora(
    configs: Sequence[RunConfig], data_dir: str | None, command: str = "sweeps/paper_grid.py"
) -> dict[str, Corpus]:
    """Load the corpus of every dataset that the configs name; print a warning if data looks wrong.

    Returns:
        Dataset, as the configs name it -> its corpus.

    Raises:
        InputError: a dataset is missing or cannot be used.
    """
    # The configs of one dataset differ in nothing that its corpus depends on.
    per_dataset = {config.dataset: config for config in configs}
    try:
        corpora = {dataset: load_for(config, data_dir) for dataset, config in per_dataset.items()}
    except MissingError as error:
        demo = f"python {command} --preset demo"
        raise InputError(f"{error}; for a demonstration without it: {demo}") from None
    for corpus in corpora.values():
        for warning in corpus.warnings:
            _log.warning(warning)
    return corpora


def look_up(
    configs: Sequence[RunConfig], corpora: Mapping[str, Corpus], study: Study, *, evaluate: bool = True
) -> Plan:
    """Read the plan of ``configs`` from the study's folders. Raises InputError if they cannot be used.

    For ``evaluate`` see :func:`sweeps.planning.plan.make_plan`.
    """
    try:
        data = {name: corpus.data_sha256 for name, corpus in corpora.items()}
        plan = with_parents(make_plan(configs, data, study, evaluate=evaluate), data, study)
        add_expected_times(plan, corpora, study)
        return plan
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"storage {study.url}: cannot be read ({reason})") from None


def add_expected_times(plan: Plan, corpora: Mapping[str, Corpus], study: Study) -> None:
    """Add probe results and counted operations to the measured times of a plan.

    Raises:
        OSError: the storage cannot be read.
    """
    results = ProbeResults(study)
    counted: dict[str, float] = {}
    for cell, (run, *_) in plan.cells().items():
        corpus = corpora[run.config.dataset]
        counted[cell] = operations(run.config, corpus)
        if result := results.slowest(key(run.config, corpus.data_sha256)):
            tokens = amount(run.config, corpus)
            plan.speed.add_probe(
                cell, tokens.train / result.train_rate, tokens.evaluate / result.evaluate_rate
            )
    plan.speed.set_operations(counted)
    for run in plan.runs:
        if run.evaluation and run.result:
            classes = len(corpora[run.config.dataset].vocabulary)
            earlier = evaluation_operations(from_dict(run.result["config"]), classes)
            factor = evaluation_operations(run.config, classes) / earlier
            plan.speed.expect_evaluation(run.cell, factor * run.result["evaluate_seconds"])
