"""Write a report as one web page that needs no other file and no network."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from analysis.figures.draw import Picture, Pictures
from analysis.formats.page.pictures import inline
from analysis.formats.page.rows import groups, lines_left_out, mixed, page_rows
from analysis.reading.frame import STATUSES
from analysis.report.provenance import origins
from analysis.report.report import RETRY, Report
from analysis.report.sentences import Sentences
from analysis.report.two_studies import TwoStudies
from analysis.tables.bound_examples import EXPLANATION
from analysis.tables.table import dataset_title

_HERE = Path(__file__).parent

WHAT_A_NUMBER_IS = (
    "Every NLL and KL is in nats per sentence. Every PPL is exp(all nats / all predicted tokens), with the "
    "end of each sentence counted as a token.",
    "A number is the mean ± sample standard deviation over n seeds. Its tip shows the 95% interval "
    "(Student's t) for the mean over all possible seeds. If something was sampled, the spread over seeds "
    "contains the Monte Carlo error.",
)

_FIGURES = ("ppl", "nll", "kl", "latent", "curves")

_MOST_NAMED = 100
"""The most failed runs, or damaged files, that the page lists."""


@dataclass(frozen=True)
class Shown:
    """A figure on the page."""

    svg: Markup
    caption: str
    name: str


def report_page(
    report: Report,
    pictures: Pictures,
    sentences: Sequence[Sentences],
    command: str,
    refresh: int = 0,
) -> str:
    """Write the page of a report.

    Args:
        report: the content.
        pictures: its figures.
        sentences: those of the best run of each system.
        command: the command that makes the same report from the same runs.
        refresh: seconds after which an open page reloads itself; 0 for never.
    """
    counts = report.frame["status"].value_counts()
    recorded = list(origins(report.frame))
    names = {name for name, _ in recorded}
    return _template("report.html.j2").render(
        report=report,
        title="Results beside the published numbers",
        status=[(status, int(counts[status])) for status in STATUSES if status in counts],
        total=len(report.frame),
        explanation=EXPLANATION,
        basics=WHAT_A_NUMBER_IS,
        retry=RETRY,
        most_named=_MOST_NAMED,
        lead=_shown(pictures.drawn, ("bounds",)),
        figures=_shown(pictures.drawn, _FIGURES),
        cost_figures=_shown(pictures.drawn, ("cost",)),
        left_out=pictures.left_out,
        sentences=_by_dataset(sentences),
        origins=recorded,
        facts=[fact for fact in report.facts if fact.partition(":")[0] not in names],
        command=command,
        refresh=refresh,
        **_assets(),
    )


def compare_page(compared: TwoStudies, pictures: Pictures, command: str, refresh: int = 0) -> str:
    """Write the page of two studies side by side."""
    return _template("compare.html.j2").render(
        compared=compared,
        title="Two studies side by side",
        figures=_shown(pictures.drawn, ("differences",)),
        left_out=pictures.left_out,
        command=command,
        refresh=refresh,
        basics=WHAT_A_NUMBER_IS,
        **_assets(),
    )


def _shown(pictures: Sequence[Picture], kinds: Sequence[str]) -> list[Shown]:
    return [Shown(inline(p.svg, p.name, p.caption), p.caption, p.name) for p in pictures if p.kind in kinds]


def _by_dataset(sentences: Sequence[Sentences]) -> list[tuple[str, list[Sentences]]]:
    by_dataset: dict[str, list[Sentences]] = {}
    for generated in sentences:
        by_dataset.setdefault(dataset_title(generated.best.cell.dataset), []).append(generated)
    return list(by_dataset.items())


def _assets() -> dict[str, Markup]:
    # Our own style and script are not escaped; everything else on the page is.
    return {
        name: Markup((_HERE / name.replace("_", ".")).read_text("utf-8"))
        for name in ("style_css", "script_js")
    }


@functools.cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        # A misspelled name in a template is an error, not an empty text.
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(
        page_rows=page_rows, groups=groups, mixed=mixed, lines_left_out=lines_left_out
    )
    return environment.get_template(name)
