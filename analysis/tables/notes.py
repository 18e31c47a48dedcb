"""Notes on a dataset: warnings for a reader who compares its numbers with others."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.published.catalogue import compared_datasets, published_splits
from analysis.reading.frame import CONFIG_FIELDS, EVALUATION_FIELDS
from analysis.reading.plain import rows_by, values_of
from analysis.stats.cells import Cell
from analysis.stats.collapse import UNUSED
from analysis.stats.intervals import HUGE
from analysis.stats.text_groups import published_limits, text_notes
from analysis.stats.variants import numbers_first, setting_text, variants_by_row
from analysis.tables.elements.table import cell_label, row_label
from lvae_core.config import RunConfig
from lvae_core.protocols import ORIGINALS, Protocol, with_protocol
from lvae_core.systems import SYSTEMS, recipe

_MOST = 12
"""The largest number of items of a list that a note names."""

_NOT_STATED = frozenset((*EVALUATION_FIELDS, "iw_exact_samples")) - {"iw_samples"}
"""Fields of evaluation of which the paper says nothing, so that no run can depart from it."""

_OF_EVALUATION = (
    "system",
    "num_samples",
    "evaluation",
    "iw_samples",
    "iw_exact_samples",
    "mi_samples",
    "eval_precision",
    "tested_epoch",
)

_OF_SYSTEM = frozenset(f.name for f in fields(RunConfig) if f.metadata["group"] == "run")
"""Fields that identify the system, not its training."""


def dataset_notes(frame: pd.DataFrame, cells: Sequence[Cell], dataset: str) -> list[str]:
    """Collect the notes on a dataset, one line each."""
    done = frame[(frame["dataset"] == dataset) & (frame["status"] == "done")]
    of_dataset = [cell for cell in cells if cell.dataset == dataset]
    notes = [
        *text_notes(of_dataset, dataset),
        *_variants(of_dataset),
    ]
    if dataset in compared_datasets() and len(done):
        notes += [*_published_test_split(done, dataset), *_protocol(done, dataset)]
    else:
        # Without a published protocol, rows can only be compared with each other.
        notes += _mixed(done)
    notes += [
        *_protocols(done, frame, of_dataset),
        *huge_notes(of_dataset),
        *_unused_latents(of_dataset),
        *_repeated_seeds(done),
        *_monte_carlo(of_dataset),
    ]
    notes += _unseen_words(done)
    return [*notes, *_evaluations(done), *_without_evaluation(done)]


def caveats(frame: pd.DataFrame, cells: Sequence[Cell], dataset: str) -> list[str]:
    """Those of :func:`dataset_notes` that change how a number must be read, wherever it is printed."""
    frame = frame[["dataset", "status", *_OF_EVALUATION]]  # rows of all columns take long to copy
    done = frame[(frame["dataset"] == dataset) & (frame["status"] == "done")]
    of_dataset = [cell for cell in cells if cell.dataset == dataset]
    return [*huge_notes(of_dataset), *_unused_latents(of_dataset), *_evaluations(done)]


def huge_notes(cells: Iterable[Cell]) -> list[str]:
    """Name the cells whose estimates are so huge that tables print them in short, or that have no spread.

    A huge seed hides in no mean, so a reader sees such a number in any table of these cells.
    """
    rows: list[str] = []
    without_spread = False
    for cell in cells:
        huge = {n: a for n, a in cell.averages.items() if max(map(abs, a.values), default=0.0) >= HUGE}
        if huge and cell.shown:
            rows.append(f"{cell_label(cell)} {cell.setting} ({', '.join(huge)})")
            without_spread |= any(average.n > 1 and average.std is None for average in huge.values())
    if not rows:
        return []
    note = (
        f"estimates of {HUGE:.0e} and more: {_listed(rows)}; training diverged, a bound is very loose, "
        "or a file is wrong"
    )
    if without_spread:
        note += (
            ". Where no ± is given for several seeds, the spread is too large to be computed, and there is "
            "no interval, no test and no verdict"
        )
    return [note]


def _unseen_words(done: pd.DataFrame) -> Iterable[str]:
    """Runs whose test text needs an unknown word that their training text does not have."""
    untrained = done[done["train_unknown"].eq(0.0) & done["test_unknown"].gt(0.0)]
    if len(untrained):
        yield (
            f"{len(untrained)} of {len(done)} runs are tested on words that training never has "
            f"({untrained['test_unknown'].max():.1%} of the tokens) as a class that training never shows, "
            "which takes a large share of their NLL; with --set min_count=2, training shows it"
        )


def _variants(cells: Sequence[Cell]) -> Iterable[str]:
    labels: dict[str, list[str]] = {}
    for cell in cells:
        row = labels.setdefault(row_label(cell.system, cell.num_samples), [])
        if cell.shown and cell.variant_name not in row:
            row.append(cell.variant_name)
    alike: dict[tuple[str, ...], list[str]] = {}
    for row_name, variants in labels.items():
        if len(variants) > 1:
            alike.setdefault(tuple(variants), []).append(row_name)
    for names, rows in alike.items():
        yield (
            f"{_listed(rows, ', ')} {'was' if len(rows) == 1 else 'were'} run in {len(names)} variants "
            f"({_listed(names)}): each has its own row; they are never averaged together"
        )


def _unused_latents(cells: Sequence[Cell]) -> Iterable[str]:
    collapsed: list[str] = []
    annealing: dict[str, list[str]] = {}
    for cell in cells:
        if not cell.unused_latent:
            continue
        row = f"{row_label(cell.system, cell.num_samples)} {cell.setting}"
        row += f" ({cell.variant_name})" if cell.variant_name else ""
        if cell.collapsed:
            collapsed.append(row)
        else:
            annealing.setdefault(f"{cell.last_kl_weight:.2g}", []).append(row)
    little = f"z says next to nothing about a sentence (mutual information below {UNUSED} nats)"
    if collapsed:
        yield (
            f"posterior collapse, {little}: {_listed(collapsed, ', ')}; in effect these are language models"
        )
    for weight, rows in annealing.items():
        yield (
            f"{little}: {_listed(rows, ', ')}; training ended at β = {weight}, before the KL had its full "
            "weight, so this need not be posterior collapse"
        )


def _mixed(done: pd.DataFrame) -> Iterable[str]:
    rows = [row_label(system, L) for system, L in zip(done["system"], done["num_samples"], strict=True)]
    recipes = [_recipe(*run) for run in done[["system", "dataset", "setting"]].itertuples(index=False)]
    differences = []
    for name, of_runs in _configs(done).items():
        values: dict[str, dict[str, None]] = {}
        follows_recipes = True
        for row, planned, value in zip(rows, recipes, of_runs, strict=True):
            if value is None:
                continue  # the run does not read it
            values.setdefault(row, {})[setting_text(value)] = None
            follows_recipes &= value == getattr(planned, name)
        alike: dict[tuple[str, ...], list[str]] = {}
        for row, of_row in values.items():
            alike.setdefault(tuple(sorted(of_row, key=numbers_first)), []).append(row)
        # A field that was varied in every row alike is in the names of the variants.
        if follows_recipes or name in (*_OF_SYSTEM, *EVALUATION_FIELDS) or len(alike) < 2:
            continue
        differences += [f"{name}={' and '.join(v)} in {', '.join(those)}" for v, those in alike.items()]
    if differences:
        yield f"not all rows were run with the same config: {_listed(differences)}"


@functools.lru_cache
def _recipe(system: str, dataset: str, setting: str) -> RunConfig:
    """The recipe that a run is held to; for an unknown system that of the ordinary model."""
    return recipe(system if system in SYSTEMS else "lstm-vae", dataset=dataset, setting=cast(Any, setting))


def _published_test_split(done: pd.DataFrame, dataset: str) -> Iterable[str]:
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


def _protocol(done: pd.DataFrame, dataset: str) -> Iterable[str]:
    changes: Counter[tuple[str, str, str]] = Counter()
    configs = _configs(done)
    for system, setting, protocol, rows in _by_protocol(done):
        planned = with_protocol(_recipe(system, dataset, setting), protocol)
        for name in CONFIG_FIELDS:
            if name not in _OF_SYSTEM | _NOT_STATED:
                expected = getattr(planned, name)
                for value, count in Counter(configs[name][rows]).most_common():
                    if value is not None and value != expected:
                        changes[name, setting_text(value), setting_text(expected)] += count
    order = sorted(changes, key=lambda change: CONFIG_FIELDS.index(change[0]))
    listed = [
        f"{name}={value} instead of {expected} ({changes[name, value, expected]} of {len(done)} runs)"
        for name, value, expected in order
    ]
    if listed:
        yield (
            f"not run by the recipes of the systems: {_listed(listed)}; "
            "the differences from the published numbers may include this"
        )


def _protocols(done: pd.DataFrame, frame: pd.DataFrame, cells: Sequence[Cell]) -> Iterable[str]:
    """Which rows were trained as their authors did, if there are systems that can be.

    If a row has both protocols, these are variants of it, and the note names those that are shown.
    """
    rows: dict[Protocol, dict[tuple[str, int], list[int]]] = {"original": {}, "matched": {}}
    samples = done["num_samples"].to_numpy()
    for system, _, protocol, chosen in _by_protocol(done):
        if system in ORIGINALS:
            for position in chosen:
                rows[protocol].setdefault((system, samples[position]), []).append(position)
    in_both = rows["original"].keys() & rows["matched"].keys()
    names_of = _shown_names(frame, cells, {system for system, _ in in_both})
    labels: dict[Protocol, dict[str, None]] = {"original": {}, "matched": {}}
    for protocol, found in rows.items():
        for row, positions in found.items():
            named = [row_label(*row)]
            if row in in_both:
                named = [name for index in done.index[positions] if (name := names_of.get(index))]
            labels[protocol] |= dict.fromkeys(named)
    said = [
        f"{_listed(list(names), ', ')} {how}"
        for names, how in (
            (labels["original"], "as trained by its authors (--protocol original)"),
            (labels["matched"], "as all other systems, by the recipes (--protocol matched)"),
        )
        if names
    ]
    if said:
        yield f"protocols: {'; '.join(said)}"


def _shown_names(frame: pd.DataFrame, cells: Sequence[Cell], systems: Collection[str]) -> dict[object, str]:
    """Index of a run of some systems in the frame -> its row with its variant, as tables name it."""
    if not systems:
        return {}
    shown = {(c.system, c.num_samples, c.variant): cell_label(c, " ({})") for c in cells if c.shown}
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
            matched = _recipe(system, done["dataset"].iloc[rows[0]], setting)
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


def _configs(done: pd.DataFrame) -> dict[str, NDArray[np.object_]]:
    """The config fields as plain arrays, None for what a run does not read."""
    return dict(zip(CONFIG_FIELDS, values_of(done, CONFIG_FIELDS).T, strict=True))


def _repeated_seeds(done: pd.DataFrame) -> Iterable[str]:
    # Runs of two versions of the code differ in their fingerprint, but may share all that makes a variant.
    names = ["system", "num_samples", "setting", "seed", "data_sha256", "numerics", *CONFIG_FIELDS]
    repeated = int(done.duplicated(names).sum())
    if repeated:
        yield f"{repeated} runs repeat a seed of their cell under another version of the code"


def _monte_carlo(cells: Sequence[Cell]) -> Iterable[str]:
    errors = [
        error
        for cell in cells
        for name, average in cell.averages.items()
        for error in average.mc_stderrs
        if name.startswith("nll") and error is not None
    ]
    if errors:
        yield f"Monte Carlo standard error of a run's NLL: at most {max(errors):.2g} nats"


def _evaluations(done: pd.DataFrame) -> Iterable[str]:
    """The evaluation that the estimates come from, of a language model if it is not the usual one.

    By system if they differ.
    """
    rows: dict[str, dict[str, None]] = {}
    done = done[[*_OF_EVALUATION]]
    last = (done["tested_epoch"] == "last").fillna(False)
    said = done[done["evaluation"].notna() & (done["iw_samples"].notna() | last)]
    for _, run in said.drop_duplicates(["system", "num_samples", "evaluation"]).iterrows():
        rows.setdefault(_evaluation_text(run), {})[row_label(run["system"], run["num_samples"])] = None
    if len(rows) == 1:
        yield f"estimates shown: {next(iter(rows))}"
    elif rows:
        listed = [f"{text} in {', '.join(labels)}" for text, labels in rows.items()]
        yield f"estimates shown: {_listed(listed)}"


def _evaluation_text(run: pd.Series) -> str:
    parts = []
    if not pd.isna(samples := run["iw_samples"]):
        exact = run["iw_exact_samples"]
        full = f" ({exact} scored in full)" if 0 < exact < samples else ""
        draws = f"{run['mi_samples']} draws for the mutual information"
        parts += [f"S = {samples} importance samples{full}", draws]
    parts += [] if run["eval_precision"] == "float32" else [f"in {run['eval_precision']}"]
    # Results from before the field lack it.
    is_last = not pd.isna(run["tested_epoch"]) and run["tested_epoch"] == "last"
    parts += ["of the last epoch instead of the best"] if is_last else []
    return f"{', '.join(parts)} (evaluation {run['evaluation']})"


def _without_evaluation(done: pd.DataFrame) -> Iterable[str]:
    names = ["system", "num_samples", "setting"]
    # Rows of all columns take long to copy.
    cells = done[[*names, "evaluation", "iw_samples"]].groupby(names, sort=False)
    for (system, num_samples, setting), runs in cast(Any, cells):
        lacking = int(runs["evaluation"].isna().sum())
        if lacking:
            samples = runs["iw_samples"].dropna().unique()
            which = f"evaluation with S = {samples[0]}" if len(samples) == 1 else "such evaluation"
            label = row_label(system, num_samples)
            yield f"{label} {setting}: {lacking} of {len(runs)} seeds have no {which}"


def _listed(items: Sequence[str], separator: str = "; ") -> str:
    more = [f"and {len(items) - _MOST} more"] if len(items) > _MOST else []
    return separator.join([*items[:_MOST], *more])
