"""Tables as LaTeX (booktabs)."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.formats.text import value_text
from analysis.stats.cells import Counts
from analysis.stats.intervals import Interval
from analysis.tables.table import Column, Difference, Line, Table

LATEX_HEADER = "% Needs \\usepackage{booktabs}; each tabular below is independent.\n"


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


def latex_table(table: Table) -> str:
    r"""A ``tabular`` with booktabs rules, after a comment with its title and notes."""
    alignment = "l" + "".join("l" if column.text else "r" for column in table.columns)
    comments = [f"% {line}" for line in (table.title, *table.notes)]
    lines = [*comments, rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", *_latex_groups(table)]
    lines += [_latex_row(["", *(column.name for column in table.columns)]), r"\midrule"]
    for position, line in enumerate(table.lines):
        if line.kind == "heading":
            lines += [r"\addlinespace"] if position else []
            width = len(table.columns) + 1  # the label has a column too
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
            # Words are wider than numbers: let them span the empty columns next to them.
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
    heads, rules, first = [], [], 2  # column 1 is the label
    for group, width in spans:
        heads.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_escape(group)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    return [" & ".join(["", *heads]) + r" \\", " ".join(rules)]


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(latex_escape(cell) for cell in cells) + r" \\"


def latex_escape(text: str) -> str:
    """Escape text so that LaTeX typesets it literally."""
    escaped = "".join(_LATEX_SPECIAL.get(character, character) for character in text)
    return escaped.replace("-log p(x)", r"$-\log p(x)$")
