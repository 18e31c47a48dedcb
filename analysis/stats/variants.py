"""Group the runs of one system and L into variants: runs that differ only in seed and setting are one."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.reading.frame import CONFIG_FIELDS
from analysis.reading.plain import rows_by, values_of
from analysis.stats.field_texts import field_texts
from lvae_core.config import RunConfig
from lvae_core.fields.choices import Setting
from lvae_core.rough_scoring import may_validate_roughly
from lvae_core.systems import SYSTEMS, recipe

_STAGES = {f.name: f.metadata["stage"] for f in fields(RunConfig)}

VARIANT_FIELDS = (
    *(name for name in CONFIG_FIELDS if _STAGES[name] != "evaluation"),
    "iw_exact_samples",
    "data_sha256",
    "sentences",
    "tokens",
    "numerics",
)
"""Runs of one cell that differ in one of these fields are different variants. Fields that only the
estimates read are not among them, nor is the dataset's path: a dataset is identified by its name and its
content, not by its folder. iw_exact_samples is among them if validation has enough draws to read it."""

_VERSIONS = ("commit", "fingerprint")
"""What tells finished runs apart that repeat a seed of their variant. Versions of the code that train
differently can share all of VARIANT_FIELDS if they are not the present one; no seed may count twice."""

_FIELDS = (*VARIANT_FIELDS, *_VERSIONS)

_DIGITS = {"commit": 10, "fingerprint": 8}
"""The first characters of each, which are shown elsewhere too."""

_RUN = ("status", "setting", "seed", *_VERSIONS)
"""The columns that show a repeated seed."""

_IN_CONFIG = [name in _STAGES for name in VARIANT_FIELDS]
_EXACT_DRAWS = VARIANT_FIELDS.index("iw_exact_samples")
_PRECISION = VARIANT_FIELDS.index("precision")


class _Unread:
    """The value of a field that the run does not read."""


_UNREAD = _Unread()

_OPEN = (None, _UNREAD)

_NAMES = {"data_sha256": "data"}
"""Fields that have another name in labels."""

_GROUP = ("dataset", "system", "num_samples")

_Values = tuple[Hashable | None, ...]
"""A run's values of _FIELDS; None if unknown."""


@dataclass(frozen=True)
class Variant:
    """A group of runs with equal configs."""

    fields: tuple[tuple[str, str], ...]
    """Name and value, as text, of each field in which variants differ and that these runs read."""
    rank: tuple[tuple[bool, Any], ...]
    """Sort key: the values of the fields in which variants differ, unknown values last."""

    @property
    def label(self) -> str:
        """The fields in one line: ``latent_size=4, learning_rate=1``; empty for a single variant."""
        return ", ".join(f"{name}={text}" for name, text in self.fields)


CommonVariants = dict[tuple[str, str], Variant]
"""The label of a variant within its study, and the setting -> the variant as both studies describe it."""


def variants_by_row(frame: pd.DataFrame) -> list[tuple[list[int], list[Variant]]]:
    """Find the variants of every dataset, system and L, over both settings.

    All L of a system on a dataset name the fields in which any two of its runs differ, L itself aside.

    Returns:
        For each of them, in the order of the frame: the positions of its rows, and the variant of each.
        Rows without a dataset, which no run's name gave, are left out.
    """
    values, facts = _values(frame), values_of(frame, _RUN)
    systems, settings = frame["system"].tolist(), frame["setting"].tolist()
    groups: list[tuple[list[int], list[_Values]]] = []
    # A variant has only the fields in which it differs from others of its system, whatever their L: so the
    # same configuration has the same name at every L, and a line over L joins runs that differ in L alone.
    of_systems: dict[tuple[Hashable, Hashable], dict[_Values, None]] = defaultdict(dict)
    for (dataset, system, _), rows in rows_by(frame, _GROUP).items():
        if pd.isna(dataset):
            continue
        of_runs = _set_apart(values[rows], systems[rows[0]], [settings[row] for row in rows])
        of_runs = _one_run_per_seed(of_runs, facts[rows])
        completed = _complete(of_runs)
        groups.append((rows, [completed[of_run] for of_run in of_runs]))
        of_systems[dataset, system] |= dict.fromkeys(completed.values())
    texts = {
        key: _texts_of(_differing(of_system), list(of_system)) for key, of_system in of_systems.items()
    }
    found = []
    for rows, of_runs in groups:
        of_system = texts[frame["dataset"].iloc[rows[0]], systems[rows[0]]]
        found.append((rows, _variants(of_runs, of_system)))
    return found


