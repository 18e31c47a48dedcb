"""All that evolves in a run, as one value: what a checkpoint holds and nothing else."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import torch
from torch import Tensor

from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.evaluation.evaluate import EvaluationState
from lvae_core.model.text_model import TextModel
from lvae_core.run_folder.folder import CHECKPOINTS, DamagedError, NewerVersionError, RunFolder
from lvae_core.training.optimisation.learning_rate import RateState, is_over
from lvae_core.training.optimisation.optimiser import OptimiserState
from lvae_core.training.optimisation.step import Memory

Parameters = dict[str, Tensor]

_log = logging.getLogger("lvae.run_folder")


@dataclass
class TrainState:
    """Training state between two gradient steps.

    There is no random state in it: every stream is a function of the seed and of these counters.
    """

    fingerprint: str
    """Of the run: a checkpoint of another one never passes for its own."""
    parameters: Parameters
    best_parameters: Parameters
    """Those of ``rate.best_epoch``."""
    rate: RateState
    vocabulary: list[str]
    """The words in class order: what makes sentences of a checkpoint without its corpus."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of training. It is chosen once: a run that moves to another machine keeps it."""
    epoch: int = 0
    """Epochs finished, validation included."""
    batch: int = 0
    """Batches of the current epoch done."""
    step: int = 0
    sums: Tensor = field(default_factory=lambda: torch.zeros(4, dtype=torch.float64))
    """Σ over the current epoch's sentences of (loss, nll, kl, 1)."""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    """The rows of metrics.jsonl."""
    evaluation: EvaluationState = field(default_factory=EvaluationState)
    """Of the split that is being scored, validation or test."""
    optimiser: OptimiserState = field(default_factory=dict)
    """State of the optimiser; plain SGD has none."""
    memory: Memory = field(default_factory=dict)
    """Memory of the step."""
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0

    def finished_training(self, config: RunConfig) -> bool:
        """Whether the last epoch is behind: by number, by the schedule or by steps."""
        return (
            self.epoch >= config.max_epochs
            or is_over(self.rate, config)
            or (config.max_steps > 0 and self.step >= config.max_steps and self.batch == 0)
        )

    def tested_parameters(self, config: RunConfig) -> Parameters:
        """Those with which the run is evaluated: of the best epoch, or of the last."""
        return self.best_parameters if config.tested_epoch == "best" else self.parameters

    def to_dict(self) -> dict[str, Any]:
        """Tensors and plain values only, as ``torch.load(weights_only=True)`` admits."""
        parts = {"rate": vars(self.rate), "evaluation": vars(self.evaluation)}
        return {**vars(self), **{name: dict(part) for name, part in parts.items()}}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> TrainState:
        """The inverse of :meth:`to_dict`.

        Raises:
            UnknownFieldError: there are others beside its fields.
            Exception: of any type: these are not its fields.
        """
        values = dict(values)
        if "evaluated_batches" in values:  # a checkpoint from before EvaluationState
            values["evaluation"] = {
                "batches": values.pop("evaluated_batches"),
                "statistics": values.pop("statistics"),
            }
        if "plateau" in values:  # a checkpoint from before there were other schedules
            values["rate"] = values.pop("plateau")
        rate = RateState(**_known(RateState, values["rate"]))
        evaluation = EvaluationState(**_known(EvaluationState, values["evaluation"]))
        return TrainState(**_known(TrainState, {**values, "rate": rate, "evaluation": evaluation}))


class UnknownFieldError(ValueError):
    """A state has a field that this version of the code does not know."""


def _known(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values; raise UnknownFieldError if the dataclass ``kind`` has only some of their names."""
    names = {f.name for f in fields(kind)}
    if more := values.keys() - names:
        kind(**{name: value for name, value in values.items() if name in names})
        raise UnknownFieldError(f"unknown field {min(more)!r}")
    return values


def copy_parameters(model: TextModel) -> Parameters:
    """The model's parameters, detached and copied to the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def save_checkpoint(folder: RunFolder, state: TrainState) -> None:
    """Put ``state`` in the place of the folder's checkpoint, which is kept as the previous one.

    Raises OSError if it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(state.to_dict(), buffer)
    folder.write_checkpoint(buffer.getvalue())


def load_checkpoint(folder: RunFolder, fingerprint: str | None = None) -> TrainState | None:
    """The folder's latest training state that can be used; None if there is none.

    A checkpoint that is damaged, is of a run of another ``fingerprint`` (None: any will do), or holds
    anything but tensors and plain values, is renamed and reported as a warning, and the previous one
    takes its place; it is never executed and never deleted.

    Raises:
        NewerVersionError: a newer version of the code wrote it.
    """
    for file in CHECKPOINTS:
        try:
            state = _read_checkpoint(folder, file, fingerprint)
        except NewerVersionError:
            raise
        except DamagedError as damage:
            aside = folder.set_aside(file)
            _log.warning("%s; set aside as %s", damage, aside)
            continue
        if state is not None:
            return state
    return None


def check_evaluated(
    state: TrainState, folder: RunFolder, result: Mapping[str, Any], config: RunConfig
) -> None:
    """Raise an InputError unless the state of a finished run has the parameters that ``config`` evaluates.

    The previous checkpoint, which takes the place of a damaged one, may have those of an earlier epoch.
    """
    last = config.tested_epoch == "last"
    held, evaluated = state.rate.best_epoch, result.get("best_epoch")
    if last:
        held, evaluated = state.epoch, result.get("epochs")
    if held != evaluated:
        raise InputError(
            f"{folder}: its checkpoint holds the {'last' if last else 'best'} parameters of epoch {held}, "
            f"not those of epoch {evaluated}; restore checkpoint.pt"
        )


def _read_checkpoint(folder: RunFolder, file: str, fingerprint: str | None) -> TrainState | None:
    payload = folder.read_checkpoint(file)
    return None if payload is None else parse_state(payload, f"{folder}/{file}", fingerprint)


def parse_state(payload: bytes, place: str, fingerprint: str | None) -> TrainState:
    """The training state in a checkpoint's bytes; only tensors and plain values are read from them.

    Args:
        payload: what :meth:`RunFolder.read_checkpoint` returns.
        place: where it was read, for messages.
        fingerprint: of the run; None: any will do.

    Raises:
        DamagedError: they are no training state, or that of another run.
        NewerVersionError: they are one of a newer version of the code.
    """
    try:
        state = TrainState.from_dict(torch.load(io.BytesIO(payload), weights_only=True))
    except UnknownFieldError as error:
        raise NewerVersionError(place, error) from None
    except Exception as error:  # of what is not its own, torch.load raises almost anything
        # torch's own messages advise to execute what is in the file.
        raise DamagedError(f"{place}: not a training state ({type(error).__name__})") from None
    if fingerprint not in (None, state.fingerprint):
        raise DamagedError(f"{place}: of another run")
    return state
