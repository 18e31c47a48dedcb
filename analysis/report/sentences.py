"""Generate sentences from the best run of each system, as its validation perplexity tells."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.report.generator import Generator
from analysis.stats.cells import Cell
from analysis.stats.valid_bounds import tightest
from analysis.tables.elements.table import cell_label
from lvae_core.identity import canonical_json
from lvae_core.run_folder.folder import RunFolder
from lvae_core.run_folder.study import Study
from lvae_core.storage.local import replacing

COUNT = 4
"""Number of samples, and of reconstructions."""


@dataclass(frozen=True)
class Best:
    """The run of a system that sentences are generated from."""

    cell: Cell
    run: str
    nll: float
    """Its tightest valid bound on the test split."""
    estimate: str
    validation: float | None = None
    """The lowest validation perplexity, by which it was chosen; None: by the bound, as no run has one."""

    @property
    def label(self) -> str:
        """The system with its L, variant and setting."""
        return f"{cell_label(self.cell)}, {self.cell.setting}"


@dataclass(frozen=True)
class Sentences:
    """The sentences of a best run."""

    best: Best
    prior: tuple[str, ...] = ()
    """Sentences decoded greedily from different draws of z from the prior; a language model has but one."""
    reconstructions: tuple[tuple[str, str], ...] = ()
    """Sentences of the test split as the encoder reads them, and as decoded from their posterior mean."""
    sampled: tuple[str, ...] = ()
    """Sentences of the same kind whose words were drawn, as from a language model."""
    note: str = ""
    """The reason, if there are no sentences."""


def best_runs(
    cells: Sequence[Cell], dataset: str, perplexities: Mapping[str, float] | None = None
) -> list[Best]:
    """Choose each system's best run on each test text of a dataset, over all else.

    Args:
        cells: the cells of all datasets.
        dataset: the dataset.
        perplexities: name of a run -> its lowest validation perplexity. The run with the lowest one is
            chosen; if no run of a system has one, the run with the lowest bound on the test split.
    """
    best: dict[object, Best] = {}
    of_runs = perplexities or {}
    for cell in cells:
        convention = tightest(cell) if cell.dataset == dataset else None
        if convention is None:
            continue
        average = cell.averages[convention.nll]
        for value, run in zip(average.values, average.runs, strict=True):
            key = cell.system, cell.text
            found = Best(cell, run, value, convention.nll, of_runs.get(run))
            if key not in best or _rank(found) < _rank(best[key]):
                best[key] = found
    return list(best.values())


def _rank(best: Best) -> tuple[bool, float]:
    known = best.validation is not None
    return not known, best.nll if best.validation is None else best.validation


def sentences(
    best: Sequence[Best],
    frame: pd.DataFrame,
    *,
    data_dir: str | None = None,
    cache: Path | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> list[Sentences]:
    """Generate sentences from each run, or note why it cannot: no checkpoint, no data, no torch.

    Args:
        best: the runs.
        frame: all runs.
        data_dir: the folder of the datasets.
        cache: a folder in which generated sentences are kept, because those of a result never change.
        advance: called with ``(made, total)`` after each run.
    """
    rows = frame[frame["status"] == "done"].set_index("run")
    made = []
    with Generator() as generator:
        for number, run in enumerate(best, start=1):
            row = rows.loc[run.run]
            # The last number is the version of the cache format.
            key = f"{run.run} {row['result_sha256']} {COUNT} 2"
            path = cache and cache / f"samples-{hashlib.sha256(key.encode()).hexdigest()}.json"
            found, note = _load(path) if path else None, ""
            if found is None:
                folder = Study(str(row["study"])).run(str(row["folder"]))
                found, note = _generate(generator, folder, data_dir)
                if found and path:
                    _save(path, found)
            made.append(Sentences(run, *_texts(found)) if found else Sentences(run, note=note))
            if advance:
                advance(number, len(best))
    return made


def _generate(
    generator: Generator, folder: RunFolder, data_dir: str | None
) -> tuple[dict[str, Any] | None, str]:
    """The sentences of a run, decoded both ways, so that systems can be compared by either."""
    if not folder.has_checkpoint():
        return None, "the run's folder has a result but no checkpoint"
    common = [str(folder), "--json", "--count", str(COUNT), *(["--data-dir", data_dir] if data_dir else [])]
    found, note = generator.generate([*common, "--decode", "greedy"])
    if found is None:
        return None, note
    sampled, note = generator.generate([*common, "--decode", "sample"])
    return (None, note) if sampled is None else ({**found, "sampled": sampled.get("prior", [])}, "")


def _texts(
    found: dict[str, Any],
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...], tuple[str, ...]]:
    pairs = tuple((str(read), str(made)) for read, made in found.get("reconstructions", []))
    return tuple(map(str, found.get("prior", []))), pairs, tuple(map(str, found.get("sampled", [])))


def _load(path: Path) -> dict[str, Any] | None:
    try:
        head, _, text = path.read_text(encoding="utf-8").partition("\n")
        return dict(json.loads(text)) if head == _digest(text) else None
    except (OSError, ValueError):
        return None


def _save(path: Path, found: dict[str, Any]) -> None:
    text = canonical_json(found)
    # If it cannot be kept, the sentences are generated again the next time.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(f"{_digest(text)}\n{text}".encode())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