def _variants(of_runs: Sequence[_Values], texts: Mapping[int, Mapping[Any, str]]) -> list[Variant]:
    """The variant of each run of one system and L, by the values of its group."""
    # No field is named of which nothing is known at this L.
    known = {k: text for k, text in texts.items() if any(values[k] not in _OPEN for values in of_runs)}
    variants = {values: _variant(values, known) for values in dict.fromkeys(of_runs)}
    return [variants[values] for values in of_runs]


def common_variants(
    a: pd.DataFrame, b: pd.DataFrame, own: tuple[Sequence[Variant], Sequence[Variant]]
) -> tuple[CommonVariants, CommonVariants]:
    """Describe the variants of one system and L alike in two studies.

    A common variant has the fields in which the finished runs of one study and setting differ among
    themselves. A field that has one value in each study and setting sets these apart, not their variants,
    and is not named. A variant without a finished run is described alike unless it would have the name of a
    finished one.

    Args:
        a: the runs of one study.
        b: those of the other.
        own: the variant of each run within its study, from :func:`variants_by_row`.

    Returns:
        The variants of each of the two studies.
    """
    of_both = _of_one_system(pd.concat([a, b], ignore_index=True))
    sides = [
        (runs, _one_run_per_seed(of_side, values_of(runs, _RUN)))
        for runs, of_side in ((a, of_both[: len(a)]), (b, of_both[len(a) :]))
    ]
    completed = _complete(values for _, of_side in sides for values in of_side)
    done = [_finished_groups(runs, [completed[values] for values in of_side]) for runs, of_side in sides]
    named = sorted({k for of_side in done for groups in of_side.values() for k in _differing(groups)})
    texts = _texts_of(named, list(completed.values()))
    found: list[CommonVariants] = []
    for (runs, of_side), finished, of_study in zip(sides, done, own, strict=True):
        taken = {
            (setting, _variant(v, texts).label) for setting, groups in finished.items() for v in groups
        }
        alike: CommonVariants = {}
        for variant, setting, values in zip(of_study, runs["setting"], of_side, strict=True):
            common = _variant(completed[values], texts)
            if completed[values] in finished[setting]:
                alike[variant.label, setting] = common
            elif (setting, common.label) not in taken:
                alike.setdefault((variant.label, setting), common)
        found.append(alike)
    return found[0], found[1]


def _finished_groups(runs: pd.DataFrame, groups: Sequence[_Values]) -> dict[str, dict[_Values, None]]:
    """Setting -> the groups of its finished runs; ``groups`` has that of each run."""
    found: dict[str, dict[_Values, None]] = defaultdict(dict)
    for group, setting, status in zip(groups, runs["setting"], runs["status"], strict=True):
        if status == "done":
            found[setting][group] = None
    return found


def _values(runs: pd.DataFrame) -> NDArray[np.object_]:
    """The values of _FIELDS of each run, (runs, fields); None if unknown."""
    values = values_of(runs, VARIANT_FIELDS)
    has_config = runs["encoder"].notna().to_numpy()
    missing = pd.isna(values)
    # A run whose config is known does not read the fields of which it has no value.
    unread = missing & has_config[:, None] & _IN_CONFIG
    unread[:, _EXACT_DRAWS] |= (~may_validate_roughly(runs["valid_samples"])).fillna(False).to_numpy(bool)
    # Every run reads it, but before the result it may be unknown what auto came to.
    unread[:, _PRECISION] = False
    values[unread] = _UNREAD
    return np.hstack([values, np.full((len(values), len(_VERSIONS)), _UNREAD, object)])


def _set_apart(values: NDArray[np.object_], system: str, settings: Sequence[str]) -> list[_Values]:
    """The values of one system's runs, less those in which they differ only because settings do."""
    values = values.copy()
    for name, own in _set_by_setting(system).items():
        column = VARIANT_FIELDS.index(name)
        if all(v in _OPEN or v == own[s] for v, s in zip(values[:, column], settings, strict=True)):
            values[:, column] = _UNREAD
    return [tuple(of_run) for of_run in values]


