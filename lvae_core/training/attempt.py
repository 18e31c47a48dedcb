"""What is damaged in a run folder is set aside and, where something else tells what it held, made anew.

Only who holds the claim on a run may mend it. Every file that is set aside is reported, in one line, as a
:class:`~lvae_core.run_folder.folder.DamageWarning`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from lvae_core.config import RunConfig
from lvae_core.data.vocabulary import UNKNOWN_SYMBOLS, Vocabulary
from lvae_core.errors import InputError
from lvae_core.evaluation.generate import Trained
from lvae_core.model.text_model import TextModel
from lvae_core.run_folder.folder import DamagedError, DamageWarning, RunFolder, metrics_sha256
from lvae_core.training.state import load_checkpoint

T = TypeVar("T")


def open_run(folder: RunFolder, config: RunConfig, identity: str) -> dict[str, Any] | None:
    """Make ``folder`` that of the run, whole as far as it goes; its result, if it has one that stands.

    Raises:
        InputError: the folder belongs to another run.
        DamagedError: its result.json is whole and that of another run.
    """
    for name in folder.store.leftovers(folder.name):
        aside = folder.set_aside(name, "partial")
        _tell(f"{folder}/{name}: left half-written; set aside as {aside}")
    present = intact(folder, "config.json", folder.read_config)
    if present is None:
        folder.write_config(config, identity)
    elif present[1] != identity:
        raise InputError(
            f"{folder}/config.json: belongs to another run (config, data or version differ); "
            "give another --out or move the folder away"
        )
    intact(folder, "failure.json", lambda: folder.read_json("failure.json"))
    result = intact(folder, "result.json", lambda: folder.read_json("result.json"))
    if result is not None:
        if result.get("fingerprint") != identity:
            raise DamagedError(f"{folder}/result.json: not the result of this run; move it away")
        _restore_metrics(folder, result["metrics_sha256"], identity)
    return result


def intact(folder: RunFolder, file: str, read: Callable[[], T]) -> T | None:
    """What ``read`` gives; None, with the file set aside, where it is damaged."""
    try:
        return read()
    except DamagedError as damage:
        set_aside(folder, file, damage)
        return None


def set_aside(folder: RunFolder, file: str, damage: DamagedError) -> None:
    """Put a damaged file out of the way and say so."""
    _tell(f"{damage}; set aside as {folder.set_aside(file)}")


def _restore_metrics(folder: RunFolder, sha256: str, identity: str) -> None:
    """The checkpoint of a run that is done still holds what metrics.jsonl held."""
    try:
        folder.check_metrics(sha256)
    except DamagedError as damage:
        if folder.has("metrics.jsonl"):
            set_aside(folder, "metrics.jsonl", damage)
        state = load_checkpoint(folder, identity)
        if state is None or metrics_sha256(state.metrics) != sha256:
            _tell(
                f"{damage}; no checkpoint tells what was in it. The result stands; to have the curves, "
                "too, move result.json away and launch again"
            )
        else:
            folder.write_metrics(state.metrics)


def _tell(message: str) -> None:
    warnings.warn(message, DamageWarning, stacklevel=3)


def load(folder: RunFolder) -> Trained:
    """The model of a run that has finished at least one epoch.

    Raises:
        InputError: the folder holds no run, or none that has got so far.
        DamagedError: its config.json is damaged.
    """
    present = folder.read_config()
    state = load_checkpoint(folder, present[1]) if present is not None else None
    if present is None or state is None or state.epoch == 0:
        raise InputError(
            f"{folder}: no run folder with a finished epoch; make one with "
            "`python -m lvae_core run CONFIG.json --out DIR`"
        )
    config, _ = present
    words = tuple(state.vocabulary)
    unknown = next((words.index(symbol) for symbol in UNKNOWN_SYMBOLS if symbol in words), None)
    model = TextModel(config, len(words))
    model.load_state_dict(state.best_parameters)
    return Trained(config, model.requires_grad_(False), Vocabulary(words, unknown))
