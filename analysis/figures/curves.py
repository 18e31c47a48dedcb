"""Draw learning curves: validation perplexity and KL by epoch, one line per seed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures import series
from analysis.figures.elements import layout, marks, style, wrapping
from analysis.published.catalogue import display_name
from analysis.stats.cells import Cell
from analysis.stats.outliers import near_median
from analysis.tables.elements.table import NOT_A_BOUND, dataset_title
from lvae_core.messages import listed

MOST_SEEDS = 50

_MOST_COLUMNS = 5
"""The largest number of cells side by side: of more, some stand below the others."""

_ASTRAY = 10
"""So many times the median of all runs' best perplexities are beyond the axis."""

_LEAST_SAVED = 3.0
"""The perplexity's axis is cut only if it becomes so many times shorter, ..."""

_FEWEST_EPOCHS = 4
"""... and a run has so many epochs: of fewer, the first ones are most of the curve."""


def caption(
    cells: Sequence[Cell],
    curves: Mapping[str, pd.DataFrame],
    anneal: Mapping[str, float],
    dataset: str,
    setting: str,
) -> str:
    """Describe what the figure shows; the arguments are those of :func:`draw`."""
    chosen = _rows(cells, curves, dataset, setting)
    drawn = [curves[run] for row in chosen for run in runs_of(row.cell) if run in curves]
    axes = "perplexity above, KL below" if any(row.cell.num_samples for row in chosen) else "perplexity"
    text = f"Learning curves on the validation split, one line per seed (at most {MOST_SEEDS}): {axes}."
    text += " Where an axis is cut, the figure says so."
    if any(_annealing_ends(row, curves, anneal) for row in chosen):
        text += " Dotted: the epoch in which KL annealing ends."
    if any(map(_drops, drawn)):
        text += " Triangles: the learning rate drops."
    weighted = dict.fromkeys(
        display_name(row.cell.system)
        for row in chosen
        if row.cell.objective == "importance_weighted" and row.cell.num_samples > 1
    )
    if weighted:
        text += (
            f" The perplexity of {listed(list(weighted))} is that of the importance-weighted bound of its "
            "L samples, by which it is trained; the tables have its ELBO, and the bound of more draws."
        )
    if any(NOT_A_BOUND in row.label for row in chosen):
        text += f" {series.UNCOUNTED}."
    return text


def draw(
    cells: Sequence[Cell],
    curves: Mapping[str, pd.DataFrame],
    anneal: Mapping[str, float],
    dataset: str,
    setting: str,
) -> Figure | None:
    """Draw the perplexity and the KL of each cell of a setting; None if no run of it has a curve.

    Args:
        cells: the cells, whose averages name their runs.
        curves: name of each run -> its rows of metrics.jsonl, in order.
        anneal: name of each run -> epochs over which β rises; 0 or NaN: its end is not marked.
        dataset: the dataset to draw.
        setting: standard or inputless.

    Raises:
        TooManyError: the setting has more than ``series.MOST_ROWS`` cells.
    """
    rows = _rows(cells, curves, dataset, setting)
    if not rows:
        return None
    # A language model has no KL, and alone it needs no room for one.
    latent = any(row.cell.num_samples for row in rows)
    figure, panels = _panels(len(rows), kinds=2 if latent else 1)
    looks = series.looks(cells, dataset)
    drawn: list[pd.DataFrame] = []
    for row, across in zip(rows, panels, strict=True):
        colour, _ = looks[row.key]
        for run in runs_of(row.cell):
            if run in curves:
                _run(across, curves[run], colour)
                drawn.append(curves[run])
        name = row.label.replace(" L=", "\nL = ")
        across[0].set_title(wrapping.wrap(name, 1.25, 8.5, "bold"), fontsize=8.5)
        across[-1].set_xlabel("epoch")
        across[-1].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        if latent and not row.cell.num_samples:
            across[1].text(0.5, 0.5, "no z", transform=across[1].transAxes, ha="center", color=style.MUTED)
    annealed = _mark_annealing(panels, rows, curves, anneal)
    _, notes = series.prepare(cells, dataset)
    notes += _limit(panels[0], drawn)
    layout.title(figure, f"{dataset_title(dataset)}, {setting}: learning curves")
    keys = [Line2D([], [], color=style.MUTED, lw=0.9, label="one seed")]
    if annealed:
        keys.append(Line2D([], [], color=style.MUTED, ls=(0, (1, 1.2)), label="annealing ends"))
    if any(map(_drops, drawn)):
        keys.append(marks.key("learning rate drops", style.MUTED, "v", size=4.5))
    layout.legend(figure, keys, notes=notes)
    return figure


