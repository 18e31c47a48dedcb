"""Notes on protocols: how runs differ from the published experiment, recipes and each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.published.catalogue import published_splits
from analysis.reading.frame import CONFIG_FIELDS, EVALUATION_FIELDS
from analysis.reading.plain import rows_by, values_of
from analysis.stats.cells import Cell
from analysis.stats.departures import OF_SYSTEM, TRAINING_FIELDS, recipe_of
from analysis.stats.field_texts import field_text, field_texts, numbers_first
from analysis.stats.text_groups import published_limits
from analysis.stats.variants import variants_by_row
from analysis.tables.elements.table import cell_label, row_label
from analysis.tables.notes.capped import capped
from lvae_core.config import RunConfig
from lvae_core.protocols import ORIGINALS, Protocol, with_protocol
from lvae_core.systems import has_own_sizes

_NOT_STATED = frozenset((*EVALUATION_FIELDS, "iw_exact_samples")) - {"iw_samples"}
"""Fields of evaluation of which the paper says nothing, so that no run can depart from it."""

_OF_DATA = frozenset(f.name for f in fields(RunConfig) if f.metadata["group"] == "data")
"""Fields that the recipe of a folder's text takes from the text."""

_CHOSEN_BY_TEXT = "min_count"
"""The field that a folder's text chooses when runs are planned, so finished runs alone do not tell it."""

_PROTOCOL_WORDS: dict[Protocol, str] = {
    "original": "as trained by its authors",
    "matched": "by the recipes of all systems",
}


def published_test_split(done: pd.DataFrame, dataset: str) -> Iterable[str]:
    """Count the runs whose test split or vocabulary is not the published one."""
    if dataset not in published_splits():
        return
    sentences, tokens = published_splits()[dataset]
    other = int(((done["sentences"] != sentences) | (done["tokens"] != tokens)).sum())
    if other:
        yield (
            f"not the published test split ({sentences:,} sentences, {tokens:,} tokens) in {other} of "
            f"{len(done)} runs: they are not compared with the published numbers"
        )
    if limits := published_limits(dataset):
        fields = ("min_count", "max_vocabulary")
        other = int((done[list(fields)] != list(limits)).any(axis=1).sum())
        if other:
            named = ", ".join(f"{name}={value}" for name, value in zip(fields, limits, strict=True))
            yield (
                f"not the published vocabulary ({named}) in {other} of {len(done)} runs: they are not "
                "compared with the published numbers"
            )


def differences_from_recipes(done: pd.DataFrame, dataset: str) -> Iterable[str]:
    """Name the fields in which runs depart from the recipes of their systems, under the nearer protocol."""
    changes: Counter[tuple[str, str, str]] = Counter()
    configs = _configs(done)
    passed_over = OF_SYSTEM | _NOT_STATED | (set() if has_own_sizes(dataset) else {_CHOSEN_BY_TEXT})
    for system, setting, protocol, rows in _by_protocol(done):
        planned = with_protocol(recipe_of(system, dataset, setting), protocol)
        for name in CONFIG_FIELDS:
            if name not in passed_over:
                expected = getattr(planned, name)
                for value, count in Counter(configs[name][rows]).most_common():
                    if value is not None and value != expected:
                        changes[name, field_text(value), field_text(expected)] += count
    order = sorted(changes, key=lambda change: CONFIG_FIELDS.index(change[0]))
    texts = [
        f"{name}={value} instead of {expected} ({changes[name, value, expected]} of {len(done)} runs)"
        for name, value, expected in order
    ]
    if texts:
        yield (
            f"not run by the recipes of the systems: {capped(texts)}; "
            "the differences from the published numbers may include this"
        )


