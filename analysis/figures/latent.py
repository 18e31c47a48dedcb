"""Draw how much the latent variable is used: mutual information, active units and the like."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.figures import series
from analysis.figures.elements import layout, marks
from analysis.stats.cells import Cell
from analysis.tables.elements.table import NOT_A_BOUND, dataset_title
from analysis.tables.latent import definitions
from lvae_core.run_folder.estimates import LATENT_USE

# The KL has a separate figure, with the NLL.
_MEASURES = {name: estimate for name, estimate in LATENT_USE.items() if name != "kl"}


def caption(cells: Sequence[Cell], dataset: str) -> str:
    """Describe what the figure of these cells shows."""
    unused = [row.cell for row in series.drawn_rows(cells, dataset) if row.cell.unused_latent]
    about = f"Use of the latent variable. {definitions(_MEASURES)}."
    text = f"{about} At 0, the posterior says nothing about a sentence"
    if unused and not any(cell.collapsed for cell in unused):
        return (
            f"{text}: the tested epoch lies within KL annealing, before the KL had its full weight, so "
            "this need not be posterior collapse."
        )
    text += ". If the decoder ignores z, too, the model is a language model: the posterior has collapsed"
    if any(not cell.collapsed for cell in unused):
        text += ", unless the tested epoch lies within KL annealing (see the notes on the first table)"
    return f"{text}."


def draw(cells: Sequence[Cell], dataset: str) -> Figure | None:
    """Draw a row of panels per setting; None if no run with a latent variable is finished."""
    cells, notes = series.prepare(cells, dataset, *_MEASURES)
    found = {
        setting: [row for row in series.rows(cells, dataset, setting) if "mi" in row.cell.averages]
        for setting in series.settings_of(cells)
    }
    found = {setting: rows for setting, rows in found.items() if rows}
    if not found:
        return None
    most = max(map(len, found.values()))
    labels = {
        setting: layout.named_rows([row.label.replace(NOT_A_BOUND, "") for row in rows])
        for setting, rows in found.items()
    }
    height = max(of_row for _, of_row in labels.values())
    figure, axes = layout.panels(
        len(_MEASURES), 0.4 + (0.5 + height * most) * len(found), rows=len(found), sharex="col"
    )
    looks = series.looks(cells, dataset)
    for across, (setting, rows) in zip(axes, found.items(), strict=True):
        for ax, (measure, estimate) in zip(across, _MEASURES.items(), strict=True):
            for place, row in enumerate(rows):
                colour, marker = looks[row.key]
                if average := row.cell.averages.get(measure):
                    marks.seeds(ax, place + 0.2, average, colour, "x", 0.16)
                    marks.mean(ax, place - 0.08, average, colour, marker, "x", from_zero=True)
            names, _ = labels[setting]
            ax.set_yticks(range(len(rows)), names if ax is across[0] else [""] * len(rows))
            ax.set_ylim(len(rows) - 0.4, -0.6)
            ax.grid(visible=False, axis="y")
            ax.set_title(setting if ax is across[0] else "")
            if across is axes[-1]:
                ax.set_xlabel(f"{estimate.title}, {estimate.unit}")
    drawn = [row.cell.averages for rows in found.values() for row in rows]
    notes += marks.cut_at_zero("x", axes[0], ([a.get(measure) for a in drawn] for measure in _MEASURES))
    for ax in axes[0]:
        # The noise around 0 of a collapsed posterior must not fill the panel.
        left, right = ax.get_xlim()
        ax.set_xlim(min(-0.04, left), max(1.0, right))
    layout.title(figure, f"{dataset_title(dataset)}: use of the latent variable")
    intervals = marks.has_intervals(row.cell for rows in found.values() for row in rows)
    layout.legend(figure, marks.common_keys(intervals=intervals), notes=notes)
    return figure
