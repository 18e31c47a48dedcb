"""Load what a launch needs before it starts: the corpora of a grid, and its plan with expected times."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lvae_core.config import RunConfig, dataset_label, from_dict
from lvae_core.data.corpus import Corpus, data_hashes, load_for, load_new
from lvae_core.data.datasets import check_known
from lvae_core.data.sources.public import MissingError
from lvae_core.errors import InputError
from lvae_core.messages import command_here
from lvae_core.model.counts import amount, evaluation_operations, operations
from lvae_core.run_folder.study import Study
from sweeps.planning.former_values import FormerValues, unreadable
from sweeps.planning.parents import with_parents
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.planning.probe_results import ProbeResults, key
from sweeps.planning.run_lookup import make_plan
from sweeps.planning.times.durations import Counted
from sweeps.planning.times.variants import product_sizes


def is_in_job(path: Path) -> bool:
    """Whether a path lies in the copy of the code that Ray makes for a job, and removes after it."""
    return "working_dir_files" in path.resolve().parts


def _advice_in_job() -> str:
    """The advice to add to an error about data."""
    return "; in a job: data/ does not travel with it, see docs/cluster.md" if is_in_job(Path()) else ""


def check_datasets(datasets: Iterable[str], data_dir: str | None) -> None:
    """Raise InputError if the name of a dataset is misspelt; call it before systems are checked."""
    try:
        for dataset in datasets:
            check_known(dataset, data_dir)
    except InputError as error:
        raise InputError(f"{error}{_advice_in_job()}") from None


def load_corpora(
    configs: Sequence[RunConfig],
    data_dir: str | None,
    study: Study,
    *,
    given: Collection[str],
    command: str = "sweeps/paper_grid.py",
) -> tuple[list[RunConfig], dict[str, Corpus]]:
    """Load the corpus of every dataset that the configs name; print a warning if data looks wrong.

    Args:
        configs: the runs. Those of one dataset differ in nothing that its corpus depends on.
        data_dir: folder of corpora.
        study: will keep the runs.
        given: fields whose value the user has chosen.
        command: for the advice if a dataset is missing.

    Returns:
        The configs, with the ``min_count`` that a new run over their folder has if the user has chosen
        none (see :func:`lvae_core.data.corpus.load_new`), and dataset, as the configs name it -> its
        corpus. A study whose runs have values of an earlier version keeps them, see ``former_values.py``.

    Raises:
        InputError: a dataset is missing or cannot be used; or the study has runs with both values.
    """
    per_dataset = {config.dataset: config for config in configs}
    corpora = {}
    former = FormerValues(study)
    try:
        for dataset, config in per_dataset.items():
            new, corpora[dataset] = load_new(config, data_dir)
            if new == config:
                continue
            if "min_count" in given or not former.accept_min_count(config, new):
                corpora[dataset] = load_for(config, data_dir)
                continue
            configs = [replace(c, min_count=new.min_count) if c.dataset == dataset else c for c in configs]
        if "patience_rule" not in given:
            configs = former.with_rule_of_study(configs)
    except InputError as error:
        advice = _advice_in_job()
        if isinstance(error, MissingError):
            advice += "; for a demonstration without it: " + command_here(
                "python", command, "--preset", "demo"
            )
        raise InputError(f"{error}{advice}") from None
    for corpus in corpora.values():
        corpus.warn()
    return list(configs), corpora


def look_up(
    configs: Sequence[RunConfig],
    corpora: Mapping[str, Corpus],
    study: Study,
    *,
    evaluate: bool = True,
    known: Mapping[str, PlannedRun] | None = None,
) -> Plan:
    """Read the plan of ``configs`` from the study's folders. Raises InputError if they cannot be used.

    For ``evaluate`` and ``known`` see :func:`sweeps.planning.run_lookup.make_plan`.
    """
    try:
        data = data_hashes(corpora)
        plan = with_parents(make_plan(configs, data, study, evaluate=evaluate, known=known), data, study)
        add_expected_times(plan, corpora, study)
        return plan
    except OSError as error:
        raise InputError(unreadable(study, error)) from None


def add_expected_times(plan: Plan, corpora: Mapping[str, Corpus], study: Study) -> None:
    """Add probe results and counted operations to the measured times of a plan.

    Raises:
        OSError: the storage cannot be read.
    """
    results = ProbeResults(study)
    speed = plan.speed
    by_label = {dataset_label(name): corpus for name, corpus in corpora.items()}
    for variant, config in plan.others.items():
        speed.count(variant, counted_operations(config, by_label[dataset_label(config.dataset)]))
    for variant, (run, *_) in plan.variants().items():
        config, corpus = run.config, corpora[run.config.dataset]
        speed.count(variant, counted_operations(config, corpus))
        tokens = amount(config, corpus)
        if result := results.slowest(key(config, corpus.data_sha256), tokens):
            speed.add_probe(
                variant, tokens.train / result.train_rate, tokens.evaluate / result.evaluate_rate
            )
    for run in plan.runs:
        if run.evaluation and run.result:
            classes = len(corpora[run.config.dataset].vocabulary)
            earlier = evaluation_operations(from_dict(run.result["config"]), classes)
            factor = evaluation_operations(run.config, classes) / earlier
            speed.expect_evaluation(run.variant, factor * run.result["evaluate_seconds"])


def counted_operations(config: RunConfig, corpus: Corpus) -> Counted:
    """Count the operations of a whole run over a corpus, to scale measured times by."""
    evaluation = corpus.test.num_tokens * evaluation_operations(config, len(corpus.vocabulary))
    epochs = amount(config, corpus).train / corpus.train.num_tokens
    return Counted(
        operations(config, corpus) - evaluation,
        evaluation,
        product_sizes(config),
        epochs * corpus.train.num_batches(config),
    )