def protocols(done: pd.DataFrame, frame: pd.DataFrame, cells: Sequence[Cell]) -> Iterable[str]:
    """Say which rows were trained as their authors did, and whether in all fields.

    There is no note if no system has a protocol of its authors.

    If a row has both protocols, these are variants of it, and the note names those that are shown.
    """
    runs: list[tuple[tuple[str, int], Protocol, int, bool]] = []
    configs, samples = _configs(done), done["num_samples"].to_numpy()
    for system, setting, protocol, chosen in _by_protocol(done):
        if system in ORIGINALS:
            planned = with_protocol(recipe_of(system, done["dataset"].iloc[0], setting), protocol)
            for position in chosen:
                changed = any(
                    configs[name][position] not in (None, getattr(planned, name))
                    for name in TRAINING_FIELDS
                    if name not in _OF_DATA
                )
                runs.append(((system, samples[position]), protocol, position, changed))
    of_rows = {(row, protocol) for row, protocol, *_ in runs}
    in_both = {row for row, protocol in of_rows if protocol == "original" and (row, "matched") in of_rows}
    names_of = _shown_names(frame, cells, {system for system, _ in in_both})
    departs: dict[tuple[Protocol, str], bool] = {}
    for row, protocol, position, changed in runs:
        label = names_of.get(done.index[position], "") if row in in_both else row_label(*row)
        if label:
            departs[protocol, label] = changed or departs.get((protocol, label), False)
    said: dict[str, list[str]] = {}
    for protocol, words in _PROTOCOL_WORDS.items():
        for (other, label), changed in departs.items():
            if other == protocol:
                but = ", but for changed fields" if changed else ""
                said.setdefault(f"{words}{but} (--protocol {protocol})", []).append(label)
    if said:
        parts = [f"{capped(labels, ', ')} {how}" for how, labels in said.items()]
        yield f"protocols: {'; '.join(parts)}"


def _shown_names(frame: pd.DataFrame, cells: Sequence[Cell], systems: Collection[str]) -> dict[object, str]:
    """Index of a run of some systems in the frame -> its row with its variant, as tables name it."""
    if not systems:
        return {}
    shown = {(c.system, c.num_samples, c.variant): cell_label(c) for c in cells if c.shown}
    runs = frame[frame["system"].isin(systems) & frame["dataset"].isin({c.dataset for c in cells})]
    found = {}
    for rows, variants in variants_by_row(runs):
        for row, variant in zip(rows, variants, strict=True):
            key = (runs["system"].iloc[row], runs["num_samples"].iloc[row], variant.label)
            if key in shown:
                found[runs.index[row]] = shown[key]
    return found


def _by_protocol(done: pd.DataFrame) -> Iterable[tuple[str, str, Protocol, NDArray[np.int64]]]:
    """The rows of each system and setting, apart by the protocol that their fields are nearer to."""
    configs = _configs(done)
    for (system, setting), found in rows_by(done, ("system", "setting")).items():
        rows = np.array(found)
        votes = np.zeros(len(rows), np.int64)  # for the original
        if system in ORIGINALS:
            matched = recipe_of(system, done["dataset"].iloc[rows[0]], setting)
            original = with_protocol(matched, "original")
            for name in CONFIG_FIELDS:
                here, there = getattr(matched, name), getattr(original, name)
                if here != there:
                    values = configs[name][rows]
                    votes += (values == there).astype(np.int64) - (values == here)
        protocols: tuple[tuple[Protocol, Any], ...] = (("matched", votes <= 0), ("original", votes > 0))
        for protocol, chosen in protocols:
            if chosen.any():
                yield system, setting, protocol, rows[chosen]


def mixed_configs(done: pd.DataFrame) -> Iterable[str]:
    """Name the fields in which rows differ from each other and from their recipes."""
    rows = [row_label(system, L) for system, L in zip(done["system"], done["num_samples"], strict=True)]
    recipes = [recipe_of(*run) for run in done[["system", "dataset", "setting"]].itertuples(index=False)]
    differences = []
    configs = _configs(done)
    for name in TRAINING_FIELDS:
        values: dict[str, dict[str, None]] = {}
        follows_recipes = True
        texts = field_texts({value for value in configs[name] if value is not None})
        for row, planned, value in zip(rows, recipes, configs[name], strict=True):
            if value is None:
                continue  # the run does not read it
            values.setdefault(row, {})[texts[value]] = None
            follows_recipes &= value == getattr(planned, name)
        alike: dict[tuple[str, ...], list[str]] = {}
        for row, of_row in values.items():
            alike.setdefault(tuple(sorted(of_row, key=numbers_first)), []).append(row)
        # A field that was varied in every row alike is in the names of the variants.
        if follows_recipes or len(alike) < 2:
            continue
        differences += [f"{name}={' and '.join(v)} in {', '.join(those)}" for v, those in alike.items()]
    if differences:
        yield f"not all rows were run with the same config: {capped(differences)}"


def _configs(done: pd.DataFrame) -> dict[str, NDArray[np.object_]]:
    """The config fields as plain arrays, None for what a run does not read."""
    return dict(zip(CONFIG_FIELDS, values_of(done, CONFIG_FIELDS).T, strict=True))
