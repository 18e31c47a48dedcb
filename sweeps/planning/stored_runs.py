"""The runs of a local study as their folders are listed, and a selection among them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from lvae_core.config import FIELD_TYPES, RunConfig
from lvae_core.errors import InputError, check_name
from lvae_core.run_folder.claims import is_under_way
from lvae_core.run_folder.folder import DamagedError, RunFolder
from lvae_core.run_folder.names import RunName
from lvae_core.run_folder.study import Study
from lvae_core.settings import LIST_FIELDS, parse_value
from lvae_core.systems import SYSTEMS
from sweeps.planning.grids.axes import split_values

_FIELDS = ("state", *FIELD_TYPES)

_CHOICES: dict[str, Sequence[str]] = {
    name: get_args(type_) for name, type_ in FIELD_TYPES.items() if get_origin(type_) is Literal
}
_CHOICES["system"] = tuple(SYSTEMS)

STATES = ("done", "running", "failed", "unfinished", "unreadable")


@dataclass(frozen=True)
class Run:
    """A run folder, as it is listed."""

    folder: RunFolder
    place: Path
    state: str
    name: RunName
    config: RunConfig | None
    """None if it cannot be read."""
    size: int
    """Bytes of its files."""
    epochs: int
    """Epochs that are finished."""

    @property
    def group(self) -> tuple[str, str, str]:
        """Its dataset, its system and its setting, which fix many fields; as in reports, L is left out."""
        return self.name.cell.dataset, self.name.cell.system, self.name.cell.setting

    def value(self, name: str) -> Any:
        """The value of a config field, or of ``state``; None if the config cannot be read."""
        return self.state if name == "state" else getattr(self.config, name, None)

    def values(self, name: str) -> tuple[Any, ...]:
        """The values that ``--where`` selects by: a dataset has its path and the name in the run's name."""
        if (value := self.value(name)) is None:
            return ()
        return (value, self.name.cell.dataset) if name == "dataset" else (value,)


def runs_of(root: Path) -> list[Run]:
    """The runs directly in a study's folder, sorted by name; symbolic links are left out."""
    study = Study(str(root), create=False)
    places = [place for name in study.run_names() if not (place := root / name).is_symlink()]
    return [_run(study.run(place.name), place) for place in places if place.is_dir()]


def selection(where: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Parse ``field=value,value`` items; a value of a number may be a range, ``0..2``, ends included.

    A list is in brackets, as ``--set`` takes it: ``cnn_dilations=[1,2,4]``.

    Raises:
        InputError: an item has another form, or names no field, no state or no value that it can have.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for item in where:
        name, equals, values = item.partition("=")
        if not equals or not values:
            raise InputError(f"--where {item}: write it as field=value")
        try:
            check_name(name, _FIELDS, "config field")
        except InputError as error:
            raise InputError(f"--where {item}: {error}") from None
        if name in chosen:
            raise InputError(f"--where {item}: {name} is given twice; separate its values by commas")
        chosen[name] = _lists(name, item) if name in LIST_FIELDS else tuple(values.split(","))
        if name != "state" and name not in LIST_FIELDS:
            for text in chosen[name]:
                _check_range(name, text)
    for state in chosen.get("state", ()):
        if state.lower() not in STATES:
            raise InputError(
                f"--where state={state}: there is no such state; choose from {', '.join(STATES)}"
            )
    return chosen


def _lists(name: str, item: str) -> tuple[str, ...]:
    """The lists that configs of a field may have. Raises InputError if no config can have one of these."""
    texts = split_values(name, item.partition("=")[2], f"--where {item}")
    lists = tuple(parse_value(name, text) for text in texts)
    try:
        for value in lists:
            replace(RunConfig(), **{name: value})
    except InputError as error:
        raise InputError(f"--where {item}: {error}") from None
    return lists


def check_values(chosen: Mapping[str, Sequence[str]], runs: Sequence[Run]) -> None:
    """Raise InputError if a value is neither one that its field can have nor that of a run.

    Args:
        chosen: a selection.
        runs: those to select from; earlier versions may have written other values.
    """
    for name in (name for name in chosen if name in _CHOICES):
        present = [str(value) for run in runs if (value := run.value(name)) is not None]
        valid = {value.lower(): value for value in (*_CHOICES[name], *present)}
        for text in chosen[name]:
            if text.lower() not in valid:
                try:
                    check_name(text, valid.values(), name)
                except InputError as error:
                    raise InputError(f"--where {name}={text}: {error}") from None


def _check_range(name: str, text: str) -> None:
    """Raise InputError if no config can have one of these values: one, or the numbers of a range."""
    ends = text.split("..") if FIELD_TYPES[name] in (int, float) else [text]
    for end in ends:
        _check_type(name, end)
    if len(ends) > 2 or (len(ends) == 2 and float(ends[1]) < float(ends[0])):
        raise InputError(f"--where {name}={text}: is empty; write LOW..HIGH, the smaller number first")


def _check_type(name: str, text: str) -> None:
    """Raise InputError if no config can have this value: a selection would be empty without a word."""
    try:
        parse_value(name, text)
    except InputError as error:
        try:
            whole = FIELD_TYPES[name] is int and float(text) == int(float(text))  # 4.0 selects 4
        except (OverflowError, ValueError):
            whole = False
        if not whole:
            raise InputError(f"--where {error}") from None


def select(runs: Sequence[Run], chosen: Mapping[str, Sequence[str]]) -> list[Run]:
    """The runs that have one of the values of every field."""
    return [run for run in runs if all(_has_one(run, name, texts) for name, texts in chosen.items())]


def _has_one(run: Run, name: str, texts: Sequence[str]) -> bool:
    """Whether a run has one of the values of a field."""
    fold = name == "state" or name in _CHOICES  # but texts/Mine and texts/mine are two datasets
    return any(_is(value, text, fold=fold) for value in run.values(name) for text in texts)


def _is(value: Any, text: str, *, fold: bool) -> bool:
    """Whether a value is the one that is written, or in the range; ``fold`` ignores the case of letters."""
    if isinstance(value, bool):
        return text.lower() in (("true", "1") if value else ("false", "0"))
    if isinstance(value, str):
        return value.lower() == text.lower() if fold else value == text
    low, _, high = text.partition("..")
    return float(low) <= float(value) <= float(high or low)


def _run(folder: RunFolder, place: Path) -> Run:
    try:
        read = folder.read_config()
        config = read[0] if read else None
    except (DamagedError, InputError, PermissionError):
        config = None
    name = RunName.parse(folder.name)
    assert name is not None  # Study.run_names returns nothing else
    return Run(folder, place, _state(folder), name, config, _size(place), _epochs(place))


def _size(place: Path) -> int:
    """Bytes of the files in a folder and those below; what cannot be read is left out."""
    size = 0
    for folder, _, names in os.walk(place):
        for name in names:
            # Deleted meanwhile, or in a folder that may be listed but not entered.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                size += os.lstat(os.path.join(folder, name)).st_size
    return size


def _state(folder: RunFolder) -> str:
    try:
        if folder.has("result.json"):
            return "done"
        running = is_under_way(folder)
    except PermissionError:
        return "unreadable"
    if running:
        return "running"
    return "failed" if folder.has("failure.json") else "unfinished"


def _epochs(place: Path) -> int:
    try:
        return (place / "metrics.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0
