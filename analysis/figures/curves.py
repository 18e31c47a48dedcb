"""Draw learning curves: validation perplexity and KL by epoch, one line per seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures import marks, series, style
from analysis.stats.cells import Cell
from analysis.tables.table import NOT_A_BOUND, dataset_title

MOST_COLUMNS = 12
MOST_SEEDS = 50

CAPTION = (
    f"Learning curves on the validation split, one line per seed (at most {MOST_SEEDS}): perplexity "
    "above, KL below. Dotted: the epoch in which KL annealing ends. Triangles: the learning rate drops."
)


def draw(
    cells: Sequence[Cell],
    curves: Mapping[str, pd.DataFrame],
    anneal: Mapping[str, float],
    dataset: str,
    setting: str,
) -> Figure | None:
    """Draw a column per cell of a setting; None if no run of it has a curve.

    Args:
        cells: the cells, whose averages name their runs.
        curves: name of each run -> its rows of metrics.jsonl, in order.
        anneal: name of each run -> number of epochs of KL annealing; 0 for none.
        dataset: the dataset to draw.
        setting: standard or inputless.

    Raises:
        TooManyError: the setting has more than MOST_COLUMNS cells.
    """
    rows = [
        row
        for row in series.rows(cells, dataset, setting)
        if any(run in curves for run in runs_of(row.cell))
    ]
    if not rows:
        return None
    if len(rows) > MOST_COLUMNS:
        raise series.TooManyError(f"{len(rows)} cells and variants, of which {MOST_COLUMNS} can be shown")
    # A language model has no KL, so its column needs no second row.
    latent = any(row.cell.num_samples for row in rows)
    figure, axes = style.panels(
        len(rows),
        4.4 if latent else 2.8,
        rows=2 if latent else 1,
        width=max(4.6, 0.8 + 1.5 * len(rows)),
        sharey="row",
        sharex=True,
        gridspec_kw={"height_ratios": (1.5, 1)} if latent else None,
    )
    names = {row.cell.system for row in rows}
    best: list[float] = []
    for column, row in enumerate(rows):
        colour, _ = style.look(row.cell.system, names)
        across = [axis[column] for axis in axes]
        for run in runs_of(row.cell):
            if run in curves:
                _run(across, curves[run], colour)
                best.append(float(curves[run]["valid_ppl"].min()))
        ends = {anneal.get(run, 0.0) for run in runs_of(row.cell)} - {0.0}
        for ax in across if row.cell.num_samples else ():
            for end in ends:
                ax.axvline(end, color=style.MUTED, ls=(0, (1, 1.2)), lw=1, zorder=1.6)
        across[0].set_title(row.label.replace(NOT_A_BOUND, "").replace(" L=", "\nL = "), fontsize=8.5)
        across[-1].set_xlabel("epoch")
        across[-1].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        if latent and not row.cell.num_samples:
            across[1].text(0.5, 0.5, "no z", transform=across[1].transAxes, ha="center", color=style.MUTED)
    _limit(axes, best)
    style.title(figure, f"{dataset_title(dataset)}, {setting}: learning curves")
    keys = [Line2D([], [], color=style.MUTED, lw=0.9, label="one seed")]
    if latent:
        keys.append(Line2D([], [], color=style.MUTED, ls=(0, (1, 1.2)), label="annealing ends"))
    keys.append(marks.key("learning rate drops", style.MUTED, "v", size=4.5))
    style.legend(figure, keys)
    return figure


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
        values = rows[name].to_numpy(float)
        ax.plot(epochs, values, color=colour, lw=0.9, alpha=0.75, zorder=2)
        if ax is across[0]:
            rates = rows["learning_rate"].to_numpy(float)
            drops = [k for k in range(1, len(rates)) if rates[k] < rates[k - 1]]
            ax.plot(
                epochs[drops], values[drops], "v", ms=4.6, mfc=colour, mec=style.PAPER, mew=0.4, zorder=3
            )


def _limit(axes: Sequence[Sequence[Axes]], best: Sequence[float]) -> None:
    # The first epochs are so high that they would flatten the rest.
    top = axes[0][0]
    top.set_ylim(min(best) * 0.96, min(top.get_ylim()[1], max(best) * 1.3))
    top.set_ylabel("validation PPL")
    if len(axes) > 1:
        axes[1][0].set_ylabel("validation KL")
        axes[1][0].set_ylim(bottom=0)
