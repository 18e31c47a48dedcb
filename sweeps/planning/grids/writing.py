"""Write a grid as a file that :func:`sweeps.planning.grids.files.read_grid` reads as the same grid."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

from lvae_core.errors import InputError, reason
from lvae_core.storage.local import local_path
from lvae_core.systems import recipe
from sweeps.planning.grid import Grid
from sweeps.planning.grids.axes import Axis, parse_changes, parse_zip
from sweeps.planning.grids.files import GridFile
from sweeps.planning.grids.seeds import format_seeds


def check_new_file(path: str) -> None:
    """Raise InputError if no new file can be written at ``path``; known before the grid is planned."""
    place = local_path(path)
    if os.path.lexists(place):
        raise InputError(f"--write-grid {path}: exists already; give another name, or remove it")
    if not place.parent.is_dir():
        raise InputError(f"--write-grid {path}: there is no folder {place.parent}; make it first")
    try:
        place.open("x").close()  # permissions do not tell: in /proc, even root can make no file
        place.unlink()
    except (OSError, ValueError) as error:
        raise InputError(_unwritable(path, error)) from None


def write_grid(path: str, grid_file: GridFile) -> None:
    """Write a new grid file.

    Raises:
        InputError: the file exists already, or cannot be written.
    """
    try:
        with local_path(path).open("x", encoding="utf-8") as file:
            file.write(grid_text(grid_file))
    except FileExistsError:
        raise InputError(f"--write-grid {path}: exists already; give another name, or remove it") from None
    except (OSError, ValueError) as error:
        raise InputError(_unwritable(path, error)) from None


def _unwritable(path: str, error: Exception) -> str:
    return f"--write-grid {path}: cannot be written ({reason(error)}); give another place"


def grid_text(grid_file: GridFile) -> str:
    """A grid as TOML."""
    grid = grid_file.grid
    lines = [
        "# A grid of runs for: python sweeps/paper_grid.py --grid FILE (keys: docs/grid.md)",
        f"study = {_value(grid_file.study)}",
        f"protocol = {_value(grid.protocol)}",
        *_grid_lines(grid, ""),
    ]
    for other in grid.grids[1:]:
        lines += ["", "[[also]]", *_grid_lines(other, "also.")]
    return "\n".join(lines) + "\n"


def _grid_lines(grid: Grid, at: str) -> Iterable[str]:
    """The lines of one grid. ``at``: what precedes the names of its tables."""
    yield f"datasets = {_value(grid.datasets)}"
    yield f"settings = {_value(grid.settings)}"
    yield f"seeds = {_value(format_seeds(grid.seed_list))}"
    yield from ("", f"[{at}systems]")
    for system, samples in grid.systems.items():
        limit = grid.limits.get(system)
        has_l = recipe(system).num_samples > 0
        parts = {**({"num_samples": samples} if has_l else {}), **(limit._asdict() if limit else {})}
        given = ", ".join(f"{key} = {_value(values)}" for key, values in parts.items() if values)
        yield f"{system} = {_value(samples)}" if has_l and not limit else f"{system} = {{{given}}}"
    axes = parse_changes(grid.changes).values()
    if axes:
        yield from ("", f"[{at}set]", *_assignments(axes))
    for axis in map(parse_zip, grid.zips):
        yield from ("", f"[[{at}zip]]", *_assignments([axis]))


def _assignments(axes: Iterable[Axis]) -> Iterable[str]:
    for axis in axes:
        for field, *values in zip(axis.fields, *axis.points, strict=True):
            yield f"{field} = {_value(values if len(values) > 1 else values[0])}"


def _value(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # JSON's escapes are TOML's, except that TOML wants one for DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)
