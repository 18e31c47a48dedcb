"""Find what is missing: runs that a study's grid should have, and published cells without any run.

A study does not record how large its grid was meant to be, so the grid is inferred from the runs. A seed
belongs to the grid of a dataset in a study if at least half of the cells there have a run with that seed,
begun, failed or finished; each variant counts as a cell. Each of these cells should then have that seed. If
neither it nor the same cell of another study has one, a row of status "missing" is added to the frame.

So a cell that fell behind shows its gaps, and a few cells with extra seeds do not make all others
incomplete. A cell without any run is not noticed. Runs of another numerics version are ignored, because
nobody will complete them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.published.catalogue import averaging_of, catalogue
from analysis.reading.frame import frame_of, in_order, table_of
from analysis.stats.cells import Cell, Counts, table_order
from analysis.stats.variants import VARIANT_FIELDS, Variant, variants_by_row
from lvae_core.run_folder.names import CellName

_CELL = ("dataset", "system", "num_samples", "setting")


class _Cell(NamedTuple):
    dataset: str
    system: str
    num_samples: int
    setting: str
    variant: Variant


class _Run(NamedTuple):
    cell: _Cell
    study: str
    seed: int
    status: str
    counts: bool
    """Whether it says something about its study's grid."""
    row: int
    """Its position in the frame."""


def with_missing(frame: pd.DataFrame) -> pd.DataFrame:
    """Add a row for each missing run; its ``run`` is the known part of the run's name."""
    seeds: dict[_Cell, set[int]] = defaultdict(set)
    grids: dict[tuple[str, str], dict[_Cell, set[int]]] = defaultdict(lambda: defaultdict(set))
    examples: dict[_Cell, list[_Run]] = {}
    for run in _runs(frame):
        seeds[run.cell].add(run.seed)
        if run.counts:
            grids[run.study, run.cell.dataset][run.cell].add(run.seed)
            # The first run gives the config; the first finished one adds the hash of its data.
            found = examples.setdefault(run.cell, [])
            if not found or (run.status == "done" and found[-1].status != "done"):
                found.append(run)
    rows = []
    for (study, _), cells in grids.items():
        counts = Counter(seed for present in cells.values() for seed in present)
        # Half or more of the cells: one cell with extra seeds does not extend the grid.
        grid = sorted(seed for seed, number in counts.items() if 2 * number >= len(cells))
        for cell in cells:
            for seed in grid:
                if seed not in seeds[cell]:
                    seeds[cell].add(seed)
                    rows.append(_row(study, cell, seed, _known_fields(frame, examples[cell])))
    return in_order(pd.concat([frame, frame_of(table_of(rows))])) if rows else frame


def cells_without_runs(cells: Sequence[Cell], dataset: str) -> list[Cell]:
    """Make an empty cell for each published cell of a dataset to compare with ours that has no run."""
    present = {(c.system, c.num_samples, c.setting) for c in cells if c.dataset == dataset}
    facts = [fact for fact in catalogue().facts if fact.beside and fact.dataset == dataset]
    published = dict.fromkeys((f.system, f.num_samples, f.setting) for f in facts)
    absent = [
        Cell(dataset, system, num_samples, setting, "", averaging_of(system, num_samples), Counts(), {})
        for system, num_samples, setting in published
        if (system, num_samples, setting) not in present
    ]
    return sorted(absent, key=table_order)


def _runs(frame: pd.DataFrame) -> Iterator[_Run]:
    # A run without a config (damaged) has no averaging, and could be of any variant.
    counts = frame["averaging"].notna() & (frame["numerics"].fillna("current") == "current")
    cells: list[tuple[str, str, int, str]] = list(zip(*(frame[name] for name in _CELL), strict=True))
    runs = list(zip(frame["study"], frame["seed"], frame["status"], counts, strict=True))
    for rows, variants in variants_by_row(frame):
        for row, variant in zip(rows, variants, strict=True):
            yield _Run(_Cell(*cells[row], variant), *runs[row], row)


def _known_fields(frame: pd.DataFrame, examples: Sequence[_Run]) -> dict[str, Any]:
    rows = (frame.iloc[run.row] for run in examples)
    return {name: row[name] for row in rows for name in VARIANT_FIELDS if not pd.isna(row[name])}


def _row(study: str, cell: _Cell, seed: int, known: dict[str, Any]) -> dict[str, Any]:
    names = dict(zip(_CELL, cell, strict=False))
    run = f"{CellName(cell.dataset, cell.system, cell.setting, cell.num_samples)}__seed{seed}"
    return {**known, **names, "study": study, "run": run, "seed": seed, "status": "missing"}
