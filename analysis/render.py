"""Table values -> text: one grid of strings a table, drawn for the terminal, Markdown and LaTeX; and CSV.

Numbers look as in the paper: NLL, KL and PPL with one decimal, mean±std, KL in parentheses, differences
with their sign. Published numbers keep the digits they were printed with.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Sequence

import rich.box
import rich.table
from rich.console import Console
from rich.measure import Measurement
from rich.text import Text

from analysis.cells import Counts
from analysis.intervals import Interval
from analysis.published import Derived, Fact
from analysis.records import ComparisonRecord, Record
from analysis.values import Column, Difference, Line, Table, Value

LATEX_HEADER = "% Needs \\usepackage{booktabs}; each tabular below stands alone.\n"

_STYLES = {"heading": "bold", "published": "dim", "ours": "", "difference": "cyan"}

_LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "–": "--",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "×": r"$\times$",
}


def value_text(value: Value, column: Column) -> str:
    """A value as every format shows it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Counts):
        return status_text(value)
    if isinstance(value, Interval):
        return f"[{_signed(value.low, column.decimals)}, {_signed(value.high, column.decimals)}]"
    if isinstance(value, Difference):
        text = _signed(value.value, column.decimals)
    elif isinstance(value, Derived):
        text = f"{value.mean:.1f}†"
    else:
        decimals = value.decimals if isinstance(value, Fact) else column.decimals
        text = f"{value.mean:.{decimals}f}"
        if value.std is not None:
            text += f"±{value.std:.{decimals}f}"
    return f"({text})" if column.parenthesised else text


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+.{decimals}f}"
    # What rounds to nothing has no sign to show.
    return text if text.strip("+-0.") else text[1:]


def status_text(counts: Counts) -> str:
    """What is there in place of a number: ``failed (2 of 5)``, or ``–`` where no run is."""
    there = [
        f"{status} ({number} of {counts.total})"
        for status, number in dataclasses.asdict(counts).items()
        if number and status != "done"
    ]
    return ", ".join(there) or "–"


def print_table(console: Console, table: Table) -> None:
    """Draw a table, without its title, for 100 columns; it says as much without colour.

    One that needs more than the window has gets more: a line that the terminal breaks can be read, half a
    number cannot.
    """
    drawn = _rich_table(table)
    window = console.width
    console.width = max(
        window, Measurement.get(console, console.options.update(width=10_000), drawn).minimum
    )
    console.print(drawn)
    console.width = window


def _rich_table(table: Table) -> rich.table.Table:
    drawn = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    headings = ["", *_rich_headings(table)]
    grid = [[_broken(line.label), *_narrow(line, table.columns)] for line in table.lines]
    text = [True, *(column.text for column in table.columns)]
    for position, (heading, is_text) in enumerate(zip(headings, text, strict=True)):
        cells = [Text(heading), *(Text(row[position]) for row in grid if position < len(row))]
        width = max(part.cell_len for cell in cells for part in cell.split(allow_blank=True))
        drawn.add_column(cells[0], justify="left" if is_text else "right", min_width=width)
    for line, following, row in zip(table.lines, [*table.lines[1:], None], grid, strict=True):
        ends = following is not None and following.kind == "heading"
        drawn.add_row(*map(Text, row), style=_STYLES[line.kind], end_section=ends)
    return drawn


def _broken(label: str) -> str:
    """A label with each field of its variant on a line of its own: columns are dear."""
    return re.sub(r", (?=\w+=)", ",\n    ", label)


def _narrow(line: Line, columns: Sequence[Column]) -> list[str]:
    texts = (value_text(v, c) for v, c in zip(line.values, columns, strict=False))
    return [
        text.replace(", ", "\n").replace(" (", "\n(") if isinstance(value, Counts) else text
        for text, value in zip(texts, line.values, strict=True)
    ]


def _rich_headings(table: Table) -> list[str]:
    grouped = any(column.group for column in table.columns)
    headings, previous = [], None
    for column in table.columns:
        group = column.group if column.group != previous else ""
        headings.append(f"{group}\n{column.name}" if grouped else column.name)
        previous = column.group
    return headings


