"""The objectives of a search, and the Pareto front of its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from lvae_core.config import RunConfig
from lvae_core.errors import InputError, check_name
from sweeps.trials.proposals import Trial


class Objective(NamedTuple):
    """A number that a search minimises or maximises."""

    heading: str
    direction: Literal["minimize", "maximize"]
    digits: int


OBJECTIVES: Mapping[str, Objective] = {
    "nll": Objective("valid NLL", "minimize", 2),
    "kl": Objective("valid KL", "maximize", 3),
    "seconds": Objective("training seconds", "minimize", 1),
}
"""nll, kl: nats per sentence on the validation split, at the epoch whose parameters are kept. seconds: of
training, on the machine that trained the trial."""


def check_objectives(names: Sequence[str], rungs: Sequence[int], base: RunConfig) -> None:
    """Raise InputError if a search cannot have these objectives."""
    given = "--objective " + " ".join(names)
    for name in names:
        try:
            check_name(name, list(OBJECTIVES), "objective")
        except InputError as error:
            raise InputError(f"{given}: {error}") from None
    if "nll" not in names or len(set(names)) < len(names):
        raise InputError(f"{given}: give nll, and each other objective once, such as --objective nll kl")
    if "kl" in names and base.encoder == "none":
        raise InputError(f"{given}: {base.system} has no KL; leave it out")
    if len(names) > 1 and rungs:
        raise InputError(f"{given}: a rung compares one objective; leave out --rungs")


def measure(
    names: Sequence[str], rows: Sequence[Mapping[str, Any]], result: Mapping[str, Any]
) -> tuple[float, ...]:
    """The objectives of a finished run.

    Args:
        names: keys of OBJECTIVES.
        rows: its metrics, epoch by epoch.
        result: its result file.
    """
    lowest = min(row["best_ppl"] for row in rows)
    kept = next(row for row in rows if row["best_ppl"] == lowest)
    values = {"nll": kept["valid_nll"], "kl": kept.get("valid_kl", 0.0), "seconds": result["train_seconds"]}
    return tuple(float(values[name]) for name in names)


def signed(names: Sequence[str], values: Sequence[float]) -> tuple[float, ...]:
    """The values with the sign with which lower is better."""
    return tuple(
        -value if OBJECTIVES[name].direction == "maximize" else value
        for name, value in zip(names, values, strict=True)
    )


def pareto_front(trials: Sequence[Trial], names: Sequence[str]) -> list[Trial]:
    """The finished trials that no other is at least as good as in all objectives and better in one.

    The lowest NLL comes first, ties in the order of the trials.
    """
    done = [trial for trial in trials if trial.state == "done" and trial.objectives]
    values = [signed(names, trial.objectives) for trial in done]

    def is_beaten(own: tuple[float, ...]) -> bool:
        return any(v != own and all(x <= y for x, y in zip(v, own, strict=True)) for v in values)

    front = [trial for trial, own in zip(done, values, strict=True) if not is_beaten(own)]
    place = names.index("nll")
    return sorted(front, key=lambda trial: (trial.objectives[place], trial.number))
