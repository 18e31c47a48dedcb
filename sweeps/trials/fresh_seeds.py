"""Retrain the best points of a search and the recipe on seeds that the search has not used, and compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.console import Console

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.run_folder.search_record import RECIPE
from lvae_core.run_folder.study import open_study
from sweeps.launching.progress.display import unless_quiet
from sweeps.outcome import print_next
from sweeps.planning.loading import look_up
from sweeps.planning.workload import Workload
from sweeps.sweep import Swept, on_wandb, sweep
from sweeps.trials.options import Options
from sweeps.trials.proposals import Trial
from sweeps.trials.report import print_comparison
from sweeps.trials.tables import values_text


def rerun(
    options: Options, base: RunConfig, best: Sequence[Trial], corpora: Mapping[str, Corpus], out: Console
) -> Swept:
    """Run the recipe and the best points on seeds that the search has not used, and compare them."""
    points = fresh_points(base, best)
    configs = fresh_configs(options, base, points)
    names = {point: name for name, point in points.items()}

    def point_of(config: RunConfig) -> str:
        return names[replace(config, seed=base.seed)]

    study = open_study(options.best_folder)
    plan = look_up(configs, corpora, study)
    workload = Workload(plan=plan, corpora=corpora, study=study, resources=options.launch.resources())

    def run_of(config: RunConfig) -> str:
        return f"{point_of(config)}, seed {config.seed}"

    with on_wandb(options.launch, study, out):
        swept = sweep(options.launch, workload, out, run_of, point_of)
    if not swept.interrupted:
        done = swept.plan.with_status("done")
        runs = {run.name: name for name in points for run in done if point_of(run.config) == name}
        meanings = [
            f"trial {trial.number}: {values_text(trial.values)}"
            for trial in best
            if f"trial {trial.number}" in points
        ]
        print_comparison(runs, study.given, meanings, out)
        print_next(unless_quiet(out), swept.plan, study)
    return swept


def fresh_points(base: RunConfig, best: Sequence[Trial]) -> dict[str, RunConfig]:
    """Name -> config of the points to compare: the recipe, and the best that differ from it."""
    points = {RECIPE: base}
    for trial in best:
        if (config := replace(base, **dict(trial.values))) not in points.values():
            points[f"trial {trial.number}"] = config
    return points


def fresh_configs(options: Options, base: RunConfig, points: Mapping[str, RunConfig]) -> list[RunConfig]:
    """The points' runs on the seeds after the search's own."""
    seeds = range(base.seed + 1, base.seed + 1 + options.fresh_seeds)
    return [replace(point, seed=seed) for seed in seeds for point in points.values()]
