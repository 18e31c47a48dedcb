"""Sentences of the best run of each system, made by lvae_core in a process of its own, which has torch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.reading.run_row import one_line
from analysis.stats.cells import Cell
from analysis.stats.valid_bounds import tightest
from analysis.tables.table import row_label
from lvae_core.identity import canonical_json
from lvae_core.run_folder.folder import RunFolder, Study

COUNT = 4
"""Samples, and reconstructions."""

_SECONDS = 300


@dataclass(frozen=True)
class Best:
    """The run of a system that has the lowest valid NLL on a dataset."""

    cell: Cell
    run: str
    nll: float
    estimate: str

    @property
    def label(self) -> str:
        """The system with its L and setting."""
        return f"{row_label(self.cell.system, self.cell.num_samples)}, {self.cell.setting}"


@dataclass(frozen=True)
class Sentences:
    """What a best run says."""

    best: Best
    prior: tuple[str, ...] = ()
    """Each from its own z of the prior."""
    reconstructions: tuple[tuple[str, str], ...] = ()
    """Sentences of the test split as the encoder reads them, and what their posterior mean decodes to."""
    note: str = ""
    """Why there are none."""


def best_runs(cells: Sequence[Cell], dataset: str) -> list[Best]:
    """Of each system on a dataset, over its settings, L and variants, the run of the lowest valid NLL."""
    best: dict[str, Best] = {}
    for cell in cells:
        way = tightest(cell) if cell.dataset == dataset else None
        if way is None:
            continue
        average = cell.averages[f"nll{way}"]
        for value, run in zip(average.values, average.runs, strict=True):
            if cell.system not in best or value < best[cell.system].nll:
                best[cell.system] = Best(cell, run, value, f"nll{way}")
    return list(best.values())


def sentences(
    best: Sequence[Best],
    frame: pd.DataFrame,
    *,
    data_dir: str | None = None,
    cache: Path | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> list[Sentences]:
    """What each says; a note where it cannot: no checkpoint beside the result, no data, no torch.

    Args:
        best: the runs.
        frame: of all runs.
        data_dir: where the datasets are.
        cache: folder in which they are kept: what a run of that result says does not change.
        advance: is told ``(made, total)`` as it goes.
    """
    rows = frame[frame["status"] == "done"].set_index("run")
    told = []
    for number, each in enumerate(best, start=1):
        row = rows.loc[each.run]
        key = f"{each.run} {row['result_sha256']} {COUNT} 1"
        path = cache and cache / f"samples-{hashlib.sha256(key.encode()).hexdigest()}.json"
        found = _load(path) if path else None
        if found is None:
            found, note = _generate(Study(str(row["study"])).run(str(row["folder"])), data_dir)
            if found and path:
                _save(path, found)
            if not found:
                told.append(Sentences(each, note=note))
        if found:
            told.append(Sentences(each, *_checked(found)))
        if advance:
            advance(number, len(best))
    return told


def _generate(folder: RunFolder, data_dir: str | None) -> tuple[dict[str, Any] | None, str]:
    if not any(map(folder.has, ("checkpoint.pt", "checkpoint.previous.pt"))):
        return None, "there is no checkpoint beside its result"
    command = [sys.executable, "-m", "lvae_core", "generate", str(folder), "--json", "--count", str(COUNT)]
    command += ["--data-dir", data_dir] if data_dir else []
    # It is imported from where this is, installed or not.
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_SECONDS,
            check=False,
            env=os.environ | {"PYTHONPATH": paths, "PYTHONUTF8": "1"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, one_line(str(error))
    if done.returncode == 0:
        with contextlib.suppress(ValueError):
            return dict(json.loads(done.stdout)), ""
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return None, one_line(last.removeprefix("error: "))


def _checked(found: dict[str, Any]) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    pairs = tuple((str(read), str(made)) for read, made in found.get("reconstructions", []))
    return tuple(map(str, found.get("prior", []))), pairs


def _load(path: Path) -> dict[str, Any] | None:
    try:
        head, _, text = path.read_text(encoding="utf-8").partition("\n")
        return dict(json.loads(text)) if head == _digest(text) else None
    except (OSError, ValueError):
        return None


def _save(path: Path, found: dict[str, Any]) -> None:
    text = canonical_json(found)
    # Where it cannot be kept, it is made again the next time.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"{_digest(text)}\n{text}")
        os.replace(temporary, path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
