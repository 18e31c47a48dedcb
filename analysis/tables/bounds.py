"""The table of bounds: every estimate of every cell, and whether it is a bound on -log p(x).

Kruengkrai (2019) counts the KL of one sample for a decoder that reads L samples. This table also shows the
numbers that count the KL of all L: for our runs and, if a KL was published, for the published numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

from analysis.published.catalogue import compared_datasets, display_name, find
from analysis.published.facts import Derived, Fact
from analysis.stats.average import Average
from analysis.stats.cells import Cell, table_order
from analysis.stats.intervals import error_text
from analysis.stats.missing_runs import cells_without_runs
from analysis.stats.paired import mean_difference
from analysis.stats.pairs import counterpart
from analysis.stats.valid_bounds import VALID, Convention, conventions, to_compare
from analysis.tables.elements.csv_rows import Row, cell_row
from analysis.tables.elements.importance_weights import weight_notes, weight_values
from analysis.tables.elements.shown_variants import variant_key
from analysis.tables.elements.table import (
    SETTINGS,
    Column,
    Difference,
    Line,
    Table,
    Value,
    cell_label,
    dataset_title,
    formula_notes,
    legend,
    marks_given_once,
    marks_of,
    runs_text,
)
from analysis.tables.elements.text_sections import TextNames, sections
from lvae_core.run_folder.estimates import ESTIMATES
from lvae_core.systems import language_model_of


def bounds_table(cells: Sequence[Cell], dataset: str) -> Table:
    """Show each estimate of a dataset's cells, its kind of bound, and its distance to a language model."""
    of_dataset = with_published_cells(cells, dataset)
    published = dataset in compared_datasets()
    weighed = any(average.ess is not None for c in of_dataset for average in c.averages.values())
    lines: list[Line] = []
    names = TextNames(of_dataset)
    for heading, together in sections(of_dataset, names):
        lines.append(Line("heading", heading))
        for cell in together:
            if cell.shown:
                lines += _cell_lines(cell, exact_nll(of_dataset, cell), published, weighed)
    columns = [
        Column("NLL"),
        Column("95%"),
        Column("vs LM"),
        Column("PPL"),
        *([Column("ESS"), Column("k>0.7")] if weighed else []),
        Column("n"),
        *([Column("published")] if published else []),
        Column("bound on -log p(x)", text=True),
    ]
    key = variant_key(of_dataset, dataset)
    further = (
        *_notes(lines, of_dataset, len(names.every(dataset)) > 1),
        *weight_notes(of_dataset),
        *_truth(of_dataset),
    )
    return Table(
        f"Bounds, {dataset_title(dataset)}: what each number is",
        tuple(columns),
        tuple(lines),
        (*legend(lines), *key, *further),
        lambda: (row for s in SETTINGS for c in of_dataset if c.setting == s for row in _csv_rows(c)),
        marks=(*marks_of(lines), *key, *further),
        once=(*marks_given_once(lines), *key),
    )


def with_published_cells(cells: Sequence[Cell], dataset: str) -> list[Cell]:
    """The cells of a dataset and the published cells without a run, in the order of the systems."""
    of_dataset = [cell for cell in cells if cell.dataset == dataset]
    return sorted(of_dataset + cells_without_runs(of_dataset, dataset), key=table_order)


def exact_nll(cells: Sequence[Cell], cell: Cell) -> Average | None:
    """The NLL of the cell's language model; see :func:`exact_cell`."""
    exact = exact_cell(cells, cell)
    return exact.averages["nll"] if exact else None


def exact_cell(cells: Sequence[Cell], cell: Cell) -> Cell | None:
    """The cell's language model in its setting and text: the only one, or that of its variant."""
    language_model = language_model_of(cell.system)
    exact = [
        c
        for c in cells
        if (c.setting, c.text) == (cell.setting, cell.text)
        and c.system == language_model
        and "nll" in c.averages
    ]
    return counterpart(cell, exact)


def published_nll(cell: Cell, convention: Convention) -> Fact | Derived | None:
    """The published NLL of a cell by a convention: printed, or derived from its printed ELBO and KL."""
    key = (cell.dataset, cell.system, cell.num_samples, cell.setting)
    if convention.suffix == "_iw":
        return find("3", *key, "nll_iw")
    nll, kl = find("2", *key, "nll"), find("2", *key, "kl")
    if convention.suffix == "_joint":
        # A number that its publication calls a bound counts the KL of all samples already.
        if not nll or not kl or not nll.bound:
            return None
        return Derived(nll.mean + (cell.num_samples - 1) * kl.mean, nll.source, "NLL + (L - 1) KL")
    return nll if convention.suffix in ("", "_elbo") else None


