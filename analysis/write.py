"""The files of a summary: tables as Markdown, LaTeX and CSV, and report.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.markdown import markdown, section
from analysis.records import ComparisonRecord, Record
from analysis.render import LATEX_HEADER, csv_text, latex_table
from analysis.report import Report
from analysis.values import Table
from lvae_core.record import open_store


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


def write_files(files: Mapping[str, str | bytes], out: str) -> None:
    """Write each whole or not at all; an OSError says that the place cannot be written."""
    store = open_store(out)
    for name, content in files.items():
        store.write(name, content.encode() if isinstance(content, str) else content)
