"""Draw all figures of a report and save them as pictures; figures compute no statistics."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import axes, bounds, cost, curves, differences, kl, latent, nll, ppl, series
from analysis.figures.elements import finish, style
from analysis.figures.pictures import Picture, Pictures
from analysis.figures.series import TooManyError, settings_of
from analysis.stats.cells import Cell
from analysis.stats.comparisons import Comparison
from analysis.tables.costs import Unit
from analysis.tables.elements.table import dataset_title

Draw = Callable[[], Figure | None]
Advance = Callable[[int, int], None]

_OF_CELLS = {
    "bounds": bounds,
    "axes": axes,
    "ppl": ppl,
    "nll": nll,
    "kl": kl,
    "latent": latent,
    "cost": cost,
}

_CITING = ("bounds", "ppl", "nll", "kl")
"""Kinds of figures that show published numbers, too."""

_MISSING = {
    "bounds": "no finished run of a decoder that reads several samples",
    "axes": "no finished run has a bound",
    "ppl": "no finished run has a PPL",
    "nll": "no finished run has an NLL",
    "kl": "no finished run has a KL",
    "latent": "no finished run has a mutual information",
    "cost": "no finished run has both its time and a bound",
    "curves": "no finished run has a learning curve",
    "differences": "no cell has a seed that both studies have",
}
"""Kind of figure -> the reason if it has nothing to draw."""


@dataclass(frozen=True)
class _Wanted:
    dataset: str
    kind: str
    caption: Callable[[], str]
    """The caption of the figure, if it is drawn."""
    draw: Draw


def draw_all(
    cells: Sequence[Cell],
    datasets: Sequence[str],
    metrics: Mapping[str, pd.DataFrame],
    anneal: Mapping[str, float],
    *,
    advance: Advance | None,
    units: Mapping[str, Unit],
) -> Pictures:
    """Draw every figure of every dataset.

    Args:
        cells: the cells of all datasets; those of one dataset are over one text.
        datasets: the datasets, in the order of the report.
        metrics: name of a run -> its learning curve, for the runs whose curves are drawn.
        anneal: name of a run -> number of epochs of KL annealing.
        advance: called with ``(drawn, total)`` after each figure.
        units: the unit of each dataset's cost table, which may have more cells; else that of these cells.
    """
    wanted = []
    for dataset in datasets:
        fitting, sentence = series.fitting(cells, dataset)
        unshown = series.left_out_published(fitting, dataset)
        more = {"cost": (units.get(dataset),)}
        wanted += [
            _Wanted(
                dataset,
                kind,
                functools.partial(
                    _caption,
                    module.caption,
                    sentence + (unshown if kind in _CITING else ""),
                    fitting,
                    dataset,
                ),
                functools.partial(module.draw, fitting, dataset, *more.get(kind, ())),
            )
            for kind, module in _OF_CELLS.items()
            if kind != "axes" or axes.varied_axes(fitting, dataset)
        ]
        wanted += [
            _Wanted(
                dataset,
                f"curves-{setting}",
                functools.partial(
                    _caption, curves.caption, sentence, fitting, metrics, anneal, dataset, setting
                ),
                functools.partial(curves.draw, fitting, metrics, anneal, dataset, setting),
            )
            for setting in settings_of(fitting)
        ]
    return _draw(wanted, advance)


def runs_with_curves(cells: Sequence[Cell], datasets: Sequence[str]) -> set[str]:
    """Names of the runs whose learning curves :func:`draw_all` draws."""
    return {
        run
        for dataset in datasets
        for cell in series.fitting(cells, dataset)[0]
        for run in curves.runs_of(cell)
    }


def draw_differences(compared: Sequence[Comparison], *, advance: Advance | None) -> Pictures:
    """Draw the figures of two studies side by side, one per dataset."""
    datasets = dict.fromkeys(comparison.a.dataset for comparison in compared)
    return _draw(
        [
            _Wanted(
                d,
                "differences",
                lambda: differences.CAPTION,
                functools.partial(differences.draw, compared, d),
            )
            for d in datasets
        ],
        advance,
    )


def _caption(caption: Callable[..., str], sentence: str, *arguments: Any) -> str:
    return caption(*arguments) + sentence


def _draw(wanted: Sequence[_Wanted], advance: Advance | None) -> Pictures:
    drawn, left_out = [], []
    for number, item in enumerate(wanted, start=1):
        kind = item.kind.partition("-")[0]
        reason = _MISSING[kind]
        with style.style():
            try:
                figure = item.draw()
            except TooManyError as error:
                figure, reason = None, str(error)
            if figure is not None:
                name = f"{item.dataset}-{item.kind}"
                title = figure.get_suptitle().replace("\n", " ")
                drawn.append(Picture(name, item.dataset, kind, title, item.caption(), *finish.save(figure)))
            else:
                left_out.append(f"{dataset_title(item.dataset)}, {item.kind}: {reason}")
        if advance:
            advance(number, len(wanted))
    return Pictures(tuple(drawn), tuple(left_out))
