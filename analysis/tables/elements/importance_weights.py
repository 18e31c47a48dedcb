"""Importance-weighted numbers: how far to rely on them, and which reading comes near published ones."""

from __future__ import annotations

from collections.abc import Container, Sequence

from analysis.published.catalogue import find
from analysis.stats.average import Average, finite_mean
from analysis.stats.cells import Cell
from analysis.stats.intervals import HUGE
from analysis.stats.valid_bounds import PUBLISHED_ELBO, Convention, conventions
from analysis.tables.elements.table import Value, cell_label, dataset_title
from analysis.tables.notes.capped import capped

_UNRELIABLE = (
    "unreliable: the Pareto shape is above 0.7 in more than 5% of the sentences, so a few draws, seen or "
    "not, may decide the number, or there are too few draws to tell; what is a bound is an upper bound in "
    "expectation only, and one run may lie far from its expectation"
)
_MORE_SAMPLES = ". More importance samples help: --set iw_samples=5000"
_OF_TRIALS = ". Trials of a search are tested with few importance samples"


def unreliable_notes(cells: Sequence[Cell], numbers: Sequence[Average]) -> list[str]:
    """Explain the word "unreliable" beside a number of these cells, and what helps; [] if none is."""
    unreliable = [number for number in numbers if number.unreliable]
    few = any(cell.of_search for cell in cells) and all(number.khat_above is None for number in unreliable)
    return [_UNRELIABLE + (_OF_TRIALS if few else _MORE_SAMPLES)] if unreliable else []


def weight_values(nll: Average | None) -> list[Value]:
    """Effective sample size, and share of sentences whose weights have a heavy tail.

    Beside the share stands in how many of the runs it is too large, if it is not so in all or none.
    """
    ess, above = (nll.ess, nll.khat_above) if nll else (None, None)
    runs = " ({} of {})".format(*nll.heavy_runs) if nll and _mixed(nll) else ""
    return [None if ess is None else f"{ess:.0f}", None if above is None else f"{above:.1%}{runs}"]


def weight_notes(cells: Sequence[Cell], estimates: Container[str] | None = None) -> list[str]:
    """Explain the values of :func:`weight_values`, and what unreliable means.

    ``estimates``: those that the table has; None: every importance-weighted one.
    """
    weighted = [
        average
        for cell in cells
        if cell.shown
        for convention in _weighted(cell)
        if estimates is None or convention.nll in estimates
        if (average := cell.averages.get(convention.nll))
    ]
    notes = []
    if any(average.ess is not None for average in weighted):
        notes.append(
            "ESS: effective number of the S importance samples, mean over sentences; k>0.7: share of "
            "sentences whose importance weights have a Pareto shape above 0.7"
            + (", and in how many of the runs it exceeds 5%" if any(map(_mixed, weighted)) else "")
        )
    notes += unreliable_notes(cells, weighted)
    if any(average.ess is not None and average.khat_above is None for average in weighted):
        notes.append(
            "no k>0.7: it needs more than 20 importance samples; without it a number counts as unreliable"
        )
    if any(average.ess is None for average in weighted):
        notes.append("ESS and k>0.7 are not recorded in results of earlier versions")
    return notes


def _mixed(average: Average) -> bool:
    heavy, known = average.heavy_runs
    return 0 < heavy < known


def reading_notes(cells: Sequence[Cell], datasets: Sequence[str]) -> list[str]:
    """Name the reading of our runs whose gap to the ELBO is nearest to the published gap, in one note.

    The gap is NLL - IW of Table 3, with the NLL as published. A gap that agrees does not prove that the
    published number was computed in this way: there is no verdict.
    """
    of_cells = [
        text
        for cell in cells
        if cell.dataset in datasets and cell.shown and cell.joint_latent
        for text in _readings(cell)
    ]
    if not of_cells:
        return []
    return [
        "no formula was published for IW with averaged decoder states, so there is no verdict on it. The "
        f"gap NLL - IW as published, and ours by reading: {capped(of_cells)}"
    ]


def _readings(cell: Cell) -> list[str]:
    key = (cell.dataset, cell.system, cell.num_samples, cell.setting)
    nll, iw = find("3", *key, "nll"), find("3", *key, "nll_iw")
    gaps = _gaps(cell)
    if nll is None or iw is None or iw.defined or not gaps:
        return []
    published = nll.mean - iw.mean
    nearest = min(gaps, key=lambda name: abs(gaps[name] - published))
    ours = ", ".join(f"{gap:z.1f} ({name})" for name, gap in gaps.items())
    return [
        f"{dataset_title(cell.dataset)}, {cell_label(cell)}: published {published:z.1f}; ours {ours}; "
        f"nearest: {nearest}"
    ]


def _gaps(cell: Cell) -> dict[str, float]:
    """Reading -> NLL minus IW, mean over the runs that have both."""
    elbo = cell.averages.get(PUBLISHED_ELBO.nll)
    nll = dict(zip(elbo.runs, elbo.values, strict=True)) if elbo else {}
    gaps = {}
    for convention in _weighted(cell):
        if iw := cell.averages.get(convention.nll):
            both = [nll[r] - value for r, value in zip(iw.runs, iw.values, strict=True) if r in nll]
            if both and abs(gap := finite_mean(both)) < HUGE:
                gaps[convention.name] = gap
    return gaps


def _weighted(cell: Cell) -> list[Convention]:
    return [convention for convention in conventions(cell) if convention.suffix.startswith("_iw")]
