"""Parse and check ``FIELD=VALUE`` settings, and apply them to a config."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from lvae_core.config import FIELD_TYPES, TYPE_WORDS, RunConfig, draft
from lvae_core.errors import InputError, check_name, plain_value
from lvae_core.fields.choices import Setting
from lvae_core.fields.parts import PARTS
from lvae_core.identity import evaluation_values, fields_read
from lvae_core.system_names import check_system


def check_samples_read(config: RunConfig, num_samples: int | None) -> None:
    """Raise InputError if ``--num-samples`` is given, not None, to a system without a latent variable."""
    if num_samples is not None and config.encoder == "none":
        raise InputError(
            f"--num-samples {num_samples}: {config.system} has no latent variable; leave it out"
        )


def fields_help(*, evaluation: bool = False) -> dict[str, str]:
    """Name of every config field, or of those that estimates read -> one line of documentation."""
    return {
        f.name: str(f.metadata["help"])
        for f in dataclasses.fields(RunConfig)
        if not evaluation or f.metadata["stage"] != "training"
    }


def parse_settings(settings: Iterable[str], option: str = "--set") -> dict[str, Any]:
    """Field -> value of ``FIELD=VALUE`` strings, as ``option`` takes them.

    Raises:
        InputError: as :func:`parse_setting`, or a field is given twice.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        name, value = parse_setting(setting, option)
        if name in parsed:
            raise InputError(f"{option} {setting}: {name} is given twice; give it once")
        parsed[name] = value
    return parsed


def parse_setting(setting: str, option: str = "--set") -> tuple[str, Any]:
    """The field and the value of a ``FIELD=VALUE`` string, as ``option`` takes it.

    Raises:
        InputError: the setting is malformed, its field unknown, or its value of the wrong type.
    """
    name, equals, text = setting.partition("=")
    if not equals:
        raise InputError(f"{option} {setting}: write FIELD=VALUE, such as {option} iw_samples=5000")
    name = name.strip()
    check_name(name, FIELD_TYPES, "config field")
    return name, parse_value(name, text.strip(), f"{option} ")


def apply_settings(config: RunConfig, settings: Iterable[str]) -> RunConfig:
    """Apply ``FIELD=VALUE`` strings to a config.

    Raises:
        InputError: as :func:`parse_settings` and :func:`apply_fields`.
    """
    return apply_fields(config, parse_settings(settings), prefix="--set ")


def apply_fields(config: RunConfig, changes: Mapping[str, Any], prefix: str = "") -> RunConfig:
    """Change fields of a config.

    Raises:
        InputError: a field is unknown, or (after ``prefix``) no part of the config reads it; a value lies
            outside its field's range; or the changes turn the system into another that has a name.
    """
    for name in changes:
        check_name(name, FIELD_TYPES, "config field")
    changes = {name: plain_value(value) for name, value in changes.items()}
    check_system(config, changes)
    changed, ignored = apply_where_read(config, changes)
    if ignored:
        name = ignored[0]
        raise InputError(f"{prefix}{name}: {system_name(changed, name)} has no {name}; {leave_out(name)}")
    return changed


def apply_where_read(config: RunConfig, changes: Mapping[str, Any]) -> tuple[RunConfig, list[str]]:
    """Apply the changes of fields that the changed config reads.

    A field that no chosen part reads keeps its value, so that it does not create a second run with the
    same numbers.

    Returns:
        The changed config, and the fields that were left alone.

    Raises:
        InputError: a value lies outside its field's range, or two fields contradict each other.
    """
    kept = {name: value for name, value in changes.items() if _GROUPS[name] == "run"}
    before: dict[str, Any] | None = None
    while kept != before:  # a change that is read may choose the part that reads another
        before, chosen = kept, draft(config, kept)
        read = fields_read(chosen, "training") | fields_read(chosen, "evaluation")
        kept = {name: value for name, value in changes.items() if name in read}
    return dataclasses.replace(config, **kept), [name for name in changes if name not in read]


def with_evaluation(config: RunConfig, fields: Mapping[str, Any], prefix: str = "") -> RunConfig:
    """Change fields that the estimates read.

    Raises:
        InputError: another field is given, after ``prefix``; or a value lies outside its range.
    """
    read = evaluation_values(config)
    for field in fields:
        if field not in read:
            raise InputError(
                f"{prefix}{field}: not a field that the estimates of {config.system} read; "
                f"choose from {', '.join(read)}"
            )
    plain: dict[str, Any] = {name: plain_value(value) for name, value in fields.items()}
    return dataclasses.replace(config, **plain)


def system_name(config: RunConfig, field: str) -> str:
    """The system that lacks a field, with its setting if it has the field in the other setting."""
    setting: Setting = "standard" if config.setting == "inputless" else "inputless"
    other = dataclasses.replace(config, setting=setting, word_dropout=0.0)
    return f"{config.system} {config.setting}" if field in fields_read(other, "training") else config.system


def leave_out(field: str) -> str:
    """Advise to leave out a field that no run reads, and name what a run needs to read it."""
    return f"leave it out, because it needs {PARTS[_PART_OF[field]].needs}"


_GROUPS = {f.name: f.metadata["group"] for f in dataclasses.fields(RunConfig)}

_PART_OF = {f.name: f.metadata["part"] for f in dataclasses.fields(RunConfig)}


LIST_FIELDS = frozenset(
    f.name for f in dataclasses.fields(RunConfig) if isinstance(f.default, str) and "," in f.default
)
"""Fields whose value is a list of numbers with commas between."""


def format_value(value: Any) -> str:
    """A value of a field in the form that ``--set`` takes: the inverse of :func:`parse_value`.

    It is for people: a float has no more digits than it needs (2, not 2.0).
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


def parse_value(name: str, text: str, prefix: str = "") -> Any:
    """The value of a field, as ``--set`` takes it. A list may have brackets and blanks: ``[1, 2, 4]``.

    Raises:
        InputError: the value is of the wrong type; the message begins with ``prefix``.
    """
    type_ = FIELD_TYPES[name]
    try:
        if type_ is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if type_ is int or type_ is float:
            return type_(text)
    except (KeyError, ValueError):
        raise InputError(f"{prefix}{name}={text}: must be {TYPE_WORDS[type_]}") from None
    if name in LIST_FIELDS and text.startswith("[") and text.endswith("]"):
        return ",".join(part.strip() for part in text[1:-1].split(","))
    return text
