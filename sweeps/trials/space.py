"""The space of a search: fields of the config with their ranges or choices.

learning_rate=0.3..3:log     a number in a range, uniform on a log scale
dropout=0.2..0.7             uniform
latent_size=16,32,64         one of a list
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from lvae_core import settings
from lvae_core.config import FIELD_TYPES, RunConfig
from lvae_core.errors import InputError, check_name
from lvae_core.identity import fields_read
from lvae_core.settings import apply_where_read, leave_out, system_name
from lvae_core.system_names import check_system

Values = Mapping[str, Any]
"""Field -> value."""

GROUPS = ("model", "objective", "optimiser")
"""Groups of fields that can be searched: they shape the model or its training, not the comparison."""

MAX_WHOLE = 10**6
"""The largest whole number in a range."""

_WHY_NOT = (
    "a search keeps the cell, the seed, the data and the estimates fixed, because otherwise perplexities "
    "could not be compared; use --set to change it"
)


def searchable_fields() -> list[str]:
    """Names of the config fields that a search may vary for some system: numbers and choices."""
    fields = [f for f in dataclasses.fields(RunConfig) if FIELD_TYPES[f.name] is not str]
    return [f.name for f in fields if f.metadata["group"] in GROUPS or f.name == "precision"]


def parse_space(texts: Iterable[str], base: RunConfig) -> dict[str, BaseDistribution]:
    """Parse ``FIELD=LOW..HIGH[:log]`` and ``FIELD=A,B,…`` into a space, in their order.

    Args:
        texts: one for each field.
        base: the config whose fields vary; each bound and each choice must be valid in it.

    Raises:
        InputError: a text, a field or a value cannot be used, or a field is given twice.
    """
    searchable = searchable_fields()
    read = fields_read(base, "training")
    space: dict[str, BaseDistribution] = {}
    for given in texts:
        text = " ".join(given.split())
        field, equals, spec = (part.strip() for part in text.partition("="))
        if not equals:
            raise InputError(
                f"--space {text}: write FIELD=LOW..HIGH, FIELD=LOW..HIGH:log or FIELD=A,B,C, such as "
                "--space learning_rate=0.3..3:log"
            )
        try:
            check_name(field, FIELD_TYPES, "config field")
        except InputError as error:
            raise InputError(f"--space {text}: {error}") from None
        if field not in searchable:
            raise InputError(f"--space {text}: {field} cannot be searched; {_WHY_NOT}")
        if field not in read:
            missing = f"{system_name(base, field)} has no {field}"
            raise InputError(f"--space {text}: {missing}; {leave_out(field)}")
        if field in space:
            raise InputError(f"--space {text}: {field} is given twice; give it once")
        try:
            space[field] = _range(field, spec, base) if ".." in spec else _choices(field, spec, base)
        except InputError as error:
            raise InputError(f"--space {text}: {error}") from None
    if not space:
        raise InputError("--space: give at least one field")
    return space


def check_systems(space: Mapping[str, BaseDistribution], base: RunConfig, option: str) -> None:
    """Check that no choice of a list turns the system into another that has a name.

    Of a range only a single point could, which is hardly ever proposed.

    Args:
        space: field -> its range or choices.
        base: the config whose fields vary.
        option: as :func:`lvae_core.system_names.check_system` takes it.

    Raises:
        InputError: a choice does.
    """
    for field, distribution in space.items():
        try:
            for value in choices_of(distribution):
                check_system(base, {field: value}, option)
        except InputError as error:
            raise InputError(f"--space {field}={spec_of(distribution)}: {error}") from None


def _range(field: str, spec: str, base: RunConfig) -> BaseDistribution:
    bounds, _, scale = spec.partition(":")
    if "..." in bounds:
        raise InputError("write two dots between the ends")
    if ".." not in bounds:
        raise InputError("write the scale after the range, as LOW..HIGH:log")
    low, high = (parse_value(field, end, base) for end in bounds.split("..", 1))
    if scale not in ("", "log"):
        raise InputError(f"unknown scale {scale!r}: give log, or no scale")
    if type(low) not in (int, float):
        raise InputError(f"{field} is not a number; list what it may be, such as {field}={low},{high}")
    if not low < high:
        raise InputError(f"{low:g} is not below {high:g}")
    if scale and low <= 0:
        raise InputError("a log scale needs a lower end above 0")
    if type(low) is int and high > MAX_WHOLE:
        raise InputError(f"{high} is above {MAX_WHOLE}")
    if type(low) is int:
        return IntDistribution(low, high, log=bool(scale))
    return FloatDistribution(low, high, log=bool(scale))


def _choices(field: str, spec: str, base: RunConfig) -> BaseDistribution:
    values = [parse_value(field, text, base) for text in spec.split(",")]
    if len(set(values)) < max(2, len(values)):
        raise InputError("give at least two values, each once; for a single value use --set")
    return CategoricalDistribution(values)


def parse_value(field: str, text: str, base: RunConfig) -> Any:
    """The value of a field that a text stands for. Raises InputError if ``base`` cannot have it."""
    config, _ = apply_where_read(base, {field: settings.parse_value(field, text.strip())})
    return getattr(config, field)


def spec_of(distribution: BaseDistribution) -> str:
    """A range or list as text, in a normal form that is used to compare searches."""
    if choices := choices_of(distribution):
        return ",".join(map(text_of, choices))
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    scale = ":log" if is_log(distribution) else ""
    return f"{text_of(distribution.low)}..{text_of(distribution.high)}{scale}"


def choices_of(distribution: BaseDistribution) -> tuple[Any, ...]:
    """The choices of a list; () for a range."""
    return distribution.choices if isinstance(distribution, CategoricalDistribution) else ()


def range_of(distribution: BaseDistribution) -> tuple[float, float] | None:
    """The ends of a range; None for a list."""
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return float(distribution.low), float(distribution.high)
    return None


def is_log(distribution: BaseDistribution) -> bool:
    """Whether a range has a log scale."""
    return bool(getattr(distribution, "log", False))


def largest(space: Mapping[str, BaseDistribution], base: RunConfig) -> RunConfig:
    """``base`` with every whole number of the model, its sizes among them, as large as the space allows."""
    sizes: dict[str, Any] = {
        f.name: int(max(choices_of(space[f.name]) or range_of(space[f.name]) or ()))
        for f in dataclasses.fields(RunConfig)
        if f.name in space and FIELD_TYPES[f.name] is int and f.metadata["group"] == "model"
    }
    return replace(base, **sizes)


def text_of(value: Any) -> str:
    """A value with all digits, as the command line takes it.

    Records of searches are compared by these texts, so it never changes. For people, see
    :func:`lvae_core.settings.format_value`.
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def conflict(base: RunConfig, values: Values) -> str:
    """The reason why a point gives no config, as of values that exclude each other; "" if it gives one."""
    try:
        replace(base, **dict(values))
    except InputError as error:
        return str(error)
    return ""


def contains(space: Mapping[str, BaseDistribution], values: Values) -> bool:
    """Whether a point lies in the space."""
    for field, distribution in space.items():
        value = values[field]
        if choices := choices_of(distribution):
            if value not in choices:
                return False
        elif not distribution.low <= value <= distribution.high:  # type: ignore[attr-defined]
            return False
    return True
