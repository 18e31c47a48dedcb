"""Look up the estimates that a grid asks for, if a run's result.json holds others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from lvae_core import identity
from lvae_core.config import RunConfig
from lvae_core.identity import evaluation_id
from lvae_core.run_folder.evaluations import (
    evaluation_file,
    evaluation_of,
    failure_file,
    other_values,
    read_evaluation,
)
from lvae_core.run_folder.folder import CHECKPOINTS, DamagedError, RunFolder


class Further(NamedTuple):
    """The state of an evaluation of a trained run other than the one in its result.json."""

    id: str
    record: Mapping[str, Any] | None = None
    """The evaluation, if its file exists and is of the run's present model."""
    failure: Mapping[str, Any] | None = None
    """The reason why the last attempt at it failed."""
    can_be_made: bool = False
    """Whether the folder has a checkpoint to evaluate."""
    damages: tuple[str, ...] = ()


def look_up_further(folder: RunFolder, config: RunConfig, result: Mapping[str, Any]) -> Further | None:
    """Look up the estimates that ``config`` asks for; None if ``result``, the result.json, has them."""
    # Equal values, the usual case, need no hash.
    same = {**result["config"], "dataset": config.dataset} == config.to_dict()
    if same and result.get("evaluation_version", 1) == identity.EVALUATION_VERSION:
        return None
    wanted = evaluation_id(config)
    if evaluation_of(result) == wanted:
        return None
    files = set(folder.store.names(folder.name))
    can_be_made = not files.isdisjoint(CHECKPOINTS)
    try:
        record = failure = None
        if evaluation_file(wanted) in files:
            record = read_evaluation(folder, evaluation_file(wanted), result)
        if record is None and failure_file(wanted) in files:
            failure = folder.read_json(failure_file(wanted))
    except DamagedError as damage:
        return Further(wanted, can_be_made=can_be_made, damages=(str(damage),))
    return Further(wanted, record, failure, can_be_made)


def differing_settings(pairs: Iterable[tuple[RunConfig, Mapping[str, Any]]]) -> tuple[str, ...]:
    """The evaluation fields, as ``FIELD=VALUE``, in which configs differ from those of the results.

    A field for which the configs have different values is left out.

    Args:
        pairs: config of a run and its result.json.
    """
    found: dict[str, set[Any]] = {}
    for config, result in pairs:
        for name, value in other_values(config, result).items():
            found.setdefault(name, set()).add(value)
    return tuple(f"{name}={value}" for name, (value, *others) in found.items() if not others)
