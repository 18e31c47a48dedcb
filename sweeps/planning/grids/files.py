"""Read grids from TOML files; docs/grid.md describes their keys. The presets are such files, too."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

from lvae_core.config import FIELD_TYPES, dataset_label
from lvae_core.data.datasets import NAMES
from lvae_core.errors import InputError, check_distinct, check_name, reason
from lvae_core.fields.choices import Setting
from lvae_core.protocols import PROTOCOLS
from lvae_core.run_folder.names import check_study_name
from lvae_core.settings import LIST_FIELDS
from lvae_core.storage.local import local_path
from lvae_core.systems import SYSTEMS, recipe
from sweeps.planning.grid import OWN_OPTIONS, Grid, Limit
from sweeps.planning.grids.axes import parse_changes
from sweeps.planning.grids.seeds import parse_seeds

MAX_BYTES = 1_000_000
"""The largest size of a grid file."""

KEYS = ("datasets", "settings", "seeds", "systems", "set", "zip")
"""Keys of each grid; at the top of a file there are three more."""

_SHAPES = 'write a list of the L, such as [1, 5], or {num_samples = [1], settings = ["standard"]}'


class GridFile(NamedTuple):
    """The content of a grid file."""

    grid: Grid
    study: str
    """The name of the study that keeps the runs, unless --study gives another."""


def read_grid(path: str | Path) -> GridFile:
    """Read a grid file, and check that its runs can be planned.

    Raises:
        InputError: the file cannot be read, or a key or a value cannot be used. The message names them.
    """
    content = _read_toml(local_path(path))
    try:
        found = _grid_file(content, Path(path).stem)
        found.grid.check()
    except InputError as error:
        # Messages about flags fit: the keys have their names.
        raise InputError(f"{path}: {str(error).removeprefix('--')}") from None
    return found


def _read_toml(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise InputError(f"{path}: a folder; give a grid file, such as my_grid.toml") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise InputError(
            f"{path}: cannot be read ({reason(error)}); give the path of a grid file"
        ) from None
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: larger than 1 MB, so no grid file; see docs/grid.md")
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text, so no grid file; see docs/grid.md") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not TOML ({reason(error)}); see docs/grid.md") from None


def _grid_file(values: Mapping[str, Any], stem: str) -> GridFile:
    _check_keys("", values, ("study", "protocol", *KEYS, "also"))
    study = values.get("study", re.sub(r"[^\w.-]", "-", stem).lstrip(".-") or "grid")
    check_study_name(study, "study = ")
    protocol = values.get("protocol", "matched")
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol = {protocol!r}: must be {' or '.join(PROTOCOLS)}")
    also = []
    for at, each in _tables("also", values):
        _check_keys(at, each, KEYS)
        also.append(replace(_grid(f"{at}.", each), protocol=protocol))
    return GridFile(replace(_grid("", values), protocol=protocol, also=tuple(also)), study)


def _grid(at: str, values: Mapping[str, Any]) -> Grid:
    """Read one grid. ``at``: where its keys stand, with a dot behind."""
    for key in ("datasets", "systems"):
        if key not in values:
            raise InputError(f"{at}{key}: missing; every grid names its datasets and systems")
    datasets = _texts(f"{at}datasets", values["datasets"])
    systems = values["systems"]
    if not isinstance(systems, dict) or not systems:
        raise InputError(
            f"{at}systems = {systems!r}: must be a table with a line such as lstm-vae = [1, 5]"
        )
    labels = [*map(dataset_label, datasets), *NAMES]
    read = {name: _system(f"{at}systems", name, value, labels) for name, value in systems.items()}
    settings = values.get("settings", list(get_args(Setting)))
    return Grid(
        datasets=datasets,
        systems={name: samples for name, (samples, _) in read.items()},
        settings=_names(f"{at}settings", settings, get_args(Setting), "setting"),
        seeds=_seeds(f"{at}seeds", values.get("seeds", 5)),
        changes=_assignments(f"{at}set", values.get("set", {})),
        zips=tuple(_assignments(where, each) for where, each in _tables("zip", values, at)),
        limits={name: limit for name, (_, limit) in read.items() if limit != Limit()},
    )


def _system(at: str, name: str, value: object, labels: Sequence[str]) -> tuple[tuple[int, ...], Limit]:
    """Read the L of a system, and the part of the grid that has it."""
    _check_name(at, name, tuple(SYSTEMS), "system")
    at = f"{at}.{name}"
    table = value if isinstance(value, dict) else {"num_samples": value}
    _check_keys(at, table, ("num_samples", "settings", "not_on"))
    samples = table.get("num_samples", [1])
    if not isinstance(samples, list) or not samples or not all(type(n) is int for n in samples):
        raise InputError(f"{at} = {_shown(value)}: {_SHAPES}")
    check_distinct(samples, at)
    if samples != [1] and recipe(name).encoder == "none":  # [1] is how files of earlier versions say {}
        raise InputError(f"{at} = {_shown(value)}: {name} has no latent variable; write {name} = {{}}")
    limit = Limit(
        settings=_names(f"{at}.settings", table.get("settings", []), get_args(Setting), "setting"),
        not_on=_names(f"{at}.not_on", table.get("not_on", []), labels, "dataset"),
    )
    return tuple(samples), limit


def _seeds(at: str, value: object) -> tuple[int, ...]:
    if isinstance(value, list) and value and all(type(seed) is int for seed in value):
        check_distinct((f"seed {seed}" for seed in value), f"{at} = {_shown(value)}")
        return parse_seeds(",".join(f"{seed}..{seed}" for seed in value), f"{at} =")
    if type(value) is int or isinstance(value, str):
        return parse_seeds(str(value), f"{at} =")
    raise InputError(f'{at} = {_shown(value)}: give a number, a text such as "5..9", or a list of numbers')


def _assignments(at: str, table: object) -> tuple[str, ...]:
    """Read a table of fields with their values, as ``FIELD=A,B`` texts."""
    if not isinstance(table, dict):
        raise InputError(f"{at} = {_shown(table)}: must be a table with lines such as dropout = [0.3, 0.5]")
    texts = []
    for field, value in table.items():
        if field in OWN_OPTIONS:
            key = "systems" if field == "num_samples" else OWN_OPTIONS[field].removeprefix("--")
            raise InputError(f"{at}.{field}: the grid chooses {field}; use the key {key}")
        _check_name(at, field, tuple(FIELD_TYPES), "config field")
        values = value if isinstance(value, list) else [value]
        texts.append(f"{field}={','.join(_value(f'{at}.{field}', field, each) for each in values)}")
    try:
        parse_changes(texts)
    except InputError as error:
        raise InputError(f"{at}: {str(error).removeprefix('--set ')}") from None
    return tuple(texts)


def _value(at: str, field: str, value: object) -> str:
    """One value of a field as ``--set`` takes it."""
    type_ = FIELD_TYPES[field]
    kind, fits = {
        bool: ("true or false", type(value) is bool),
        int: ("a whole number", type(value) is int),
        float: ("a number", type(value) in (int, float)),
    }.get(type_, ("a text in quotes", isinstance(value, str)))
    if not fits:
        raise InputError(f"{at} = {_shown(value)}: must be {kind}, or a list of such")
    if isinstance(value, str):
        if field in LIST_FIELDS:
            return f"[{value.strip().strip('[]')}]"
        if not value.strip() or set(value) & set(",[]"):
            raise InputError(f"{at} = {_shown(value)}: must be one value; a list of them is written [A, B]")
        return value
    return str(value).lower() if type(value) is bool else repr(value)


def _tables(key: str, values: Mapping[str, Any], at: str = "") -> list[tuple[str, Mapping[str, Any]]]:
    """The tables of an array of tables, each with where it stands; the first is number 1."""
    tables = values.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"{at}{key} = {_shown(tables)}: must be a table in double brackets, [[{at}{key}]]")
    return [(f"{at}{key}[{number}]", table) for number, table in enumerate(tables, start=1)]


def _texts(at: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise InputError(f'{at} = {_shown(value)}: must be a list of texts, such as ["A", "B"]')
    check_distinct(value, at)
    return tuple(value)


def _names(at: str, value: object, valid: Sequence[str], kind: str) -> tuple[str, ...]:
    names = _texts(at, value)
    for name in names:
        _check_name(at, name, valid, kind)
    return names


def _check_keys(at: str, table: Mapping[str, Any], valid: Sequence[str]) -> None:
    for key in table:
        _check_name(at, key, valid, "key")


def _check_name(at: str, name: str, valid: Sequence[str], kind: str) -> None:
    try:
        check_name(name, valid, kind)
    except InputError as error:
        raise InputError(f"{at}: {error}" if at else str(error)) from None


def _shown(value: object) -> str:
    """A value for a message: in one line, and not long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:60]}…"


def _read_preset(name: str) -> GridFile:
    return _grid_file(_read_toml(Path(__file__).parent / "presets" / f"{name}.toml"), name)


PRESETS: Mapping[str, GridFile] = {name: _read_preset(name) for name in ("paper", "all", "demo")}
