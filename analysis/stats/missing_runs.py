"""Runs that a study's grid has and that nobody has begun: rows of status "missing".

Nothing in a study says how large its grid was meant to be, so this follows from what is there. A seed
belongs to a study's grid if at least half of its cells (a variant is a cell of its own) have a run with it,
begun, failed or done. Every cell of the study is then expected to have that seed, and has a missing row
where neither it nor the same cell of another study has one. So a cell that fell behind shows its gaps; a
few cells that were given more seeds on purpose do not make all others incomplete; and a cell of which there
is no run at all is not known here. Runs of another version of the core's numerics count for nothing: nobody
will add to them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.reading.frame import frame_of, in_order, table_of
from analysis.stats.variants import VARIANT_FIELDS, Variant, variant_labels
from lvae_core.run_folder.names import CellName

_CELL = ("dataset", "system", "num_samples", "setting")


class _Cell(NamedTuple):
    dataset: str
    system: str
    num_samples: int
    setting: str
    variant: Variant


def with_missing(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a row for each missing run. Its ``run`` is what is known of the name."""
    present: dict[_Cell, set[int]] = defaultdict(set)
    by_study: dict[str, dict[_Cell, set[int]]] = defaultdict(lambda: defaultdict(set))
    example: dict[_Cell, list[tuple[pd.DataFrame, int]]] = defaultdict(list)
    known: set[_Cell] = set()
    named = frame[frame["dataset"].notna()]
    for _, runs in named.groupby(["dataset", "system", "num_samples"], sort=False):
        variants = variant_labels(runs)
        current = runs["averaging"].notna() & (runs["numerics"].fillna("current") == "current")
        columns = (runs[name] for name in ("status", "study", "seed", *_CELL))
        for position, (variant, counts, status, study, seed, dataset, system, L, setting) in enumerate(
            zip(variants, current, *columns, strict=True)
        ):
            cell = _Cell(dataset, system, L, setting, variant)
            present[cell].add(seed)
            if counts:
                by_study[study][cell].add(seed)
                # One that is done knows most, its data included.
                if cell not in example or (status == "done" and cell not in known):
                    example[cell].append((runs, position))
                    if status == "done":
                        known.add(cell)
    rows = []
    for study, cells in by_study.items():
        counts = Counter(seed for seeds in cells.values() for seed in seeds)
        grid = sorted(seed for seed, number in counts.items() if 2 * number >= len(cells))
        for cell in cells:
            for seed in grid:
                if seed not in present[cell]:
                    present[cell].add(seed)
                    rows.append(_row(study, cell, seed, _known(example[cell])))
    return in_order(pd.concat([frame, frame_of(table_of(rows))])) if rows else frame


def _known(examples: Sequence[tuple[pd.DataFrame, int]]) -> dict[str, Any]:
    found = (runs.iloc[position] for runs, position in examples)
    return {name: run[name] for run in found for name in VARIANT_FIELDS if not pd.isna(run[name])}


def _row(study: str, cell: _Cell, seed: int, known: dict[str, Any]) -> dict[str, Any]:
    names = dict(zip(_CELL, cell, strict=False))
    run = f"{CellName(cell.dataset, cell.system, cell.setting, cell.num_samples)}__seed{seed}"
    return {**known, **names, "study": study, "run": run, "seed": seed, "status": "missing"}
