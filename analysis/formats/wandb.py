"""Write the W&B report: our tables as text, and W&B's own panels with runs grouped by cell.

The numbers in the tables come from the run folders, as in every other report; W&B only draws the panels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # about the library's own use of pydantic
    import wandb_workspaces.reports.v2 as wr

from analysis.formats.markdown import markdown_escape, markdown_table
from analysis.report.report import Report
from analysis.tables.elements.csv_rows import CELL_COLUMNS, Row, csv_frame
from analysis.tables.elements.table import Table, dataset_title, row_label
from lvae_core.run_folder.names import CellName

DESCRIPTION = "Written from the run folders by analysis/wandb_report.py, which replaces it on each call."

_HEAD = (
    "system",
    "setting",
    "number",
    "n",
    "mean ± std",
    "95% interval",
    "published",
    "difference",
    "verdict",
)

_CURVES = (
    ("validation perplexity", "valid_ppl"),
    ("validation KL, nats per sentence", "valid_kl"),
    ("training loss, nats per sentence", "train_loss"),
    ("learning rate", "learning_rate"),
)

_BARS = (
    ("test perplexity (ELBO, the published convention)", "test/ppl_elbo"),
    ("test perplexity (language model, exact)", "test/ppl"),
    ("test NLL, importance-weighted", "test/nll_iw"),
)


@dataclass(frozen=True)
class Place:
    """A W&B project."""

    entity: str
    project: str


def write(report: Report, place: Place, title: str, url: str | None) -> str:
    """Write the W&B report; returns its URL.

    Args:
        report: the content.
        place: the project.
        title: the report's title.
        url: URL of the report to replace; None: write a new one.
    """
    # Replacing the blocks of an existing report keeps what readers have added, such as comments.
    whole = (
        wr.Report.from_url(url)
        if url
        else wr.Report(project=place.project, entity=place.entity, title=title)
    )
    whole.description, whole.width = DESCRIPTION, "fluid"
    whole.blocks = blocks_of(report, place)
    return str(whole.save().url)


def blocks_of(report: Report, place: Place) -> list[Any]:
    """The blocks of the W&B report, in order."""
    blocks: list[Any] = [
        wr.H1("What was run"),
        wr.MarkdownBlock(
            "".join(f"- {markdown_escape(fact)}\n" for fact in (*report.remarks, *report.facts))
        ),
    ]
    for dataset, cells in _cells(report).items():
        blocks += [wr.H1(f"{dataset_title(dataset)}: runs by cell"), _panels(place, report, cells)]
    for heading, tables in (
        (
            "Comparison with the published numbers" if report.has_published else "Results",
            (*report.table2, *report.table3, *report.further),
        ),
        ("Which numbers are bounds", report.bounds),
    ):
        blocks.append(wr.H1(heading))
        for table in tables:
            blocks += [wr.H2(table.heading), wr.MarkdownBlock(_table_text(table))]
    blocks.append(wr.MarkdownBlock("\n\n".join(markdown_escape(text) for text in report.explanation)))
    blocks.append(wr.H1("Every number with its interval"))
    for table in (*report.table2, *report.table3):
        blocks += [wr.H2(table.heading), wr.MarkdownBlock(rows_table(table.csv_rows()))]
    if report.failures:
        failed = "".join(f"- {markdown_escape(f'{run}: {why}')}\n" for run, why in report.failures)
        blocks += [wr.H1("Failed runs"), wr.MarkdownBlock(failed)]
    return blocks


def rows_table(rows: Iterable[Row]) -> str:
    """Our numbers as a Markdown table: mean ± std, n, t interval, published number and difference."""
    frame = csv_frame((row for row in rows if row["n"]), CELL_COLUMNS)
    lines = [_HEAD, ("---",) * len(_HEAD), *map(_texts, frame.itertuples())]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _texts(row: Any) -> tuple[str, ...]:
    texts = (
        row_label(row.system, row.num_samples) + (f", {row.variant}" if row.variant else ""),
        row.setting,
        row.estimate,
        str(row.n),
        _spread(row.mean, row.std),
        "" if pd.isna(row.t_low) else f"[{row.t_low:z.2f}, {row.t_high:z.2f}]",
        _spread(row.published_mean, row.published_std),
        "" if pd.isna(row.difference) else f"{row.difference:+z.2f}",
        "" if pd.isna(row.verdict) else row.verdict,
    )
    return tuple(map(markdown_escape, texts))


def _spread(mean: Any, std: Any) -> str:
    if pd.isna(mean):
        return ""
    return f"{mean:z.2f}" + ("" if pd.isna(std) else f" ± {std:.2f}")


def _table_text(table: Table) -> str:
    return "\n\n".join([markdown_table(table), *map(markdown_escape, table.notes)])


def _cells(report: Report) -> dict[str, list[str]]:
    """Dataset -> names of its cells, as in the configs of the runs in W&B."""
    runs = report.frame[report.frame["status"] != "missing"]
    columns = (runs[name] for name in ("dataset", "system", "setting", "num_samples"))
    cells: dict[str, list[str]] = {}
    for cell in dict.fromkeys(zip(*columns, strict=True)):
        cells.setdefault(str(cell[0]), []).append(str(CellName(*cell)))
    return cells


def _panels(place: Place, report: Report, cells: Iterable[str]) -> wr.PanelGrid:
    studies = [study.rpartition("/")[2] for study in report.studies]
    filters = f"Config('cell') in {sorted(cells)!r} and Config('study') in {studies!r}"
    runs = wr.Runset(
        entity=place.entity, project=place.project, name="by cell", groupby=["config.cell"], filters=filters
    )
    curves = [
        wr.LinePlot(
            title=title, x="epoch", y=[name], groupby_aggfunc="mean", groupby_rangefunc="minmax"
        )
        for title, name in _CURVES
    ]  # fmt: skip
    bars = [wr.BarPlot(title=title, metrics=[wr.SummaryMetric(name)]) for title, name in _BARS]
    gap = wr.ScatterPlot(
        title="KL against NLL, every seed",
        x=wr.SummaryMetric("test/kl"),
        y=wr.SummaryMetric("test/nll_elbo"),
    )
    return wr.PanelGrid(runsets=[runs], panels=[*curves, *bars, gap])
