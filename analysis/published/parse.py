"""Read published numbers from a CSV file and check every field; docs/published.md describes its columns."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

from analysis.published.facts import Doubt, Fact
from lvae_core.errors import InputError, reason

REQUIRED = ("dataset", "source", "system", "setting", "metric", "mean")
OPTIONAL = (
    "table", "num_samples", "std", "cited_as", "read_in", "our_system", "beside", "runs", "sentences",
    "tokens", "bound", "defined", "note",
)  # fmt: skip
"""Columns that a file may leave out; a field may be empty in any of them."""

METRICS: Mapping[str, tuple[str, ...]] = {
    "2": ("nll", "kl", "ppl"),
    "3": ("nll", "nll_iw"),
    "": ("nll", "nll_iw", "kl", "ppl", "mi", "au"),
}
"""Table -> the metrics that it shows, in the order of its columns."""


def read_facts(path: str | Path) -> tuple[Fact, ...]:
    """Read the facts of a file, in its order.

    Raises:
        InputError: the file cannot be read, or a line of it is no fact. The message names file and line.
    """
    try:
        # Spreadsheets write a byte order mark.
        with open(path, encoding="utf-8-sig", newline="") as file:
            return parse(file, str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}); give a CSV file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8; save it as a CSV file in UTF-8") from None


def parse(lines: Iterable[str], name: str) -> tuple[Fact, ...]:
    """Parse facts from CSV ``lines``.

    Raises:
        InputError: a line is no fact, or repeats one. The message begins with ``name`` and the line.
    """
    reader = csv.DictReader(lines, strict=True)
    facts: list[Fact] = []
    known: dict[tuple[object, ...], int] = {}
    try:
        _check_columns(reader.fieldnames or (), name)
        for row in reader:
            where = f"{name}:{reader.line_num}"
            if None in row or None in row.values():
                raise InputError(
                    f"{where}: has not {len(reader.fieldnames or ())} fields; write one per column, and "
                    "quotes around text with a comma"
                )
            try:
                fact = _fact(row)
            except InputError as error:
                raise InputError(f"{where}: {error}") from None
            first = known.setdefault(identity(fact), reader.line_num)
            if first != reader.line_num:
                raise InputError(f"{where}: repeats the number of line {first}; remove one of them")
            facts.append(fact)
    except csv.Error as error:
        raise InputError(f"{name}:{reader.line_num}: is not CSV ({error}); check its quotes") from None
    return tuple(facts)


def identity(fact: Fact) -> tuple[object, ...]:
    """The key that identifies a fact: everything but its value and remarks."""
    return (
        fact.table, fact.dataset, fact.source, fact.name, fact.num_samples, fact.setting, fact.metric,
    )  # fmt: skip


def _check_columns(found: Iterable[str], name: str) -> None:
    names = list(found)
    if missing := [column for column in REQUIRED if column not in names]:
        raise InputError(
            f"{name}:1: has no column {', '.join(missing)}; the first line names the columns, with commas "
            f"between them: {', '.join((*REQUIRED, *OPTIONAL))}"
        )
    if unknown := [column for column in names if column not in (*REQUIRED, *OPTIONAL)]:
        raise InputError(
            f"{name}:1: unknown column {unknown[0]!r}; the optional ones are {', '.join(OPTIONAL)}"
        )
    if len(set(names)) < len(names):
        raise InputError(f"{name}:1: names a column twice; remove one of them")


def _fact(found: Mapping[str, str]) -> Fact:
    row = {column: found.get(column, "").strip() for column in (*REQUIRED, *OPTIONAL)}
    for column, text in row.items():
        if not text.isprintable():
            raise InputError(f"{column}: has a line break or control character; remove it")
    for column in REQUIRED:
        if not row[column]:
            raise InputError(f"{column}: is empty; every number needs one")
    if not re.fullmatch(r"([23][a-z]?)?", row["table"]):
        raise InputError(f"table {row['table']!r}: must be 2 or 3 with an optional letter, or empty")
    _one_of(row, "setting", ("standard", "inputless"))
    _check_metric(row)
    if row["table"].startswith("3") and row["setting"] != "standard":
        raise InputError("setting: Table 3 has the standard setting alone; leave table empty")
    for column in ("beside", "defined"):
        _one_of(row, column, ("", "yes", "no"))
    bound = next(doubt for doubt in get_args(Doubt) if doubt == _one_of(row, "bound", get_args(Doubt)))
    if row["beside"] == "yes" and not row["table"]:
        raise InputError("beside: our numbers stand in Tables 2 and 3 only; fill in table")
    sentences, tokens = _count(row, "sentences", 1), _count(row, "tokens", 1)
    if (sentences is None) != (tokens is None):
        raise InputError("sentences and tokens: give both counts of the test split, or neither")
    mean, std = _number(row, "mean"), _number(row, "std") if row["std"] else None
    if std is not None and std < 0:
        raise InputError(f"std {row['std']!r}: must not be negative")
    if row["metric"] in ("nll", "nll_iw") and mean <= 0:
        raise InputError(f"mean {row['mean']!r}: an NLL is greater than 0")
    if row["metric"] == "ppl" and mean <= 1:
        raise InputError(f"mean {row['mean']!r}: a perplexity is greater than 1")
    return Fact(
        table=row["table"],
        dataset=row["dataset"],
        source=row["source"],
        system=row["our_system"] or row["system"].lower(),
        name=row["system"],
        num_samples=_count(row, "num_samples", 1) or 0,
        setting=row["setting"],
        metric=row["metric"],
        mean=mean,
        std=std,
        decimals=_decimals(row["mean"]),
        std_decimals=_decimals(row["std"]),
        runs=_count(row, "runs", 2),
        cited_as=row["cited_as"],
        read_in=row["read_in"],
        beside=row["beside"] == "yes",
        test_split=(sentences, tokens) if sentences and tokens else None,
        bound=bound,
        defined=row["defined"] != "no",
        note=row["note"],
    )


def _check_metric(row: Mapping[str, str]) -> None:
    """Check that the table of a row has its metric; if not, name the table that has it."""
    metric = _one_of(row, "metric", METRICS[""])
    table = row["table"][:1]
    if metric in METRICS[table]:
        return
    # Table 3 has the standard setting alone.
    others = [name for name in ("2", "3") if metric in METRICS[name]]
    if row["setting"] != "standard":
        others = [name for name in others if name != "3"]
    empty = "leave table and beside empty" if row["beside"] == "yes" else "leave table empty"
    remedy = " or ".join([*(f"give table {name}" for name in others), empty])
    raise InputError(f"metric {metric!r}: table {table} has {', '.join(METRICS[table])}; {remedy}")


def _one_of(row: Mapping[str, str], column: str, valid: Iterable[str]) -> str:
    names = tuple(valid)
    if row[column] not in names:
        listed = ", ".join(name or "(empty)" for name in names)
        raise InputError(f"unknown {column} {row[column]!r}; choose from {listed}")
    return row[column]


def _number(row: Mapping[str, str], column: str) -> float:
    # Digits only: 1e3, 1_000 or nan would not be printed as they are written.
    if not re.fullmatch(r"-?\d+(\.\d+)?", row[column], re.ASCII):
        raise InputError(f"{column} {row[column]!r}: is not a number such as 97.3")
    value = float(row[column])
    if not math.isfinite(value):
        raise InputError(f"{column} {row[column]!r}: is too large")
    return value


def _decimals(text: str) -> int:
    """The number of digits after the point, as printed: 100.0 has one, 100 has none."""
    return len(text.partition(".")[2])


def _count(row: Mapping[str, str], column: str, least: int) -> int | None:
    text = row[column]
    if not text:
        return None
    if not re.fullmatch(r"\d{1,15}", text, re.ASCII) or int(text) < least:
        raise InputError(f"{column} {text!r}: must be a whole number of at least {least}, or empty")
    return int(text)
