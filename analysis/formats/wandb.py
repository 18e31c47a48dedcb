"""Write the W&B report: our tables as text, and W&B's own panels with runs grouped by cell.

The numbers in the tables come from the run folders, as in every other report; W&B only draws the panels.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # about the library's own use of pydantic
    import wandb_workspaces.reports.v2 as wr

from analysis.formats.markdown import markdown_escape, markdown_table
from analysis.formats.text import interval_text, number_text, spread_text
from analysis.reading.frame import CONFIG_FIELDS, runs_in_rows
from analysis.report.report import Report
from analysis.stats.intervals import Interval, decimals
from analysis.tables.bounds import bound_words
from analysis.tables.elements.csv_rows import CELL_COLUMNS, Row, csv_frame
from analysis.tables.elements.table import Table, dataset_title, row_label
from analysis.tables.elements.text_sections import TextNames
from lvae_core.run_folder.estimates import is_unreliable
from lvae_core.run_folder.names import CellName

DESCRIPTION = "Written from the run folders by analysis/wandb_report.py, which replaces it on each call."

_HEAD = (
    "system",
    "setting",
    "number",
    "n",
    "mean ± std",
    "95% interval",
    "bound",
)

_PUBLISHED = ("published", "difference", "verdict")

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


_KEYS = {
    "data": "provenance.data_sha256",
    "commit": "provenance.commit",
    # W&B does not have the version of the numerics; other versions are of other commits.
    "numerics": "provenance.commit",
}
"""What a variant is named by, other than a config field -> the key in W&B's configs that tells it."""


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
        for text, runs in _runs_by_text(report, dataset).items():
            named = f", {text}" if text else ""
            blocks += [
                wr.H1(f"{dataset_title(dataset)}: runs by cell{named}"),
                _panels(place, report, dataset, cells, runs),
            ]
        blocks += [wr.MarkdownBlock(markdown_escape(note)) for note in _not_bounds(report, dataset)]
    for heading, tables in (
        (
            "Comparison with the published numbers" if report.has_published else "Results",
            (*report.table2, *report.table3, *report.further),
        ),
        ("Which numbers are bounds", (*report.bounds, *report.spelled)),
    ):
        blocks.append(wr.H1(heading))
        for table in tables:
            blocks += [wr.H2(table.heading), wr.MarkdownBlock(_table_text(table))]
    blocks.append(wr.MarkdownBlock("\n\n".join(markdown_escape(text) for text in report.explanation)))
    blocks.append(wr.H1("Every number with its interval"))
    for table in (*report.table2, *report.table3):
        blocks += [wr.H2(table.heading), wr.MarkdownBlock(rows_tables(table.csv_rows()))]
    if report.failures:
        failed = "".join(f"- {markdown_escape(f'{run}: {why}')}\n" for run, why in report.failures)
        blocks += [wr.H1("Failed runs"), wr.MarkdownBlock(failed)]
    return blocks


def rows_tables(rows: Iterable[Row]) -> str:
    """Our numbers as Markdown tables, one for each text: mean ± std, n, t interval, what it bounds.

    Where any is published, that number, the difference from it and the verdict as well.
    """
    frame = csv_frame((row for row in rows if row["n"]), CELL_COLUMNS)
    head = (*_HEAD, *_PUBLISHED) if frame["published_mean"].notna().any() else _HEAD
    by_text = [(str(text), part) for text, part in frame.groupby("text", sort=False)]
    parts = []
    for text, part in by_text:
        lines = [head, ("---",) * len(head), *(_texts(row)[: len(head)] for row in part.itertuples())]
        table = "".join("| " + " | ".join(line) + " |\n" for line in lines)
        parts.append(f"{markdown_escape(text)}\n\n{table}" if len(by_text) > 1 else table)
    return "\n".join(parts)


def _texts(row: Any) -> tuple[str, ...]:
    std = None if pd.isna(row.std) else row.std
    unreliable = is_unreliable(*(None if pd.isna(x) else x for x in (row.ess, row.khat_above)))
    texts = (
        row_label(row.system, row.num_samples) + (f", {row.variant}" if row.variant else ""),
        row.setting,
        row.estimate,
        str(row.n),
        spread_text(row.mean, std),
        "" if pd.isna(row.t_low) else interval_text(Interval(row.t_low, row.t_high)),
        "" if pd.isna(row.bound) else bound_words(row.bound, unreliable=unreliable),
        _as_printed(row.published_mean, row.published_std),
        "" if pd.isna(row.difference) else number_text(row.difference, decimals(std), "+"),
        "" if pd.isna(row.verdict) else row.verdict,
    )
    return tuple(map(markdown_escape, texts))


