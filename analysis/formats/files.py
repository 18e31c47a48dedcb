"""Write tables as Markdown, LaTeX and CSV files, and remove the files of an earlier summary."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from analysis.formats.latex import Style, latex_header, latex_labels, latex_table
from analysis.formats.markdown import section
from analysis.stats.average import Average
from analysis.tables.elements.csv_rows import csv_frame, without_formulas
from analysis.tables.elements.table import Table
from lvae_core.storage.store import Store, open_store

_ROWS_AT_ONCE = 2_000
"""Rows of a CSV file that are held as Python objects at once."""


def write_files(files: Mapping[str, str | bytes], out: str) -> None:
    """Write each file atomically; ``files``: path in ``out`` -> content.

    Raises:
        OSError: ``out`` cannot be written.
    """
    store = open_store(out)
    for name, content in files.items():
        store.write(name, content.encode() if isinstance(content, str) else content)


def replace_files(parts: Iterable[Mapping[str, str | bytes]], out: str, register: str) -> None:
    """Write some files of a summary, and remove those that an earlier one had in their place.

    ``parts`` are written one after the other, because the files of a large study are large; ``register``:
    see :func:`remove_stale`.

    Raises:
        OSError: ``out`` cannot be written.
    """
    names: list[str] = []
    for files in parts:
        write_files(files, out)
        names += files
    remove_stale(names, out, register)


def table_files(
    name: str,
    columns: Sequence[str],
    tables: Sequence[Table],
    *,
    best: Callable[[Table], Sequence[Average] | None],
    latex: Style,
) -> dict[str, str]:
    """Tables in three formats: file name -> content.

    Args:
        name: the files' name, without suffix.
        columns: the columns of the CSV file; if there are none, none is made.
        tables: the tables; without any, no file is made.
        best: gives the averages that LaTeX sets in bold in a table; None: it is not about what is best.
        latex: how LaTeX sets numbers.
    """
    if not tables:
        return {}
    labels = latex_labels(tables, name)
    floats = (
        latex_table(table, best=best(table), style=latex, label=label)
        for table, label in zip(tables, labels, strict=True)
    )
    files = {
        f"{name}.md": "\n".join(map(section, tables)),
        f"{name}.tex": "\n".join([latex_header(latex), *floats]),
    }
    return files | ({f"{name}.csv": csv_text(tables, columns)} if columns else {})


def no_bold(table: Table) -> None:
    """No averages: a table that is not about what is best."""


def csv_text(tables: Sequence[Table], columns: Sequence[str]) -> str:
    """The rows of all tables as one CSV file: all digits, an empty field for a missing number."""
    return "".join(_csv_parts(tables, columns))


def _csv_parts(tables: Sequence[Table], columns: Sequence[str]) -> Iterator[str]:
    rows = (row for table in tables for row in table.csv_rows())
    yield csv_frame([], columns).to_csv(index=False, lineterminator="\n")
    while part := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        yield without_formulas(csv_frame(part, columns)).to_csv(
            index=False, header=False, lineterminator="\n"
        )


def remove_stale(names: Sequence[str], out: str, register: str) -> None:
    """Remove the files of an earlier summary that are not among ``names``, those of this one.

    ``register`` is a file in ``out`` that lists the files of the last summary, each with its digest. A file
    that has changed since is the user's and stays.
    """
    store = open_store(out)
    for name, digest in _registered(store, register).items():
        with contextlib.suppress(FileNotFoundError):
            if name not in names and _sha256(store.read(name)) == digest:
                store.delete(name)
    written = {name: _sha256(store.read(name)) for name in names}
    store.write(register, json.dumps(written, indent=1, sort_keys=True).encode())


def earlier_files(out: str, register: str) -> list[str]:
    """The files that an earlier summary listed in its register; see :func:`remove_stale`."""
    return list(_registered(open_store(out), register))


def _registered(store: Store, register: str) -> dict[str, str]:
    try:
        files = json.loads(store.read(register))
    except (FileNotFoundError, ValueError):  # without a valid register nothing is removed
        return {}
    if not isinstance(files, dict):
        return {}
    # Only files in the register's own folder are touched, even if someone has edited it.
    folder = "".join(register.rpartition("/")[:2])
    return {f"{folder}{PurePosixPath(name).name}": str(digest) for name, digest in files.items()}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