def _one_run_per_seed(of_runs: Sequence[_Values], facts: NDArray[np.object_]) -> list[_Values]:
    """The values of one system's runs, with the version of those that repeat a seed of their variant.

    Args:
        of_runs: the values of each run.
        facts: those of _RUN of each run.
    """
    of_runs = list(of_runs)
    finished = [row for row, (status, *_) in enumerate(facts) if status == "done"]
    for position, name in enumerate(_VERSIONS):
        completed = _complete(of_runs)
        seen: set[tuple[_Values, Hashable, Hashable]] = set()
        repeated: set[_Values] = set()
        for row in finished:
            _, setting, seed, *_ = facts[row]
            one = completed[of_runs[row]], setting, seed
            repeated |= {one[0]} if one in seen else set()
            seen.add(one)
        if not repeated:
            break
        column = len(VARIANT_FIELDS) + position
        for row in finished:
            values = of_runs[row]
            if completed[values] in repeated:
                version = str(facts[row][_RUN.index(name)] or "unknown")[: _DIGITS[name]]
                of_runs[row] = (*values[:column], version, *values[column + 1 :])
    return of_runs


def _of_one_system(runs: pd.DataFrame) -> list[_Values]:
    system = str(runs["system"].iloc[0]) if len(runs) else ""
    return _set_apart(_values(runs), system, runs["setting"].tolist())


@functools.cache
def _set_by_setting(system: str) -> dict[str, dict[str, Any]]:
    """The fields whose values in a system's recipe depend on the setting, with both values.

    If all runs of a system have these, they do not tell variants apart.
    """
    if system not in SYSTEMS:
        return {}
    recipes = {setting: recipe(system, setting=setting).to_dict() for setting in get_args(Setting)}
    return {
        name: {setting: values[name] for setting, values in recipes.items()}
        for name in VARIANT_FIELDS
        if name in _STAGES and len({values[name] for values in recipes.values()}) > 1
    }


def _differing(of_groups: Iterable[_Values]) -> list[int]:
    """The positions in _FIELDS of the fields in which groups differ."""
    distinct = list(dict.fromkeys(of_groups))
    return [
        position
        for position in range(len(_FIELDS))
        if len({values[position] for values in distinct}.difference(_OPEN)) > 1
    ]


def _texts_of(positions: Iterable[int], of_groups: Sequence[_Values]) -> dict[int, dict[Any, str]]:
    distinct = list(dict.fromkeys(of_groups))
    return {
        position: _texts(_FIELDS[position], (values[position] for values in distinct))
        for position in positions
    }


def _complete(of_runs: Iterable[_Values]) -> dict[_Values, _Values]:
    """Map the values of each run to those of the group that it belongs to.

    The values of an unfinished run are incomplete (no data hash, perhaps no config). If exactly one group
    has all of its known values, the run belongs to that group, else it is a group by itself. The same holds
    for fields that a run does not read: a run without words belongs to the one group of runs with words.
    """
    distinct = dict.fromkeys(of_runs)
    known = {
        values: tuple(k for k, value in enumerate(values) if value is not None and value is not _UNREAD)
        for values in distinct
    }
    completed: dict[_Values, _Values] = {}
    groups: list[_Values] = []
    # Positions of known values -> the groups by their values there. There are few such sets of positions.
    by_known: dict[tuple[int, ...], dict[_Values, list[_Values]]] = {}
    # Those with the fewest gaps come first: they can be the group of those with more.
    for partial in sorted(distinct, key=lambda values: -len(known[values])):
        positions = known[partial]
        if positions not in by_known:
            by_known[positions] = defaultdict(list)
            for group in groups:
                by_known[positions][tuple(group[k] for k in positions)].append(group)
        fitting = by_known[positions].get(tuple(partial[k] for k in positions), ())
        if len(fitting) == 1:
            completed[partial] = fitting[0]
            continue
        completed[partial] = partial
        groups.append(partial)
        for positions, by_values in by_known.items():
            by_values[tuple(partial[k] for k in positions)].append(partial)
    return completed


def _variant(of_group: _Values, texts: Mapping[int, Mapping[Any, str]]) -> Variant:
    values = [(of_text, of_group[position]) for position, of_text in texts.items()]
    named = zip(texts, values, strict=True)
    return Variant(
        fields=tuple(
            (_NAMES.get(_FIELDS[position], _FIELDS[position]), of_text[value])
            for position, (of_text, value) in named
            if value is not _UNREAD
        ),
        rank=tuple((True, None) if value in _OPEN else (False, value) for _, value in values),
    )


def _texts(name: str, values: Iterable[Any]) -> dict[Any, str]:
    """Value of a field -> its text in labels."""
    if name == "data_sha256":
        return {value: "?" if value is None else value[:8] for value in values if value is not _UNREAD}
    return field_texts(values)
