"""Show the runs of a plan: a row for each variant, a column for each field in which they differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lvae_core.config import FIELD_TYPES, RunConfig, dataset_label
from lvae_core.identity import fields_read
from lvae_core.run_folder.names import CellName
from lvae_core.settings import format_value
from sweeps.planning.grids.fitting import FittingColumn, print_whole, table_width
from sweeps.planning.grids.seeds import format_seeds
from sweeps.planning.plan import PlannedRun, by_variant

MAX_ROWS = 100
"""The largest number of variants that are printed."""

_CELL = ("dataset", "system", "setting", "num_samples")
_HEADINGS = {"num_samples": "L"}
_IN_TITLE = ("dataset", "setting")
"""Headings that a title replaces if all cells have the same value."""
UNREAD = "–"
"""Shown for a field that a run does not read."""
_LONGEST = 12
"""The most characters of a number that a table shows with all its digits."""
_DIGITS = 4
"""The significant digits of a longer one."""


@dataclass(frozen=True)
class Column:
    """A column of an overview. Columns of one group stay together if the table is too wide."""

    heading: str
    values: Sequence[str]
    group: str
    number: bool = False


def overview(runs: Sequence[PlannedRun]) -> list[Column]:
    """Describe runs by what sets them apart.

    Args:
        runs: the runs of a grid, at least one.

    Returns:
        A column for the system and for each field in which runs differ, and the seeds and the numbers of
        runs to do, done and failed. Fields that differ only because datasets and systems do have none.
        Each value of a column is that of a variant: runs that differ only in their seed.
    """
    variants = list(by_variant(runs).values())
    configs = [variant[0].config for variant in variants]
    columns = [
        _column(field, configs, "cell")
        for field in _CELL
        if field == "system" or len({getattr(config, field) for config in configs}) > 1
    ]
    columns += [_column(field, configs, "axes") for field in axes_of(configs)]
    columns.append(Column("seeds", [_seeds(variant) for variant in variants], "runs"))
    for heading, statuses in {
        "to do": ("left", "evaluate"),
        "done": ("done",),
        "failed": ("failed",),
    }.items():
        counts = [sum(run.status in statuses for run in variant) for variant in variants]
        if heading != "failed" or any(counts):
            columns.append(Column(heading, [str(count) for count in counts], "runs", number=True))
    return columns


def print_overview(console: Console, columns: Sequence[Column]) -> None:
    """Print an overview.

    A table wider than the window is printed one group of columns after the other. If that does not help,
    it keeps its width: a line that the terminal wraps can be read, a truncated value cannot.
    """
    parts = [columns]
    if table_width(_table(columns)) > console.width:
        numbers = Column("", [str(k) for k in range(1, len(columns[0].values) + 1)], "", number=True)
        groups = dict.fromkeys(column.group for column in columns)
        parts = [[numbers, *(c for c in columns if c.group == group)] for group in groups]
    for table in map(_table, parts):
        print_whole(console, table, table_width(table))
    if (more := len(columns[0].values) - MAX_ROWS) > 0:
        console.print(f"and {more:,} more variants")


def common_seeds(columns: Sequence[Column]) -> str | None:
    """The seeds of an overview if every variant has the same ones."""
    (seeds,) = (set(column.values) for column in columns if column.heading == "seeds")
    return None if len(seeds) > 1 else seeds.pop()


def axes_of(configs: Iterable[RunConfig]) -> list[str]:
    """The fields in which configs of one cell differ, apart from the seed."""
    first: dict[tuple[object, ...], RunConfig] = {}
    differing: dict[str, None] = {}
    for config in configs:
        other = first.setdefault(tuple(getattr(config, field) for field in _CELL), config)
        for field, value in vars(config).items():
            if field != "seed" and value != getattr(other, field):
                differing[field] = None
    return [field for field in FIELD_TYPES if field in differing]


def run_label(config: RunConfig, axes: Sequence[str]) -> str:
    """The name of a run in lines for people: its cell, its seed, and its values of the axes."""
    values = [(field, value_text(config, field)) for field in axes]
    texts = [f" {field}={value}" for field, value in values if value != UNREAD]
    return f"{CellName.of(config)}__seed{config.seed}{''.join(texts)}"


class VariantName(NamedTuple):
    """The name of a variant for people."""

    cell: CellName
    values: str
    """Its values of the fields that vary in a cell: ``latent_size=2 dropout=0``."""

    def __str__(self) -> str:
        return f"{self.cell} {self.values}".rstrip()


def variant_names(runs: Iterable[PlannedRun]) -> dict[str, VariantName]:
    """Variant -> its name."""
    first = {run.variant: run.config for run in runs}
    configs = list(first.values())
    columns = {field: _texts(configs, field) for field in axes_of(configs)}
    return {
        variant: VariantName(
            CellName.of(config),
            " ".join(f"{field}={texts[n]}" for field, texts in columns.items() if texts[n] != UNREAD),
        )
        for n, (variant, config) in enumerate(first.items())
    }


def cell_columns(cells: Sequence[CellName]) -> dict[str, list[str]]:
    """Heading -> what tells cells apart: without the dataset or the setting if all have the same."""
    columns = {
        "dataset": [cell.dataset for cell in cells],
        "system": [cell.system for cell in cells],
        "setting": [cell.setting for cell in cells],
        "L": [str(cell.num_samples or UNREAD) for cell in cells],
    }
    return {h: texts for h, texts in columns.items() if h not in _IN_TITLE or len(set(texts)) > 1}


def name_columns(lines: Sequence[VariantName | str]) -> list[FittingColumn]:
    """Name the lines of a table in columns: system, L and what else tells the variants apart.

    Args:
        lines: a variant, or a label for the first column, for each line.
    """
    names = [line for line in lines if isinstance(line, VariantName)]
    columns = cell_columns([name.cell for name in names])
    if any(name.values for name in names):
        columns["what differs"] = [name.values for name in names]

    def column(heading: str, texts: Iterable[str]) -> list[str]:
        others, given = heading == next(iter(columns)), iter(texts)
        return [next(given) if isinstance(line, VariantName) else line * others for line in lines]

    return [
        FittingColumn(
            heading, column(heading, texts), number=heading == "L", folds=heading == "what differs"
        )
        for heading, texts in columns.items()
    ]


def title_of(kind: str, lines: Iterable[VariantName | str]) -> str:
    """The title of a table with :func:`name_columns`: ``plan: ptb, standard``."""
    cells = [line.cell for line in lines if isinstance(line, VariantName)]
    shared = [{cell.dataset for cell in cells}, {cell.setting for cell in cells}]
    words = ", ".join(values.pop() for values in shared if len(values) == 1)
    return f"{kind}: {words}" if words else kind


def _column(field: str, configs: Sequence[RunConfig], group: str) -> Column:
    return Column(
        _HEADINGS.get(field, field),
        _texts(configs, field),
        group,
        number=type(getattr(configs[0], field)) is not str,
    )


def _texts(configs: Sequence[RunConfig], field: str) -> list[str]:
    """The values of a field for a table: long numbers are rounded if values that differ still do."""
    exact = [value_text(config, field) for config in configs]
    if not any(len(text) > _LONGEST for text in exact):
        return exact
    values = [getattr(config, field) for config in configs]
    short = [
        f"{value:.{_DIGITS}g}" if type(value) is float and len(text) > _LONGEST else text
        for value, text in zip(values, exact, strict=True)
    ]
    return short if len(set(short)) == len(set(exact)) else exact


def value_text(config: RunConfig, field: str) -> str:
    """A value of a config for people; :data:`UNREAD` if the run does not read the field."""
    value = getattr(config, field)
    if field == "dataset":
        return dataset_label(value)
    if field == "num_samples":
        return str(value) if value else UNREAD
    if field not in fields_read(config, "training") | fields_read(config, "evaluation"):
        return UNREAD
    return format_value(value)


def _seeds(variant: Sequence[PlannedRun]) -> str:
    seeds = [run.config.seed for run in variant]
    return str(seeds[0]) if len(seeds) == 1 else format_seeds(seeds)


def _table(columns: Sequence[Column]) -> Table:
    table = Table(title="runs")
    for column in columns:
        table.add_column(column.heading, justify="right" if column.number else "left", no_wrap=True)
    for row in list(zip(*(column.values for column in columns), strict=True))[:MAX_ROWS]:
        table.add_row(*map(Text, row))
    return table
