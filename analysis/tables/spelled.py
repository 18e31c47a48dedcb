"""The table that compares vocabularies: NLL per character, with unknown words spelled out.

A smaller vocabulary has a lower NLL, because all that it does not list is one easy class. When the letters
of unknown words are paid for, too (lvae_core/data/spelling.py), every number is about the same characters.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from analysis.stats.average import Average, average
from analysis.stats.cells import Cell
from analysis.stats.intervals import error_text
from analysis.stats.text_groups import compared_vocabularies
from analysis.stats.texts import Text
from analysis.stats.valid_bounds import JOINT_ELBO, to_compare
from analysis.tables.elements.shown_variants import variant_key
from analysis.tables.elements.table import (
    SETTINGS,
    Column,
    Line,
    Table,
    Value,
    cell_label,
    dataset_title,
    legend,
    marks_given_once,
    runs_text,
)

_METHOD = (
    "NLL per char, with its 95%: (NLL per sentence + spelling) x sentences / characters of the test split, "
    "in nats; a space or the end of a line is a character. Spelling: nats per sentence for the letters of "
    "unknown words, by a model of letters that follows from the training text and the vocabulary alone. If "
    "the NLL per sentence is a bound, so is this number, and two bounds decide nothing. No difference here "
    "is tested, and a vocabulary chosen by the test split has a number that is likely too low"
)

_PER_KNOWN_WORD = "NLL per known word"

_KNOWN = (
    f"{_PER_KNOWN_WORD}: (NLL - what unknown words cost) / tokens that the vocabulary lists, </s> "
    "included, in nats, with unknown words given; by the ELBO if the NLL is not exact, by the joint one if "
    "there are several samples of z. Another vocabulary lists other words, so this number compares no "
    "vocabularies. Empty: earlier results do not record what unknown words cost"
)
"""Not importance-weighted: the weights are of whole sentences."""


def spelled_table(cells: Sequence[Cell], dataset: str) -> Table:
    """Compare a dataset's cells whose vocabularies differ over one test text; no lines if none do."""
    lines: list[Line] = []
    of_dataset = [cell for cell in cells if cell.dataset == dataset]
    for setting in SETTINGS:
        groups = compared_vocabularies([cell for cell in of_dataset if cell.setting == setting])
        for together in groups:
            lines += [
                Line("heading", _heading(together[0], several=len(groups) > 1)),
                *map(_line, together),
            ]
    key = variant_key(cells, dataset)
    known = (_KNOWN,) if any(line.values and line.values[4] is not None for line in lines) else ()
    notes = (*legend(lines), *key, _METHOD, *known, *_left_out(of_dataset)) if lines else ()
    columns = (
        Column("NLL per char", decimals=3),
        Column("95%"),
        Column("NLL per sentence"),
        Column("spelling per sentence"),
        Column(_PER_KNOWN_WORD, decimals=3),
        Column("V"),
        Column("n"),
        Column("bound on -log p(text)", text=True),
    )
    table = Table(
        f"Vocabularies compared, {dataset_title(dataset)}",
        columns,
        tuple(lines),
        notes,
        marks=notes,
        once=(*marks_given_once(lines), *key, _METHOD, *known),
    )
    return table if known else table.with_columns(lambda column: column.name != _PER_KNOWN_WORD)


def _heading(cell: Cell, *, several: bool) -> str:
    assert cell.text is not None
    return f"{cell.setting}, data {cell.text.data_sha256[:8]}" if several else cell.setting


def _left_out(cells: Sequence[Cell]) -> list[str]:
    texts = {cell.text for cell in cells if cell.shown and cell.text is not None}
    unknown = [str(text) for text in texts if not text.characters]
    listed = "; ".join(sorted(unknown))
    return [f"not compared, because no result records its characters: {listed}"] if listed else []


def _line(cell: Cell) -> Line:
    text, convention = cell.text, to_compare(cell)
    assert text is not None
    assert convention is not None
    nll = cell.averages[convention.nll]
    spelled = per_character(nll, text)
    interval = spelled.interval
    word = (cell.bound(convention.nll) or "") + (", unreliable" if nll.unreliable else "")
    values: tuple[Value, ...] = (
        spelled,
        error_text(interval.half_width, 3) if interval else None,
        nll,
        f"{text.spelling_nats / text.sentences:.2f}",
        per_known_word(cell, text),
        f"{text.vocabulary:,}",
        runs_text(cell.counts, nll),
        word,
    )
    return Line("ours", cell_label(cell), values)


def per_character(nll: Average, text: Text) -> Average:
    """NLL in nats per character of the test text, from ``nll`` in nats per sentence."""
    assert text.characters
    scale, constant = text.sentences / text.characters, text.spelling_nats / text.characters
    return dataclasses.replace(
        nll,
        mean=nll.mean * scale + constant,
        std=_scaled(nll.std, scale),
        mc_stderr=_scaled(nll.mc_stderr, scale),
        values=tuple(value * scale + constant for value in nll.values),
        mc_stderrs=tuple(_scaled(error, scale) for error in nll.mc_stderrs),
        bca=None,
    )


def per_known_word(cell: Cell, text: Text) -> Average | None:
    """NLL of the test text in nats per word that the vocabulary lists, with the unknown words given.

    An ELBO is a sum over words and a KL, so without the terms of unknown words it bounds the NLL of the
    known ones: -log of E_p(z) of their probabilities' product. None if not all runs of the cell record
    what unknown words cost, and there are some.
    """
    nll = cell.averages.get(JOINT_ELBO.nll if cell.joint_latent else cell.estimate("nll"))
    if nll is None or text.unknown is None:
        return None
    unknown = cell.averages.get("unknown_words") if text.unknown else _no_cost(nll)
    if unknown is None or nll.seeds != unknown.seeds:
        return None
    scale = text.sentences / (text.tokens - round(text.tokens * text.unknown))
    values = np.subtract(nll.values, unknown.values) * scale
    # Both are of the same draws: their errors add up at most.
    pairs = zip(nll.mc_stderrs, unknown.mc_stderrs, strict=True)
    errors = [math.nan if a is None or b is None else a + b for a, b in pairs]
    found = average(np.array(nll.seeds), values, np.array(errors) * scale)
    return dataclasses.replace(found, runs=nll.runs)


def _no_cost(nll: Average) -> Average:
    """The cost of unknown words, 0 over the seeds of ``nll``, where there are none."""
    return average(np.array(nll.seeds), np.zeros(nll.n), np.zeros(nll.n))


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None or math.isnan(value) else value * scale
