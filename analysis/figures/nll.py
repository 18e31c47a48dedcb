"""Draw NLL by system: every seed, the mean with its interval, and the published value."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.figures import series
from analysis.figures.elements import layout, marks
from analysis.published.facts import Fact
from analysis.stats.cells import Cell
from analysis.tables.elements.table import NOT_A_BOUND, dataset_title


def caption(cells: Sequence[Cell], dataset: str) -> str:
    """Describe what the figure of these cells shows."""
    rows = series.drawn_rows(cells, dataset)
    facts = [fact for row in rows if (fact := row.fact("nll"))]
    interval = " with its 95% interval" if marks.has_intervals(row.cell for row in rows) else ""
    text = f"NLL of each system{series.convention(rows)}: every seed, the mean{interval}"
    if facts:
        band = any(fact.std for fact in facts)
        text += ", and the published mean"
        text += " with a band of one published standard deviation" if band else ""
    note = f" {series.UNCOUNTED}." if any(NOT_A_BOUND in row.label for row in rows) else ""
    return f"{text}.{note}"


def draw(cells: Sequence[Cell], dataset: str) -> Figure | None:
    """Draw a panel per setting; None if no run is finished."""
    cells, notes = series.prepare(cells, dataset, "nll", "nll_elbo")
    found = {setting: series.rows(cells, dataset, setting) for setting in series.settings_of(cells)}
    if not any(row.average("nll") for rows in found.values() for row in rows):
        return None
    # Both panels have a row for each label of either setting, so that they line up.
    labels = list(dict.fromkeys(row.label for rows in found.values() for row in rows))
    looks = series.looks(cells, dataset)
    names, height = layout.named_rows(labels)
    figure, axes = layout.panels(len(found), max(1.6, 0.9 + height * len(labels)), sharey=True)
    cited: list[Fact] = []
    for ax, (setting, rows) in zip(axes[0], found.items(), strict=True):
        for row in rows:
            place = labels.index(row.label)
            colour, marker = looks[row.key]
            if fact := row.fact("nll"):
                marks.published(ax, place, fact, colour, "x", 0.38)
                cited.append(fact)
            if average := row.average("nll"):
                marks.seeds(ax, place + 0.2, average, colour, "x", 0.16)
                marks.mean(
                    ax,
                    place - 0.08,
                    average,
                    colour,
                    marker,
                    "x",
                    hollow=NOT_A_BOUND in row.label,
                    from_zero=True,
                )
        ax.set_title(setting)
        ax.set_xlabel("test NLL, nats per sentence")
    notes += marks.cut_at_zero("x", axes[0], ([r.average("nll") for r in rows] for rows in found.values()))
    layout.name_rows(axes[0], names)
    layout.title(figure, f"{dataset_title(dataset)}: NLL by system")
    layout.legend(
        figure,
        marks.common_keys(
            intervals=marks.has_intervals(row.cell for rows in found.values() for row in rows),
            cited=cited,
            hollow=any(row.cell.joint_latent and row.average("nll") for r in found.values() for row in r),
        ),
        notes=notes,
    )
    return figure
