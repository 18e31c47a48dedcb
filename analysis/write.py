"""The files of a summary: tables as Markdown, LaTeX and CSV, and report.md."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from analysis.markdown import markdown, section
from analysis.records import ComparisonRecord, Record
from analysis.render import LATEX_HEADER, csv_text, latex_table
from analysis.report import Report
from analysis.values import Table
from lvae_core.storage.store import Store, open_store


def write(report: Report, out: str) -> str:
    """Write every table and report.md, each whole or not at all; returns the path of report.md.

    Raises:
        OSError: the place cannot be written.
    """
    # One after the other: those of a large study are large.
    write_files({"runs.csv": str(report.frame.to_csv(index=False, lineterminator="\n"))}, out)
    write_files(table_files("table2", Record, report.table2), out)
    write_files(table_files("table3", Record, report.table3), out)
    write_files(table_files("bounds", Record, report.bounds), out)
    compared = (*report.reproductions, *report.comparisons)
    write_files(table_files("comparisons", ComparisonRecord, compared), out)
    write_files({"report.md": markdown(report)}, out)
    return f"{out.rstrip('/')}/report.md"


def table_files(
    name: str, kind: type[Record | ComparisonRecord], tables: Sequence[Table]
) -> dict[str, str]:
    """Tables in three formats: file name -> content."""
    return {
        f"{name}.md": "\n".join(map(section, tables)),
        f"{name}.tex": "\n".join([LATEX_HEADER, *map(latex_table, tables)]),
        f"{name}.csv": csv_text(tables, kind),
    }


def remove_stale(names: Sequence[str], out: str, register: str) -> None:
    """Remove the files that an earlier summary wrote and this one, of ``names``, has not.

    ``register`` is a file in ``out`` that names them, each with its digest: one that has been changed since
    is the user's own and stays.
    """
    store = open_store(out)
    for name, digest in _registered(store, register).items():
        with contextlib.suppress(FileNotFoundError):
            if name not in names and _sha256(store.read(name)) == digest:
                store.delete(name)
    now = {name: _sha256(store.read(name)) for name in names}
    store.write(register, json.dumps(now, indent=1, sort_keys=True).encode())


def _registered(store: Store, register: str) -> dict[str, str]:
    try:
        files = json.loads(store.read(register))
    except (FileNotFoundError, ValueError):  # a damaged one says nothing, and nothing is removed
        return {}
    if not isinstance(files, dict):
        return {}
    # Whatever it says, nothing outside its own folder is touched.
    folder = register.rpartition("/")[0]
    return {f"{folder}/{PurePosixPath(name).name}": str(digest) for name, digest in files.items()}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_files(files: Mapping[str, str | bytes], out: str) -> None:
    """Write each whole or not at all; an OSError says that the place cannot be written."""
    store = open_store(out)
    for name, content in files.items():
        store.write(name, content.encode() if isinstance(content, str) else content)
