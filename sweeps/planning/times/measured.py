"""Read how long the finished runs of a study took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from lvae_core.config import RunConfig, from_dict
from lvae_core.errors import InputError
from lvae_core.run_folder.folder import TIMING_FIELDS, DamagedError
from lvae_core.run_folder.names import CellName, RunName
from lvae_core.run_folder.study import Study
from lvae_core.storage.parallel import read_each
from sweeps.planning.times.durations import Seconds, Speed
from sweeps.planning.times.variants import variant_of


def measured_speed(
    study: Study,
    grid: Mapping[str, RunConfig],
    finished: Iterable[tuple[str, Mapping[str, Any], bool]],
    further: Iterable[str],
) -> tuple[Speed, dict[str, RunConfig]]:
    """Read the times of finished runs.

    Args:
        study: keeps the runs.
        grid: variant -> a config of it, of the runs that are planned.
        finished: for each trained run of the grid, its variant, the content of its result.json, and
            whether that has the estimates that the grid asks for. If not, its times count for a variant
            that is not in the grid.
        further: names of further folders. They are read if they belong to a dataset for which a variant
            of the grid has no finished run.

    Returns:
        The times by variant, and a config of each measured variant that is not in the grid.
    """
    speed = Speed()
    timed: dict[str, RunConfig] = {}

    def add_other(config: RunConfig | None, seconds: Seconds | None) -> None:
        if config is not None and seconds is not None:
            variant = variant_of(config)
            timed[variant] = config
            speed.add(variant, *seconds)

    for variant, result, is_wanted in finished:
        seconds = seconds_of(result)
        if not is_wanted:
            add_other(_config_of(result), seconds)
        elif seconds is not None:
            speed.add(variant, *seconds)
            speed.add_evaluation(variant, seconds.evaluate)
    datasets = {CellName.of(c).dataset for variant, c in grid.items() if speed.basis(variant) is None}
    parsed = ((name, RunName.parse(name)) for name in further)
    similar = sorted(name for name, parts in parsed if parts and parts.cell.dataset in datasets)
    for found in read_each(study.url, lambda name: _read(study, name), similar):
        add_other(*found)
    return speed, {variant: config for variant, config in timed.items() if variant not in grid}


def seconds_of(result: Mapping[str, Any]) -> Seconds | None:
    """Seconds of training and of evaluation that a result records; None if it lacks them."""
    train, evaluate = (result.get(field) for field in TIMING_FIELDS)
    if not isinstance(train, int | float) or not isinstance(evaluate, int | float):
        return None
    return Seconds(train, evaluate) if 0 <= train + evaluate < math.inf else None


def _read(study: Study, name: str) -> tuple[RunConfig | None, Seconds | None]:
    try:
        result = study.run(name).read_json("result.json")
    except DamagedError:
        # It is not a run of this grid; the command that reads it will report the damage.
        result = None
    return (None, None) if result is None else (_config_of(result), seconds_of(result))


def _config_of(result: Mapping[str, Any]) -> RunConfig | None:
    """The config that a result records; None if this version knows no such config."""
    try:
        return from_dict(result["config"])
    except (InputError, LookupError, TypeError):
        return None