def markdown_table(table: Table) -> str:
    """A GitHub table, its columns aligned in the source as well."""
    head = ["", *(f"{c.group} {c.name}".strip() for c in table.columns)]
    rows = [
        [line.label.strip(), *(value_text(v, c) for v, c in zip(line.values, table.columns, strict=False))]
        for line in table.lines
    ]
    for row, line in zip(rows, table.lines, strict=True):
        row += [""] * (len(head) - len(row))
        if line.kind == "heading":
            row[0] = f"**{row[0]}**"
        else:
            row[:] = [markdown_escape(cell) for cell in row]
    widths = [max(3, *(len(row[i]) for row in [head, *rows])) for i in range(len(head))]
    left = [True, *(column.text for column in table.columns)]
    rule = [
        "-" * width if is_left else "-" * (width - 1) + ":"
        for width, is_left in zip(widths, left, strict=True)
    ]
    lines = [
        "| "
        + " | ".join(
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(row, widths, left, strict=True)
        )
        + " |"
        for row in [head, rule, *rows]
    ]
    return "\n".join(lines) + "\n"


def markdown_escape(text: str) -> str:
    """Text that Markdown shows as it is, in a table's cell as well."""
    for character in "\\|*`<[":
        text = text.replace(character, f"\\{character}")
    return text


def markdown_code(text: str) -> str:
    """Text as a code span: what is in it is shown as it is."""
    return "`" + text.replace("`", "'") + "`"


def latex_table(table: Table) -> str:
    r"""A ``tabular`` with booktabs rules, under a comment that says what it shows."""
    alignment = "l" + "".join("l" if column.text else "r" for column in table.columns)
    comments = [f"% {line}" for line in (table.title, *table.notes)]
    lines = [*comments, rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", *_latex_groups(table)]
    lines += [_latex_row(["", *(column.name for column in table.columns)]), r"\midrule"]
    for position, line in enumerate(table.lines):
        if line.kind == "heading":
            lines += [r"\addlinespace"] if position else []
            width = len(table.columns) + 1
            lines.append(rf"\multicolumn{{{width}}}{{l}}{{\textit{{{latex_escape(line.label)}}}}} \\")
            continue
        cells = _latex_cells(line, table.columns)
        indent = r"\quad " if line.label.startswith(" ") else ""
        lines.append(" & ".join([indent + latex_escape(line.label.strip()), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_cells(line: Line, columns: Sequence[Column]) -> list[str]:
    cells: list[str] = []
    values = list(zip(line.values, columns, strict=False))
    while values:
        value, column = values.pop(0)
        text = latex_escape(value_text(value, column))
        if isinstance(value, Difference | Interval):
            text = f"${value_text(value, column)}$"
        if isinstance(value, Counts) and value.total:
            # Words are wider than numbers: they may spread over the empty columns beside them.
            width = 1
            while values and values[0][0] is None and values[0][1].group == column.group:
                values.pop(0)
                width += 1
            text = rf"\multicolumn{{{width}}}{{r}}{{{text}}}"
        cells.append(text)
    return cells


def _latex_groups(table: Table) -> list[str]:
    spans: list[tuple[str, int]] = []
    for column in table.columns:
        if spans and spans[-1][0] == column.group:
            spans[-1] = (column.group, spans[-1][1] + 1)
        else:
            spans.append((column.group, 1))
    if not any(group for group, _ in spans):
        return []
    heads, rules, first = [], [], 2
    for group, width in spans:
        heads.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_escape(group)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    return [" & ".join(["", *heads]) + r" \\", " ".join(rules)]


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(latex_escape(cell) for cell in cells) + r" \\"


def latex_escape(text: str) -> str:
    """Text that LaTeX typesets as it is."""
    escaped = "".join(_LATEX_SPECIAL.get(character, character) for character in text)
    return escaped.replace("-log p(x)", r"$-\log p(x)$")


def csv_text(tables: Sequence[Table], kind: type[Record | ComparisonRecord] = Record) -> str:
    """The records of tables, all of one kind: all digits, empty where there is no number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(kind))
    for table in tables:
        writer.writerows(vars(record).values() for record in table.records)
    return text.getvalue()
