"""Draw NLL by system: every seed, the mean with its interval, and the published value."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.figures import marks, series, style
from analysis.stats.cells import Cell
from analysis.tables.table import NOT_A_BOUND, dataset_title

CAPTION = (
    "NLL of each system by the published convention: every seed, the mean with its 95% interval, and the "
    "published mean with a band of one published standard deviation. ‡: not a bound; see the first figure."
)


def draw(cells: Sequence[Cell], dataset: str) -> Figure | None:
    """Draw a panel per setting; None if no run is finished."""
    found = {setting: series.rows(cells, dataset, setting) for setting in series.settings_of(cells)}
    if not any(row.average("nll") for rows in found.values() for row in rows):
        return None
    # Both panels have a row for each label of either setting, so that they line up.
    labels = list(dict.fromkeys(row.label for rows in found.values() for row in rows))
    names = {row.cell.system for rows in found.values() for row in rows}
    height = 1.5 + 0.36 * len(labels) + 0.12 * sum("\n" in label for label in labels)
    figure, axes = style.panels(len(found), height, sharey=True)
    cited = False
    for ax, (setting, rows) in zip(axes[0], found.items(), strict=True):
        for row in rows:
            place = labels.index(row.label)
            colour, marker = style.look(row.cell.system, names)
            if fact := row.fact("nll"):
                marks.published(ax, place, fact, colour, "x", 0.38)
                cited = True
            if average := row.average("nll"):
                marks.seeds(ax, place + 0.2, average, colour, "x", 0.16)
                marks.mean(ax, place - 0.08, average, colour, marker, "x", hollow=NOT_A_BOUND in row.label)
        ax.set_title(setting)
        ax.set_xlabel("test NLL, nats per sentence")
    style.name_rows(axes[0], labels)
    style.title(figure, f"{dataset_title(dataset)}: NLL by system")
    style.legend(figure, marks.common_keys(drawn=True, cited=cited))
    return figure