def _as_printed(mean: Any, std: Any) -> str:
    """A published number, with the digits that it needs."""
    if pd.isna(mean):
        return ""
    return f"{mean:.12g}" + ("" if pd.isna(std) else f"±{std:.12g}")


def _table_text(table: Table) -> str:
    return "\n\n".join([markdown_table(table), *map(markdown_escape, table.notes)])


def _cells(report: Report) -> dict[str, list[str]]:
    """Dataset -> names of its cells, as in the configs of the runs in W&B."""
    runs = runs_in_rows(report.frame[report.frame["status"] != "missing"])
    columns = (runs[name] for name in ("dataset", "system", "setting", "num_samples"))
    cells: dict[str, list[str]] = {}
    for cell in dict.fromkeys(zip(*columns, strict=True)):
        cells.setdefault(str(cell[0]), []).append(str(CellName(*cell)))
    return cells


def _runs_by_text(report: Report, dataset: str) -> dict[str, list[str]]:
    """Name of a text -> folders of the dataset's runs over it; with one text {"": []}, which means all.

    An unfinished run is over the text of the finished ones whose vocabulary has the same limits, or over
    the first if there are none, or several.
    """
    names = TextNames(report.cells)
    if len(names.every(dataset)) < 2:
        return {"": []}
    finished = {
        run: names.of(cell)
        for cell in report.cells
        if cell.dataset == dataset
        for average in cell.averages.values()
        for run in average.runs
    }
    frame = report.frame
    rows = frame[(frame["dataset"] == dataset) & (frame["status"] != "missing")]
    limits = [f"{a} {b}" for a, b in zip(rows["min_count"], rows["max_vocabulary"], strict=True)]
    texts = [finished.get(run, "") for run in rows["run"]]
    of_limits: dict[str, set[str]] = defaultdict(set)
    for limit, text in zip(limits, texts, strict=True):
        of_limits[limit] |= {text} - {""}
    found: dict[str, list[str]] = {name: [] for name in names.every(dataset)}
    for folder, limit, text in zip(rows["folder"], limits, texts, strict=True):
        known = [text] if text else list(of_limits[limit])
        found[known[0] if len(known) == 1 else next(iter(found))].append(str(folder))
    return found


def _varied(report: Report, dataset: str) -> list[str]:
    """The keys of W&B's configs in which the variants of a dataset's cells differ.

    W&B averages the runs of a group: runs of different configs must not be in one.
    """
    varied = dict.fromkeys(name for c in report.cells if c.dataset == dataset for name in c.varied)
    keys = {name: name for name in CONFIG_FIELDS} | _KEYS
    # Of what W&B has no key, each run stays alone: the names of runs differ.
    return list(dict.fromkeys(f"config.{keys.get(name, 'run')}" for name in varied))


def _not_bounds(report: Report, dataset: str) -> list[str]:
    """Say of which cells the panels' perplexities and NLLs are no bounds."""
    names = dict.fromkeys(
        row_label(cell.system, cell.num_samples)
        for cell in report.cells
        if cell.dataset == dataset and cell.joint_latent and cell.counts.total > cell.counts.missing
    )
    if not names:
        return []
    return [
        f"{' and '.join(names)}: the validation perplexity, the test perplexity by the published "
        "convention, the importance-weighted NLL and the NLL against the KL count one KL for several "
        "samples of z, so they are not bounds. Compare by the table of bounds."
    ]


def _panels(
    place: Place, report: Report, dataset: str, cells: Iterable[str], folders: Sequence[str]
) -> wr.PanelGrid:
    """Panels of a dataset's cells; ``folders``: of the runs of one text, empty for all."""
    studies = [study.rpartition("/")[2] for study in report.studies]
    filters = f"Config('cell') in {sorted(cells)!r} and Config('study') in {studies!r}"
    if folders:
        filters += f" and Config('run') in {sorted(set(folders))!r}"
    runs = wr.Runset(
        entity=place.entity,
        project=place.project,
        name="by cell",
        groupby=["config.cell", *_varied(report, dataset)],
        filters=filters,
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
