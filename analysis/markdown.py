"""The report as one Markdown page."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.bounds import EXPLANATION
from analysis.render import markdown_code, markdown_escape, markdown_table
from analysis.report import RETRY, Report
from analysis.values import Table


def markdown(report: Report) -> str:
    """The report as one Markdown page."""
    parts = ["# Results beside the published numbers\n"]
    facts = [*(f"study {markdown_code(study)}" for study in report.studies)]
    facts += [markdown_escape(fact) for fact in report.facts]
    parts.append(bullets(facts))
    parts += ["## Table 2\n", *map(section, report.table2)]
    parts += ["## Table 3\n", *map(section, report.table3)] if report.table3 else []
    parts += ["## Which numbers are bounds\n", bullets(map(markdown_escape, EXPLANATION))]
    if report.examples:
        parts += ["In numbers:\n", bullets(map(markdown_escape, report.examples))]
    parts += map(section, report.bounds)
    compared = (*report.reproductions, *report.comparisons)
    parts += ["## Comparisons\n", *map(section, compared)] if compared else []
    parts += ["## Cost\n", *map(section, report.costs)] if report.costs else []
    if report.problems:
        parts += ["## Damaged files\n", bullets(map(markdown_code, report.problems))]
    if report.failures:
        named = (f"{markdown_code(run)}: {markdown_code(why)}" for run, why in report.failures)
        parts += [f"## Failed runs\n\n{RETRY}:\n", bullets(named)]
    if report.missing:
        parts += ["## Missing\n", bullets(map(markdown_escape, report.missing))]
    return "\n".join(parts)


def section(table: Table) -> str:
    """A table under its title, its notes below."""
    return f"### {markdown_escape(table.title)}\n\n{markdown_table(table)}\n" + (
        bullets(map(markdown_escape, table.notes)) if table.notes else ""
    )


def bullets(items: Iterable[str]) -> str:
    """A list; its items are Markdown already."""
    return "".join(f"- {item}\n" for item in items)
