"""Write reports and tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.formats.text import value_text
from analysis.report.report import Report
from analysis.tables.elements.table import Table


def markdown(report: Report) -> str:
    """The report as one Markdown page."""
    said: set[str] = set()

    def sections(tables: Iterable[Table]) -> list[str]:
        return [section(table.without(said)) for table in tables]

    parts = [f"# {markdown_escape(report.title)}\n"]
    facts = [*(f"study {markdown_code(study)}" for study in report.studies)]
    facts += [markdown_escape(fact) for fact in report.facts]
    parts.append(bullets(facts))
    parts += [f"**{markdown_escape(remark)}.**\n" for remark in report.remarks]
    for finding in report.findings:
        parts.append(f"{markdown_escape(finding.text)}\n")
        below = [*finding.details, *finding.reasons]
        parts += [bullets(map(markdown_escape, below))] if below else []
    parts += [f"## {report.title2}\n", *sections(report.table2)]
    parts += [f"## {report.title3}\n", *sections(report.table3)] if report.table3 else []
    parts += ["## Published elsewhere\n", *sections(report.further)] if report.further else []
    parts += ["## Which numbers are bounds\n", bullets(map(markdown_escape, report.explanation))]
    if report.examples:
        parts += ["In numbers:\n", bullets(map(markdown_escape, report.examples))]
        said.update(report.said_above)
    parts += sections((*report.bounds, *report.spelled))
    compared = (*report.reproductions, *report.comparisons)
    parts += ["## Comparisons\n", *sections(compared)] if compared else []
    parts += ["## Use of the latent variable\n", *sections(report.latent)] if report.latent else []
    parts += ["## Cost\n", *sections(report.costs)] if report.costs else []
    if report.hyperparameters:
        parts += ["## Hyperparameters\n", *sections(report.hyperparameters)]
    if report.problems:
        parts += ["## Damaged files\n", bullets(map(markdown_code, report.problems))]
    if report.failures:
        named = (f"{markdown_code(run)}: {markdown_code(why)}" for run, why in report.failures)
        advice = (markdown_escape(f"{text[0].upper()}{text[1:]}.") for text in report.advice)
        parts += ["## Failed runs\n", *(f"{text}\n" for text in advice), bullets(named)]
    if report.missing:
        parts += ["## Missing\n", bullets(map(markdown_escape, report.missing))]
    return "\n".join(parts)


def section(table: Table) -> str:
    """A table with its title above and its notes below."""
    return f"### {markdown_escape(table.heading)}\n\n{markdown_table(table)}\n" + (
        bullets(map(markdown_escape, table.notes)) if table.notes else ""
    )


def bullets(items: Iterable[str]) -> str:
    """A list of items that are Markdown already."""
    return "".join(f"- {item}\n" for item in items)


def markdown_table(table: Table) -> str:
    """A GitHub table, with columns aligned in the source too."""
    head = ["", *(markdown_escape(f"{c.group} {c.name}".strip()) for c in table.columns)]
    rows = [
        [line.label.strip(), *(value_text(v, c) for v, c in zip(line.values, table.columns, strict=False))]
        for line in table.lines
    ]
    rows = [[markdown_escape(cell) for cell in row] for row in rows]
    for row, line in zip(rows, table.lines, strict=True):
        # A heading line has no values: fill its cells.
        row += [""] * (len(head) - len(row))
        if line.kind == "heading":
            row[0] = f"**{row[0]}**"
    # GitHub needs at least three dashes in the rule below the head.
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
    """Escape text so that Markdown shows it literally, also in a cell of a table."""
    for character in "\\|*`<[":
        text = text.replace(character, f"\\{character}")
    return text


def markdown_code(text: str) -> str:
    """Text as a code span, which Markdown shows literally."""
    return "`" + text.replace("`", "'") + "`"