def _panels(cells: int, kinds: int) -> tuple[Figure, list[list[Axes]]]:
    """Make the axes of each cell, one below the other: of the perplexity, and of the KL if ``kinds`` is 2.

    All axes of a kind have one scale, and all have the same epochs.
    """
    bands = math.ceil(cells / _MOST_COLUMNS)
    columns = math.ceil(cells / bands)
    heights = (1.5, 1.0)[:kinds]
    figure, axes = layout.panels(
        columns,
        bands * (3.3 if kinds == 2 else 2.2),
        rows=bands * kinds,
        width=max(5.2, 0.8 + 1.5 * columns),
        sharey="row",
        sharex=True,
        gridspec_kw={"height_ratios": heights * bands},
    )
    for band in range(bands):
        for kind, name in enumerate(("validation PPL", "KL")[:kinds]):
            first = axes[band * kinds + kind][0]
            first.set_ylabel(name)
            if band:
                first.sharey(axes[kind][0])
        for ax in axes[(band + 1) * kinds - 1]:
            ax.xaxis.set_tick_params(labelbottom=True)  # by default only the lowest of all have numbers
    panels = [
        [axes[band * kinds + kind][column] for kind in range(kinds)]
        for band in range(bands)
        for column in range(columns)
    ]
    for unused in panels[cells:]:
        for ax in unused:
            figure.delaxes(ax)
    return figure, panels[:cells]


def runs_of(cell: Cell) -> Sequence[str]:
    """The finished runs of a cell whose curves are drawn: the first MOST_SEEDS."""
    average = cell.averages.get(cell.estimate("nll"))
    return average.runs[:MOST_SEEDS] if average else ()


def _run(across: Sequence[Axes], rows: pd.DataFrame, colour: str) -> None:
    epochs = rows["epoch"].to_numpy(int)
    for ax, name in zip(across, ("valid_ppl", "valid_kl"), strict=False):
        # A language model has no KL; an incomplete column is not drawn either.
        if name not in rows or rows[name].isna().any():
            continue
        # A larger value has no place on an axis: the line has a gap.
        values = rows[name].where(rows[name].abs() <= series.LARGEST).to_numpy(float)
        ax.plot(epochs, values, color=colour, lw=0.9, alpha=0.75, zorder=2)
        alone = _without_neighbours(values)
        ax.plot(epochs[alone], values[alone], ".", ms=4.5, color=colour, alpha=0.75, zorder=2)
        if ax is across[0]:
            drops = _drops(rows)
            ax.plot(
                epochs[drops], values[drops], "v", ms=4.6, mfc=colour, mec=style.PAPER, mew=0.4, zorder=3
            )


def _without_neighbours(values: Iterable[float]) -> list[int]:
    """The positions of values of which a line shows nothing: it has one point, or they are between gaps."""
    known = [False, *map(math.isfinite, values), False]
    return [k - 1 for k in range(1, len(known) - 1) if known[k] and not (known[k - 1] or known[k + 1])]


def _drops(rows: pd.DataFrame) -> list[int]:
    """The positions of epochs with a lower learning rate than the one before."""
    rates = rows["learning_rate"].to_numpy(float)
    return [k for k in range(1, len(rates)) if rates[k] < rates[k - 1]]


