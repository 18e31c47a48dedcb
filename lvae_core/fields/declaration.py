"""The declaration of a config field: its help, its range, and the part and the stage that read it."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from lvae_core.fields.ranges import Range

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
    ranges: Range | tuple[Range, ...] = (),
    stage: Stage = "training",
    added: bool = False,
) -> Any:
    """Declare a field.

    Args:
        default: see above.
        help: one line of documentation.
        group: what it is about.
        part: what must be chosen for the field to be read, one of ``lvae_core.fields.parts.PARTS``.
        ranges: what its value must be, all of them; for a text that no Literal lists, or a number.
        stage: what reads it.
        added: whether it came after numerics version 6. Its default must then leave training as it was
            before, so that fingerprints of earlier runs stand.
    """
    metadata = {
        "help": help,
        "group": group,
        "part": part,
        "ranges": (ranges,) if isinstance(ranges, Range) else ranges,
        "stage": stage,
        "added": added,
    }
    return field(default=default, metadata=metadata)
