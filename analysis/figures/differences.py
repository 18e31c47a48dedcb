"""Draw the difference of two studies for each cell, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import series
from analysis.figures.elements import layout, marks, style
from analysis.figures.series import MOST_ROWS, TooManyError
from analysis.stats.comparisons import Comparison
from analysis.tables.elements.table import cell_label, dataset_title

CAPTION = (
    "Tightest reliable bound of each cell on the test split, study B minus study A: one dot per common "
    "seed, and the mean difference with its 95% interval. Left of the line, B's number is lower; the table "
    "says what follows."
)


def draw(compared: Sequence[Comparison], dataset: str) -> Figure | None:
    """Draw a panel per setting; None if the studies have no common seed.

    Raises:
        TooManyError: a setting has more than MOST_ROWS cells.
    """
    chosen = [
        c
        for c in compared
        if (c.metric, c.a.dataset) == ("nll_valid", dataset) and c.paired.mean is not None
    ]
    if not chosen:
        return None
    _, notes = series.prepare([c.a for c in chosen], dataset)
    chosen, beyond = _drawable(chosen)
    notes += series.beyond_note(beyond)
    if not chosen:
        return None
    settings = list(dict.fromkeys(c.a.setting for c in chosen))
    labels = list(dict.fromkeys(cell_label(c.a, "\n({})") for c in chosen))
    if len(labels) > MOST_ROWS:
        raise TooManyError(f"{len(labels)} cells and variants, of which {MOST_ROWS} can be shown")
    names, height = layout.named_rows(labels)
    figure, axes = layout.panels(len(settings), max(1.6, 0.9 + height * len(labels)), sharey=True)
    # The axis names the variants, so a system looks as in every other figure.
    looks = style.looks((c.a.system, "") for c in chosen)
    for ax, setting in zip(axes[0], settings, strict=True):
        # The line of no difference.
        ax.axvline(0, color=style.INK, lw=1, zorder=1.8)
        for comparison in (c for c in chosen if c.a.setting == setting):
            place, paired = labels.index(cell_label(comparison.a, "\n({})")), comparison.paired
            colour, marker = looks[comparison.a.system, ""]
            ax.plot(
                paired.differences,
                [place + 0.22] * len(paired.differences),
                "o",
                ms=3.2,
                mfc=colour,
                mec="none",
                alpha=0.55,
                rasterized=len(paired.differences) > marks.MOST_DOTS,
            )
            if paired.mean is None:
                continue
            if paired.interval and _has_interval(comparison):
                ends = paired.interval.low, paired.interval.high
                ax.plot(ends, [place - 0.08] * 2, color=colour, marker="|", ms=6, mew=1.3, zorder=3)
            ax.plot([paired.mean], [place - 0.08], marker, ms=6, mfc=colour, mec=colour, zorder=3.2)
        ax.set_title(setting)
        ax.set_xlabel("NLL of B - NLL of A, nats")
    layout.name_rows(axes[0], names)
    layout.title(figure, f"{dataset_title(dataset)}: study B minus study A")
    keys: list[Line2D] = marks.common_keys(intervals=any(map(_has_interval, chosen)))
    layout.legend(figure, keys, notes=notes)
    return figure


def _has_interval(comparison: Comparison) -> bool:
    """Whether the interval of the mean difference is drawn; see :func:`marks.bar`."""
    paired = comparison.paired
    return paired.interval is not None and len(paired.differences) >= marks.FEWEST_SEEDS


def _drawable(compared: Sequence[Comparison]) -> tuple[list[Comparison], list[str]]:
    """The comparisons that one axis can show, and names and values of the others."""
    limit = series.limit([c.paired.mean for c in compared if c.paired.mean is not None])
    fits = [series.fits(c.paired.differences, limit) for c in compared]
    beyond = [
        f"{cell_label(c.a)} {c.a.setting} {max(c.paired.differences, key=abs):z.3g}"
        for c, fit in zip(compared, fits, strict=True)
        if not fit
    ]
    return [c for c, fit in zip(compared, fits, strict=True) if fit], beyond
