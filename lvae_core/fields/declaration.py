"""The declaration of a config field: its help, and the part and the stage that read it."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

Group = Literal[
    "run", "data", "model", "objective", "optimiser", "budget", "validation", "evaluation", "arithmetic"
]
"""Subject of a field, by which help and tables group the fields."""

Stage = Literal["training", "evaluation", "both"]
"""Stage that reads a field. Training includes validation, which sets the learning rate and best epoch."""


def option(
    default: Any,
    help: str,
    group: Group,
    part: str = "every run",
    *,
    stage: Stage = "training",
    added: bool = False,
) -> Any:
    """Declare a field.

    Args:
        default: see above.
        help: one line of documentation.
        group: what it is about.
        part: what must be chosen for the field to be read, one of ``lvae_core.fields.parts.PARTS``.
        stage: what reads it.
        added: whether it came after numerics version 6. Its default must then leave training as it was
            before, so that fingerprints of earlier runs stand.
    """
    metadata = {"help": help, "group": group, "part": part, "stage": stage, "added": added}
    return field(default=default, metadata=metadata)
