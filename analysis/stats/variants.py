"""Variants: runs of one system and L whose configs differ in anything but the seed and the setting."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.reading.frame import CONFIG_FIELDS

VARIANT_FIELDS = (*CONFIG_FIELDS, "data_sha256", "numerics")
"""What makes runs of one cell variants. The dataset's path is not here: a folder counts by its name and its
content, not by where it lies."""

Signature = tuple[Hashable | None, ...]


@dataclass(frozen=True)
class Variant:
    """Which group of equal configs a run belongs to."""

    label: str
    rank: tuple[tuple[bool, Any], ...]
    """Sorts variants by the values of the fields in which they differ, unknown ones last."""


def variant_labels(runs: pd.DataFrame) -> list[Variant]:
    """The variant of each run of one system and L (both settings, so that a row's halves match)."""
    columns = [runs[name].astype(object).where(runs[name].notna(), None) for name in VARIANT_FIELDS]
    signatures: list[Signature] = list(zip(*columns, strict=True))
    resolved = _resolve(signatures)
    distinct = list(dict.fromkeys(resolved.values()))
    differing = [
        position
        for position in range(len(VARIANT_FIELDS))
        if len({signature[position] for signature in distinct} - {None}) > 1
    ]
    variants = {signature: _variant(signature, differing) for signature in distinct}
    return [variants[resolved[signature]] for signature in signatures]


def _resolve(signatures: Iterable[Signature]) -> dict[Signature, Signature]:
    """Signature -> the one it stands for.

    A run that is not done knows less (no data hash, perhaps no config): it is counted with the only
    group that it fits, and on its own where it fits several.
    """
    distinct = dict.fromkeys(signatures)
    # What is known in full stands for itself.
    complete = [known for known in distinct if None not in known]
    resolved = {known: known for known in complete}
    for known in sorted((s for s in distinct if None in s), key=lambda s: s.count(None)):
        places = [position for position, value in enumerate(known) if value is not None]
        fits = [full for full in complete if all(full[place] == known[place] for place in places)]
        if len(fits) == 1:
            resolved[known] = fits[0]
        else:
            resolved[known] = known
            complete.append(known)
    return resolved


def _variant(signature: Signature, differing: Sequence[int]) -> Variant:
    values = [(VARIANT_FIELDS[position], signature[position]) for position in differing]
    return Variant(
        label=", ".join(_setting(name, value) for name, value in values),
        rank=tuple((value is None, value) for _, value in values),
    )


def _setting(name: str, value: Any) -> str:
    if name == "data_sha256":
        return f"data={'?' if value is None else value[:8]}"
    return f"{name}={setting_text(value)}"


def setting_text(value: Any) -> str:
    """A config value as ``--set`` takes it."""
    if value is None:
        return "?"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)
