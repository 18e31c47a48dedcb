"""Group the runs of one system and L into variants: runs that differ only in seed and setting are one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.reading.frame import CONFIG_FIELDS

VARIANT_FIELDS = (*CONFIG_FIELDS, "data_sha256", "numerics")
"""Runs of one cell that differ in one of these fields are different variants. The dataset's path is not one
of them: a dataset is known by its name and its content, not by its folder."""

_Values = tuple[Hashable | None, ...]
"""A run's values of VARIANT_FIELDS; None if unknown."""


@dataclass(frozen=True)
class Variant:
    """A group of runs with equal configs."""

    label: str
    rank: tuple[tuple[bool, Any], ...]
    """Sort key: the values of the fields in which variants differ, unknown values last."""


def variant_labels(runs: pd.DataFrame) -> list[Variant]:
    """Find the variant of each run of one system and L, over both settings."""
    columns = [runs[name].astype(object).where(runs[name].notna(), None) for name in VARIANT_FIELDS]
    of_runs: list[_Values] = list(zip(*columns, strict=True))
    completed = _complete(of_runs)
    distinct = list(dict.fromkeys(completed.values()))
    # A label names only the fields in which the variants differ.
    differing = [
        position
        for position in range(len(VARIANT_FIELDS))
        if len({values[position] for values in distinct} - {None}) > 1
    ]
    variants = {values: _variant(values, differing) for values in distinct}
    return [variants[completed[values]] for values in of_runs]


def _complete(of_runs: Iterable[_Values]) -> dict[_Values, _Values]:
    """Map the values of each run to those of the group that it belongs to.

    The values of an unfinished run are incomplete (no data hash, perhaps no config). If exactly one group
    has all of its known values, the run belongs to that group, else it is a group by itself.
    """
    distinct = dict.fromkeys(of_runs)
    groups = [values for values in distinct if None not in values]
    completed = {values: values for values in groups}
    # Those with the fewest gaps come first: they can be the group of those with more.
    for partial in sorted((v for v in distinct if None in v), key=lambda v: v.count(None)):
        known = [position for position, value in enumerate(partial) if value is not None]
        fitting = [full for full in groups if all(full[k] == partial[k] for k in known)]
        if len(fitting) == 1:
            completed[partial] = fitting[0]
        else:
            completed[partial] = partial
            groups.append(partial)
    return completed


def _variant(of_group: _Values, differing: Sequence[int]) -> Variant:
    values = [(VARIANT_FIELDS[position], of_group[position]) for position in differing]
    return Variant(
        label=", ".join(_setting(name, value) for name, value in values),
        rank=tuple((value is None, value) for _, value in values),
    )


def _setting(name: str, value: Any) -> str:
    if name == "data_sha256":
        return f"data={'?' if value is None else value[:8]}"
    return f"{name}={setting_text(value)}"


def setting_text(value: Any) -> str:
    """A config value in the form that ``--set`` takes; "?" if unknown."""
    if value is None:
        return "?"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)
