"""Axes of config fields: ``dropout=0.3,0.5`` as ``--set`` and ``--zip`` take it.

The values of a field have commas between. A field whose value is itself a list has it in brackets:
``cnn_dilations=[1,2,4]`` is one value, ``cnn_dilations=[1,2,4],[1,2]`` are two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from lvae_core.config import FIELD_TYPES, RunConfig
from lvae_core.errors import InputError, check_name
from lvae_core.settings import LIST_FIELDS, parse_value


@dataclass(frozen=True)
class Axis:
    """One field with its values, or several fields that change together."""

    fields: tuple[str, ...]
    points: tuple[tuple[Any, ...], ...]
    """Each point has a value for each of ``fields``."""


def field_of(setting: str) -> str:
    """The field of a ``FIELD=…`` text."""
    return setting.partition("=")[0].strip()


def parse_axis(setting: str, option: str = "--set", before: str = "") -> Axis:
    """Parse ``FIELD=VALUE,VALUE``.

    Args:
        setting: the text.
        option: where it stands, for messages.
        before: the text given before it, for the remedy if a blank has split a list.

    Raises:
        InputError: the text is malformed, its field unknown, or a value of the wrong type or given twice.
    """
    name, equals, text = (part.strip() for part in setting.partition("="))
    if not equals:
        remedy = ", such as --set learning_rate=0.5"
        if name in FIELD_TYPES:
            remedy = f", such as {option} {name}={getattr(RunConfig(), name)}".lower()
        elif before and setting.strip(", "):
            joined = f"{before.rstrip(', ')},{setting.strip(', ')}"
            remedy = f"; values of one field have commas and no blanks between, such as {joined}"
        raise InputError(f"{option} {setting}: write FIELD=VALUE{remedy}")
    check_name(name, FIELD_TYPES, "config field")
    values: list[Any] = []
    for part in split_values(name, text, f"{option} {setting}"):
        value = parse_value(name, part, f"{option} ")
        if value in values:
            raise InputError(f"{option} {setting}: {part} is given twice; leave one out")
        values.append(value)
    return Axis((name,), tuple((value,) for value in values))


def split_values(name: str, text: str, given: str) -> list[str]:
    """The values of a field, as texts: separated by commas outside brackets.

    Args:
        name: the field.
        text: its values.
        given: where they stand, for messages.

    Raises:
        InputError: a value is empty, or brackets do not match or suit the field.
    """
    parts = [part.strip() for part in re.split(r",(?![^\[]*\])", text)]
    if not all(parts):
        if not text:
            problem, remedy = "no value", f"write {name}=VALUE, or leave it out"
        elif text.endswith(",") and all(parts[:-1]):
            problem, remedy = (
                "ends with a comma",
                f"write values without blanks, such as {name}=A,B",
            )
        else:
            problem, remedy = "an empty value", f"write values with one comma between, such as {name}=A,B"
        raise InputError(f"{given}: {problem}; {remedy}")
    if not all(re.fullmatch(r"[^][]*|\[[^][]*\]", part) for part in parts):
        raise InputError(f"{given}: brackets do not match; write a list as [1,2,4]")
    bracketed = [part.startswith("[") for part in parts]
    if name in LIST_FIELDS and len(parts) > 1 and not all(bracketed):
        one, several = ",".join(parts), ",".join(f"[{part.strip('[]')}]" for part in parts)
        raise InputError(
            f"{given}: a list goes in brackets; write '{name}=[{one}]' for one value, or "
            f"'{name}={several}' for {len(parts)}"
        )
    if name not in LIST_FIELDS and any(bracketed):
        raise InputError(f"{given}: {name} takes no list; write values with commas between, no brackets")
    return parts


def parse_changes(changes: Iterable[str]) -> dict[str, Axis]:
    """Field -> axis of ``FIELD=VALUE,…`` texts; a later text of a field replaces an earlier one.

    Raises:
        InputError: as :func:`parse_axis`.
    """
    axes: dict[str, Axis] = {}
    before = ""
    for change in changes:
        axis = parse_axis(change, before=before)
        axes[axis.fields[0]] = axis
        before = change
    return axes


def parse_zip(settings: Sequence[str]) -> Axis:
    """Parse several ``FIELD=VALUE,…`` whose values are paired: the first with the first, and so on.

    Raises:
        InputError: as :func:`parse_axis`; fewer than two fields, one given twice, or lists of different
            lengths.
    """
    given = f"--zip {' '.join(settings)}"
    axes: list[Axis] = []
    before = ""
    for setting in settings:
        axes.append(parse_axis(setting, "--zip", before))
        before = setting
    if len(axes) < 2:
        raise InputError(f"{given}: pairs the values of two fields or more; use --set for one field")
    fields = tuple(axis.fields[0] for axis in axes)
    check_given_once(fields, given)
    lengths = [len(axis.points) for axis in axes]
    if len(set(lengths)) > 1:
        found = ", ".join(f"{field} has {n}" for field, n in zip(fields, lengths, strict=True))
        raise InputError(f"{given}: lists of different lengths ({found}); give each the same number")
    points = zip(*(axis.points for axis in axes), strict=True)
    return Axis(fields, tuple(tuple(value for (value,) in point) for point in points))


def check_given_once(fields: Iterable[str], given: str) -> None:
    """Raise InputError if a field is named twice. ``given``: where, for the message."""
    seen: set[str] = set()
    for field in fields:
        if field in seen:
            raise InputError(f"{given}: {field} is given twice; give it once, such as --set {field}=A,B")
        seen.add(field)


def number_of_points(axes: Collection[Axis]) -> int:
    """The number of combinations of some axes."""
    return math.prod(len(axis.points) for axis in axes)


def combinations(axes: Collection[Axis]) -> Iterator[dict[str, Any]]:
    """Field -> value, for each combination of the points of some axes; the last axis changes fastest."""
    for points in product(*(axis.points for axis in axes)):
        yield {
            field: value
            for axis, point in zip(axes, points, strict=True)
            for field, value in zip(axis.fields, point, strict=True)
        }
