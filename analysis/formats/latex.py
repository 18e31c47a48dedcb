"""Tables as LaTeX floats (booktabs), ready to be pasted: caption, label, and the best number in bold.

A table that does not fit the page of an article is set in small type, and if need be in several floats.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Literal

from analysis.formats.latex_parts import NOTES, broken, parts_of
from analysis.formats.text import value_text
from analysis.stats.average import Average
from analysis.stats.cells import Counts
from analysis.stats.intervals import Interval
from analysis.tables.elements.best import NONE, RULE
from analysis.tables.elements.table import Column, Difference, Line, Table, Value

Style = Literal["plain", "siunitx"]
"""How numbers are set: as text, or in ``S`` columns of siunitx, aligned at the decimal point."""

_HEADERS: dict[Style, str] = {
    "plain": "% Needs \\usepackage{booktabs,graphicx}; each table below is independent.\n",
    "siunitx": (
        "% Needs \\usepackage{booktabs,graphicx,siunitx} and, for plus signs, errors and bold numbers,\n"
        "% \\sisetup{retain-explicit-plus, separate-uncertainty, retain-zero-uncertainty,\n"
        "%   detect-weight, mode=text}\n"
        "% Each table below is independent.\n"
    ),
}

_PLACES = (
    "% They fit the page of an article in one column; in two columns, write table* in place of table.\n"
    "% A long table is divided into several floats, which belong together.\n"
)

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
    "§": r"$^\S$",
    "×": r"$\times$",
    "β": r"$\beta$",
    "…": r"\ldots{}",
}

_NUMBER = re.compile(r"\(?([+-]?\d+(?:\.\d+)?)(?:±(\d+(?:\.\d+)?))?\)?([†‡§]*)")
"""A number as tables print it: perhaps in parentheses, with a standard deviation, with marks."""


def latex_header(style: Style = "plain") -> str:
    """The comment above a file of tables: which packages they need, and where they fit."""
    return _HEADERS[style] + _PLACES


def latex_labels(tables: Sequence[Table], name: str) -> list[str]:
    """The label of each table of the file ``name``, without ``tab:``; no two are equal.

    Tables of several files may have one title, of which only the part before the colon is short enough for
    a label: then the file's name tells them apart, as in ``corp-table2``. A published number does, too.
    """
    labels: list[str] = []
    for table in tables:
        slug = _slug(table.heading)
        label = slug if table.number or slug.startswith(f"{name}-") else f"{slug}-{name}".lstrip("-")
        copies = (f"{label}-{copy}" for copy in itertools.count(2))
        labels.append(label if label not in labels else next(c for c in copies if c not in labels))
    return labels


def latex_table(table: Table, *, best: Sequence[Average] | None, style: Style, label: str) -> str:
    r"""The ``table`` floats of a table, with captions, labels, and a ``tabular`` with booktabs rules.

    Args:
        table: the table; the notes that explain its marks are printed below it, the others become comments
            above, as does its number, because LaTeX counts tables itself.
        best: the averages to set in bold, compared by identity; None: the caption does not speak of them.
        style: how numbers are set.
        label: the label, without ``tab:``; see :func:`latex_labels`. Further floats have it with
            ``-part2``, ….
    """
    remarks = [note for note in table.notes if note not in table.marks]
    comments = [f"% {line}" for line in (table.heading, *remarks)]
    caption = latex_escape(table.title) + "."
    bold = set(map(id, best or ()))
    if best is not None:
        held = any(id(value) in bold for line in table.lines for value in line.values)
        caption += f" {latex_escape(RULE if held else NONE)}."
    notes = [f"{note.rstrip('.')}." for note in table.marks]
    parts = parts_of(table, notes)
    of_all = len(parts.floats)
    written = ["\n".join(comments)] if comments else []
    for number, tabulars in enumerate(parts.floats, start=1):
        is_last = number == of_all
        suffix = f"-part{number}" if number > 1 else ""
        lines = [
            r"\begin{table}[tbp]",
            r"\centering",
            rf"\caption{{{caption if number == 1 else _continued(table, number, of_all)}}}",
            rf"\label{{tab:{label}{suffix}}}",
            rf"{parts.size.command}\setlength{{\tabcolsep}}{{{parts.size.columns_apart}pt}}",
        ]
        for below, tabular in enumerate(tabulars):
            lines += [r"\par\smallskip"] if below else []
            lines += _tabular(tabular, bold, style, parts.narrow)
        if is_last and notes and not parts.notes_apart:
            opening = rf"\begin{{minipage}}{{\linewidth}}{NOTES.command}\raggedright"
            lines += ["", r"\smallskip", opening, *map(latex_escape, notes), r"\end{minipage}"]
        written.append("\n".join([*lines, r"\end{table}"]))
    if parts.notes_apart:
        # A float with all of them would be higher than a page.
        opening = rf"{{{NOTES.command}\raggedright\noindent Notes on Table~\ref{{tab:{label}}}:"
        written.append("\n".join([opening, *map(latex_escape, notes), r"\par}"]))
    return "\n".join(written) + "\n"


def _continued(table: Table, number: int, of_all: int) -> str:
    return f"{latex_escape(table.title)}, part {number} of {of_all}."


def _tabular(table: Table, bold: set[int], style: Style, narrow: bool) -> list[str]:
    alignment = "l" + "".join(_alignment(table, place, style) for place in range(len(table.columns)))
    lines = [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", *_latex_groups(table)]
    heads = [latex_escape(column.name) for column in table.columns]
    if style == "siunitx":
        heads = [f"{{{head}}}" for head in heads]  # text in an S column needs braces
    lines += [" & ".join(["", *heads]) + r" \\", r"\midrule"]
    for position, line in enumerate(table.lines):
        if line.kind == "heading":
            lines += [r"\addlinespace"] if position else []
            width = len(table.columns) + 1  # the label has a column too
            lines.append(rf"\multicolumn{{{width}}}{{l}}{{\textit{{{latex_escape(line.label)}}}}} \\")
            continue
        cells = _latex_cells(line, table.columns, bold, style, narrow)
        indent = r"\quad " if line.label.startswith(" ") else ""
        label = latex_escape(line.label.strip())
        # The command before a row, \\ or \midrule, would take these as its argument.
        guard = "{}" if not indent and label.startswith(("[", "*")) else ""
        lines.append(" & ".join([guard + indent + label, *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if narrow or style == "siunitx":
        # Its width is an estimate, from plain text; where there is room, nothing is scaled.
        lines[0] = rf"\resizebox{{\ifdim\width>\linewidth\linewidth\else\width\fi}}{{!}}{{{lines[0]}"
        lines[-1] += "}"
    return lines


def _latex_cells(
    line: Line, columns: Sequence[Column], bold: set[int], style: Style, narrow: bool
) -> list[str]:
    cells: list[str] = []
    values = list(zip(line.values, columns, strict=False))
    while values:
        value, column = values.pop(0)
        text = _number(value, column) if style == "siunitx" and not column.text else None
        if text is not None:
            cells.append(rf"\bfseries {text}" if id(value) in bold else text)
            continue
        text = latex_escape(value_text(value, column))
        if narrow and column.text and len(rows := broken(value_text(value, column))) > 1:
            inner = r" \\ ".join(map(latex_escape, rows))
            text = rf"\begin{{tabular}}[t]{{@{{}}l@{{}}}}{inner}\end{{tabular}}"
        if isinstance(value, Difference | Interval):
            text = f"${value_text(value, column)}$"
        if id(value) in bold:
            text = rf"\textbf{{{text}}}"
        if isinstance(value, Counts) and value.total:
            # Words are wider than numbers: let them span the empty columns next to them.
            width = 1
            while values and values[0][0] is None and values[0][1].group == column.group:
                values.pop(0)
                width += 1
            text = rf"\multicolumn{{{width}}}{{r}}{{{text}}}"
        elif style == "siunitx" and text and not column.text:
            text = f"{{{text}}}"
        cells.append(text)
    return cells


def _number(value: Value, column: Column) -> str | None:
    """A value as an S column reads it; None if it is not a number."""
    match = _NUMBER.fullmatch(value_text(value, column))
    if match is None or isinstance(value, Counts):
        return None
    mean, std, marks = match.groups()
    # siunitx takes parentheses for an uncertainty; the column's heading has them.
    text = mean + (rf" \pm {std}" if std else "")
    return text + (f" {{{latex_escape(marks)}}}" if marks else "")


def _alignment(table: Table, place: int, style: Style) -> str:
    """The column's letter; of an S column with room for its widest number."""
    column = table.columns[place]
    if column.text:
        return "l"
    found = [
        match.groups()
        for line in table.lines
        for value in line.values[place : place + 1]
        if (match := _NUMBER.fullmatch(value_text(value, column)))
    ]
    if style == "plain" or not found:
        return "r"
    sign = "+" if any(mean[0] in "+-" for mean, _, _ in found) else ""
    whole = max(len(mean.lstrip("+-").partition(".")[0]) for mean, _, _ in found)
    decimals = max(len(mean.partition(".")[2]) for mean, _, _ in found)
    errors = [float(std) for _, std, _ in found if std]
    digits = max((len(str(max(1, math.ceil(error * 10**decimals)))) for error in errors), default=0)
    width = f"table-format={sign}{whole}.{decimals}{f'({digits})' if digits else ''}"
    marks = max((marks for _, _, marks in found if marks), key=len, default="")
    return f"S[{width}{f', table-space-text-post={{{latex_escape(marks)}}}' if marks else ''}]"


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.partition(":")[0].lower()).strip("-")


def _latex_groups(table: Table) -> list[str]:
    if not table.groups:
        return []
    heads, rules, first = [], [], 2  # column 1 is the label
    for group, width in table.groups:
        heads.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_escape(group)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    return [" & ".join(["", *heads]) + r" \\", " ".join(rules)]


def latex_escape(text: str) -> str:
    """Escape text so that LaTeX typesets it literally."""
    # LaTeX joins adjacent dashes to a longer one, as in --set.
    parts = re.split(r"(?<=[-–])(?=[-–])", text)
    escaped = "{}".join("".join(_LATEX_SPECIAL.get(c, c) for c in part) for part in parts)
    return escaped.replace("-log p(x)", r"$-\log p(x)$")