def _rows(
    cells: Sequence[Cell], curves: Mapping[str, pd.DataFrame], dataset: str, setting: str
) -> list[series.Row]:
    """The rows with a curve."""
    chosen = series.rows(cells, dataset, setting)
    return [row for row in chosen if any(run in curves for run in runs_of(row.cell))]


def _mark_annealing(
    panels: Sequence[Sequence[Axes]],
    rows: Sequence[series.Row],
    curves: Mapping[str, pd.DataFrame],
    anneal: Mapping[str, float],
) -> bool:
    """Draw a line where KL annealing ends, if a curve gets there; returns whether any does."""
    marked = False
    for row, across in zip(rows, panels, strict=True):
        for end in _annealing_ends(row, curves, anneal):
            marked = True
            for ax in across:
                ax.axvline(end, color=style.MUTED, ls=(0, (1, 1.2)), lw=1, zorder=1.6)
    return marked


def _annealing_ends(
    row: series.Row, curves: Mapping[str, pd.DataFrame], anneal: Mapping[str, float]
) -> list[float]:
    """The epochs in which the annealing of a row's runs ends, as far as its own curves reach."""
    runs = [run for run in runs_of(row.cell) if run in curves] if row.cell.num_samples else []
    ends = {anneal.get(run, 0.0) for run in runs}
    # Runs that stopped before have no such epoch, and a line beyond would push curves into a corner.
    last = max((int(curves[run]["epoch"].max()) for run in runs), default=0)
    return sorted(end for end in ends if 0 < end <= last)


def _limit(shared: Sequence[Axes], drawn: Sequence[pd.DataFrame]) -> list[str]:
    """Limit the scales to what tells runs apart; returns a note for the figure on each that cuts curves.

    Args:
        shared: the axes of the perplexity, and of the KL, whose scales all others have.
        drawn: the curves.
    """
    # The first epochs are so high that they would flatten the rest, and so would runs that went astray.
    best = [low for rows in drawn if (low := float(rows["valid_ppl"].min())) <= series.LARGEST]
    usual = near_median(best, _ASTRAY)
    perplexity, *latent = shared
    notes = []
    if usual:
        low, high = min(usual), max(usual)
        bottom, top = low - 0.04 * abs(low), perplexity.get_ylim()[1]
        cut = high + 0.3 * abs(high) + 1e-9
        usual_tops = [float(r["valid_ppl"].max()) for r in drawn if float(r["valid_ppl"].min()) <= high]
        if max(map(len, drawn)) < _FEWEST_EPOCHS and max(usual_tops) <= series.LARGEST:
            cut = max(cut, 1.05 * max(usual_tops))
        perplexity.set_ylim(bottom, cut if top - bottom > _LEAST_SAVED * (cut - bottom) else top)
        notes += _cut_note("PPL", perplexity.get_ylim()[1], [rows["valid_ppl"] for rows in drawn])
    for kl_axes in latent:
        kl_axes.set_ylim(bottom=0)
        kls = [rows["valid_kl"] for rows in drawn if "valid_kl" in rows and rows["valid_kl"].notna().all()]
        ends = [kl for rows in kls if abs(kl := float(rows.iloc[-1])) <= series.LARGEST]
        if ends and kl_axes.get_ylim()[1] > _ASTRAY * (limit := max(1.0, 3 * max(ends))):
            kl_axes.set_ylim(top=limit)
        notes += _cut_note("KL", kl_axes.get_ylim()[1], kls)
    return notes


def _cut_note(name: str, limit: float, curves: Sequence[pd.Series]) -> list[str]:
    """Say that the axis is cut, and how much lies above it."""
    highest = [float(values.max()) for values in curves]
    above = sum(high > limit for high in highest)
    if not above:
        return []
    reach = f"{above} of {len(highest)} curves reach higher, up to {max(highest):.4g}"
    return [f"{name} is cut at {limit:.4g}: {reach}"]
