"""The notes on a dataset, in their order, and those that every table repeats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from analysis.published.catalogue import compared_datasets
from analysis.reading.frame import CONFIG_FIELDS
from analysis.stats.cells import Cell
from analysis.stats.text_groups import text_notes
from analysis.tables.notes import budget, evaluations, protocols
from analysis.tables.notes.cells import (
    huge_notes,
    monte_carlo,
    other_objectives,
    unused_latents,
    variants,
)
from lvae_core.messages import numbered
from lvae_core.run_folder.unknown_share import share_text, shown_too_seldom


def dataset_notes(frame: pd.DataFrame, cells: Sequence[Cell], dataset: str) -> list[str]:
    """Collect the notes on a dataset, one line each."""
    done = frame[(frame["dataset"] == dataset) & (frame["status"] == "done")]
    of_dataset = [cell for cell in cells if cell.dataset == dataset]
    notes = [
        *text_notes(of_dataset, dataset),
        *variants(of_dataset),
    ]
    if dataset in compared_datasets() and len(done):
        notes += [
            *protocols.published_test_split(done, dataset),
            *protocols.differences_from_recipes(done, dataset),
        ]
    else:
        # Without a published protocol, rows can only be compared with each other.
        notes += protocols.mixed_configs(done)
    notes += [
        *protocols.protocols(done, frame, of_dataset),
        *budget.still_improving(done),
        *huge_notes(of_dataset),
        *other_objectives(of_dataset),
        *unused_latents(of_dataset),
        *_repeated_seeds(done),
        *monte_carlo(of_dataset),
    ]
    notes += _unseen_words(done)
    return [*notes, *evaluations.shown(done), *evaluations.lacking(done)]


def caveats(frame: pd.DataFrame, cells: Sequence[Cell], dataset: str) -> list[str]:
    """Those of :func:`dataset_notes` that change how a number must be read, wherever it is printed."""
    frame = frame[["dataset", "status", *evaluations.COLUMNS]]  # rows of all columns take long to copy
    done = frame[(frame["dataset"] == dataset) & (frame["status"] == "done")]
    of_dataset = [cell for cell in cells if cell.dataset == dataset]
    return [
        *huge_notes(of_dataset),
        *other_objectives(of_dataset),
        *unused_latents(of_dataset),
        *evaluations.shown(done),
    ]


def details(frame: pd.DataFrame, cells: Sequence[Cell], dataset: str) -> list[str]:
    """Those of :func:`dataset_notes` without which no number is misread; a terminal leaves them out."""
    done = frame[(frame["dataset"] == dataset) & (frame["status"] == "done")]
    of_dataset = [cell for cell in cells if cell.dataset == dataset]
    return [
        *variants(of_dataset),
        *monte_carlo(of_dataset),
        *evaluations.shown(done),
    ]


def _unseen_words(done: pd.DataFrame) -> Iterable[str]:
    """Runs whose test text needs an unknown word that their training text does not have, or hardly has."""
    shares = done[["train_unknown", "test_unknown"]].dropna()
    rows = shares.itertuples(index=False, name=None)
    seldom = [shown_too_seldom(float(train), float(test)) for train, test in rows]
    found = shares[pd.Series(seldom, index=shares.index, dtype=bool)]
    untrained, rare = found[found["train_unknown"].eq(0.0)], found[found["train_unknown"].gt(0.0)]
    if len(untrained):
        yield (
            f"{len(untrained)} of {len(done)} runs are tested on words that training never has "
            f"({untrained['test_unknown'].max():.1%} of the tokens) as a class that training never shows, "
            "which takes a large share of their NLL; with --set min_count=2, training shows it"
        )
    if len(rare):
        test, train = share_text(rare["test_unknown"].max()), share_text(rare["train_unknown"].min())
        remedy = f"--set min_count={int(done.loc[rare.index, 'min_count'].max()) + 1}"
        yield (
            f"{len(rare)} of {len(done)} runs are tested on far more unknown words ({test} of the tokens) "
            f"than training leads them to expect ({train}), so each costs many nats; with {remedy}, "
            "training shows more of them"
        )


def _repeated_seeds(done: pd.DataFrame) -> Iterable[str]:
    # Runs of two versions of the code differ in their fingerprint, but may share all that makes a variant.
    names = ["system", "num_samples", "setting", "seed", "data_sha256", "numerics", *CONFIG_FIELDS]
    repeated = int(done.duplicated(names).sum())
    if repeated:
        yield (
            f"{numbered(repeated, 'run', 'repeats')} a seed of a run with the same fields, under another "
            "version of the code or by precision=auto; such runs are variants of their own"
        )
