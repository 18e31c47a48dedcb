"""The blocks of the W&B report: our tables as text, and W&B's own panels grouped by cell.

The numbers are those of the run folders, as every other report here has them; W&B only draws the panels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of its own use of pydantic
    import wandb_workspaces.reports.v2 as wr

from analysis.formats.markdown import markdown_escape, markdown_table
from analysis.report.report import Report
from analysis.tables.bounds import EXPLANATION
from analysis.tables.csv_rows import ComparisonRecord, Record
from analysis.tables.table import Table, dataset_title, row_label
from lvae_core.run_folder.names import CellName

DESCRIPTION = "Written from the run folders by analysis/wandb_report.py, and anew in the same place."

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
    ("validation KL, nats a sentence", "valid_kl"),
    ("training loss, nats a sentence", "train_loss"),
    ("learning rate", "learning_rate"),
)

_BARS = (
    ("test perplexity (ELBO, the paper's convention)", "test/ppl_elbo"),
    ("test perplexity (language model, exact)", "test/ppl"),
    ("test NLL, importance-weighted", "test/nll_iw"),
)


@dataclass(frozen=True)
class Place:
    """A W&B project."""

    entity: str
    project: str


def write(report: Report, place: Place, title: str, url: str | None) -> str:
    """Write the W&B report; returns its address.

    Args:
        report: what it tells.
        place: the project.
        title: its title.
        url: of the one that is to be written anew; None: there is none yet.
    """
    # What readers have added to it, such as comments, stays.
    whole = (
        wr.Report.from_url(url)
        if url
        else wr.Report(project=place.project, entity=place.entity, title=title)
    )
    whole.description, whole.width = DESCRIPTION, "fluid"
    whole.blocks = blocks_of(report, place)
    return str(whole.save().url)


def blocks_of(report: Report, place: Place) -> list[Any]:
    """Everything the W&B report shows, in order."""
    blocks: list[Any] = [
        wr.H1("What was run"),
        wr.MarkdownBlock("".join(f"- {markdown_escape(fact)}\n" for fact in report.facts)),
    ]
    for dataset, cells in _cells(report).items():
        blocks += [wr.H1(f"{dataset_title(dataset)}: runs by cell"), _panels(place, report, cells)]
    for heading, tables in (
        ("The paper's tables", (*report.table2, *report.table3)),
        ("Which numbers are bounds", report.bounds),
    ):
        blocks.append(wr.H1(heading))
        for table in tables:
            blocks += [wr.H2(table.title), wr.MarkdownBlock(_table_text(table))]
    blocks.append(wr.MarkdownBlock("\n\n".join(markdown_escape(text) for text in EXPLANATION)))
    blocks.append(wr.H1("Every number with its interval"))
    for table in (*report.table2, *report.table3):
        blocks += [wr.H2(table.title), wr.MarkdownBlock(record_table(table.records))]
    if report.failures:
        failed = "".join(f"- {markdown_escape(f'{run}: {why}')}\n" for run, why in report.failures)
        blocks += [wr.H1("Failed runs"), wr.MarkdownBlock(failed)]
    return blocks


def record_table(records: Iterable[Record | ComparisonRecord]) -> str:
    """Our numbers as a Markdown table: mean ± std, n, t interval, published number and difference."""
    rows = [_row(record) for record in records if isinstance(record, Record) and record.n]
    lines = [_HEAD, ("---",) * len(_HEAD), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _row(record: Record) -> tuple[str, ...]:
    label = row_label(record.system, record.num_samples) + (f", {record.variant}" if record.variant else "")
    texts = (
        label,
        record.setting,
        record.estimate,
        str(record.n),
        _spread(record.mean, record.std),
        _interval(record.t_low, record.t_high),
        _spread(record.published_mean, record.published_std),
        "" if record.difference is None else f"{record.difference:+.2f}",
        record.verdict or "",
    )
    return tuple(map(markdown_escape, texts))


def _spread(mean: float | None, std: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:.2f}" + ("" if std is None else f" ± {std:.2f}")


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:.2f}, {high:.2f}]"


def _table_text(table: Table) -> str:
    return "\n\n".join([markdown_table(table), *map(markdown_escape, table.notes)])


def _cells(report: Report) -> dict[str, list[str]]:
    """Dataset -> its cells, as the runs' configs in W&B name them."""
    known = report.frame[report.frame["status"] != "missing"]
    names = zip(
        known["dataset"], known["system"], known["setting"], known["num_samples"], strict=True
    )  # fmt: skip
    cells: dict[str, list[str]] = {}
    for dataset, system, setting, samples in dict.fromkeys(names):
        cells.setdefault(str(dataset), []).append(str(CellName(dataset, system, setting, samples)))
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