def bound_words(kind: str, *, unreliable: bool) -> str:
    """The words for a kind of bound, ``upper bound in expectation only, unreliable``."""
    if not unreliable:
        return kind
    return f"{kind} only, unreliable" if kind == "upper bound in expectation" else f"{kind}, unreliable"


def _cell_lines(cell: Cell, exact: Average | None, published: bool, weighed: bool) -> list[Line]:
    label, best = cell_label(cell), to_compare(cell)
    lines: list[Line] = []
    without_formula: Fact | None = None
    for convention in conventions(cell):
        nll, ppl = cell.averages.get(convention.nll), cell.averages.get(convention.ppl)
        # Without a number, there is nothing to be a bound.
        word: str = (cell.bound(convention.nll) or "") if nll or not cell.counts.all_failed else ""
        word = bound_words(word, unreliable=nll is not None and nll.unreliable)
        fact = published_nll(cell, convention)
        if isinstance(fact, Fact) and not fact.defined and cell.joint_latent:
            without_formula, fact = fact, None
        if isinstance(fact, Fact) and fact.bound and cell.bound(convention.nll) in VALID:
            fact = dataclasses.replace(fact, marked=True)
        first = not lines
        if nll is None and fact is None and not first:
            continue
        values: list[Value] = [
            # The status of a cell without numbers is shown once, not for each convention.
            nll or (cell.counts if first or not cell.counts.total else None),
            error_text(nll.interval.half_width) if nll and nll.interval else None,
            _difference(nll, exact) if nll and exact is not None and convention.suffix else None,
            ppl,
            *(weight_values(nll) if weighed else []),
            runs_text(cell.counts, nll) if nll or first else None,
            *([fact] if published else []),
            f"{word} *" if convention == best else word,
        ]
        lines.append(Line("ours", f"  {convention.name}" if convention.suffix else label, tuple(values)))
    if without_formula is not None and published:
        blank = [None] * (len(lines[0].values) - 2)
        lines.append(Line("ours", "  IW, formula not given", (*blank, without_formula, "cannot be told")))
    # A system with one exact number has one line; any other has a line of its name, and one per convention.
    return lines if lines[0].label == label else [Line("published", label), *lines]


def _difference(nll: Average, exact: Average) -> Difference | None:
    """The difference from the exact number over common seeds; None if it is too large for a float.

    Without a common seed it is that of the means, and has no interval.
    """
    mean, interval = mean_difference(nll.by_seed(), exact.by_seed())
    if mean is None:
        mean = nll.mean - exact.mean
    return Difference(mean, interval, nll, exact) if math.isfinite(mean) else None


def _language_models(cells: Sequence[Cell]) -> str:
    names = [display_name(system) for system in dict.fromkeys(language_model_of(c.system) for c in cells)]
    return names[0] if len(names) == 1 else f"the system's language model ({' or '.join(sorted(names))})"


def _notes(lines: Sequence[Line], cells: Sequence[Cell], several_texts: bool) -> list[str]:
    values = [value for line in lines for value in line.values]
    notes = []
    if any(isinstance(value, str) and value.startswith("±") for value in values):
        notes.append("95%: half the width of the t interval of the mean over seeds")
    if any(isinstance(value, str) and value.endswith(" *") for value in values):
        notes.append(
            "*: the tightest valid number of a system, the tightest reliable one if it has such: the one "
            "to compare with an exact number"
            + (" over the same text" if several_texts else "")
            + "; two bounds decide nothing"
        )
    if any(isinstance(value, Difference) for value in values):
        notes.append(
            f"vs LM: NLL minus the exact NLL of {_language_models(cells)} over the seeds that both have; "
            "what follows is in the comparisons over seeds"
        )
    return [*notes, *formula_notes(lines)]


def _truth(cells: Sequence[Cell]) -> list[str]:
    known = {cell.true_nll for cell in cells if cell.true_nll is not None}
    return [
        f"the data's own -log p(x) is known, {nll:.2f} nats: by chance of a finite test "
        "split an exact number or a bound may be lower, in expectation none is"
        for nll in sorted(known)
    ]


def _csv_rows(cell: Cell) -> Iterator[Row]:
    facts: dict[str, Fact | Derived | None] = {
        convention.nll: published_nll(cell, convention) for convention in conventions(cell)
    }
    key = (cell.dataset, cell.system, cell.num_samples, cell.setting)
    facts[cell.estimate("ppl")] = find("2", *key, "ppl")
    facts["kl"] = find("2", *key, "kl")
    for name in ESTIMATES:
        without_run = cell.counts.total and not cell.counts.done and name == cell.estimate("nll")
        if name in cell.averages or facts.get(name) or without_run:
            yield cell_row("bounds", cell, name, name, facts.get(name))
