"""Explain the bounds in words: which numbers are bounds, and what each convention shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.published.catalogue import display_name, find
from analysis.published.facts import Fact
from analysis.stats.average import Average, finite_mean
from analysis.stats.cells import Cell
from analysis.stats.comparisons import Comparison
from analysis.stats.intervals import HUGE, decimals
from analysis.stats.text_groups import first_texts
from analysis.stats.valid_bounds import JOINT_ELBO, PUBLISHED_ELBO, Convention, Substitute, tightest
from analysis.stats.verdicts import RULE
from analysis.tables.bounds import exact_cell, published_nll, with_published_cells
from analysis.tables.elements.table import (
    SETTINGS,
    Difference,
    cell_label,
    dataset_title,
    difference_decimals,
)
from analysis.tables.notes.unequal_configs import unequal_caveat
from lvae_core.systems import language_model_of

EXPLANATION = (
    "A number can be compared with another model's only if it is the true -log p(x) or an upper bound on "
    "it, and two bounds decide nothing. LSTM-LM's number is exact. The ELBO of LSTM-VAE is an upper bound: "
    "its decoder reads one sample z, and the ELBO counts what z tells about the sentence, the KL.",
    "The decoder of LSTM-VAE-AVG reads L samples at once, and each tells it something. The "
    "published convention counts the KL of only one sample, so what the others tell is free. The number "
    "can fall below the truth and is not a bound of the evaluated model.",
    "The joint numbers count the KL of all L samples (for the ELBO: NLL + (L - 1) KL) and are upper "
    "bounds.",
    "Importance weighting (IW) averages many draws inside the logarithm and so comes nearer to the truth "
    "than the ELBO. It is an upper bound in expectation: one estimate may fall below the truth by chance, "
    "and so may a mean over seeds; in expectation it cannot.",
)
"""Explains which number is which kind of bound to a reader who does not know these words."""

_ON_SEVERAL_SAMPLES = EXPLANATION[1:3]

CAUTION = f"{RULE}."
"""The rule by which the sentences of :func:`examples` conclude."""

_ERRORS = 3
"""Monte Carlo standard errors by which a number must lie below the truth to be called below it."""

_LEAST_BELOW = 0.05
"""Nats below the truth from which on a number is called below it."""

_FEWEST_ROWS = 3
"""Valid numbers from which on the lowest is named: the example has two of them."""

_PICKED = "The lowest of several test numbers is likely too low."

Validation = Callable[[Sequence[str]], Mapping[str, float]]
"""Reads the lowest validation perplexity of runs by name; runs that recorded none are missing."""


def explanation(cells: Sequence[Cell], datasets: Sequence[str]) -> tuple[str, ...]:
    """Explain which number is which kind of bound, without the decoders that none of the cells has."""
    shown = [cell for dataset in datasets for cell in with_published_cells(cells, dataset)]
    if any(cell.joint_latent for cell in shown):
        return EXPLANATION
    return tuple(text for text in EXPLANATION if text not in _ON_SEVERAL_SAMPLES)


def examples(
    cells: Sequence[Cell], dataset: str, compared: Sequence[Comparison], validation: Validation
) -> list[str]:
    """Show what the choice of convention changes, and which valid number is lowest, in each setting.

    The example is the joint-latent cell of our runs with the lowest validation perplexity, never the one
    with the best test number; without runs, it is the lowest published number. The sentence says how the
    cell was chosen. What follows about the models is said by the verdict of the comparison; without one,
    nothing is concluded. No example has a huge number: its training diverged, or its file is wrong.

    Args:
        cells: of any dataset; those over its first text are used.
        dataset: the one that the sentences are about.
        compared: all comparisons of the report.
        validation: called only if our runs have several candidates.
    """
    of_dataset = with_published_cells(first_texts(cells), dataset)
    sentences = []
    for setting in SETTINGS:
        of_setting = [c for c in of_dataset if c.setting == setting and c.shown]
        joint = [c for c in of_setting if c.joint_latent]
        ours = (_compare_ours(cell, exact_cell(of_dataset, cell), compared) for cell in joint)
        if candidates := _usable(ours):
            sentences.append(_chosen(candidates, validation).sentence())
            sentences += _lowest_valid(of_setting, of_dataset, compared)
        elif published := _usable(map(_compare_published, _without_variants(joint))):
            lowest = min(published, key=lambda comparison: comparison.published.mean)
            how = f"the lowest of {len(published)} published" if len(published) > 1 else ""
            sentences.append(dataclasses.replace(lowest, how=how).sentence())
    return sentences


def _without_variants(cells: Sequence[Cell]) -> Iterable[Cell]:
    """Each system and L once, without the name of a variant: all variants share their published number."""
    rows = {(cell.system, cell.num_samples): cell for cell in cells}
    return [dataclasses.replace(cell, variant="", short_name=None) for cell in rows.values()]


def _usable(found: Iterable[_Example | None]) -> list[_Example]:
    return [e for e in found if e is not None and _is_ordinary(e.published, e.valid, e.exact)]


def _chosen(candidates: Sequence[_Example], validation: Validation) -> _Example:
    """Choose by validation; without validation perplexities, take the first row."""
    if len(candidates) == 1:
        return candidates[0]
    found = validation([run for example in candidates for run in example.published.runs])
    if all(run in found for example in candidates for run in example.published.runs):
        means = [finite_mean([found[run] for run in c.published.runs]) for c in candidates]
        chosen = candidates[int(np.argmin(means))]
        how = f"the lowest validation perplexity of {len(candidates)} such rows"
    else:
        chosen = candidates[0]
        how = f"the first of {len(candidates)} such rows, as not all have a validation perplexity"
    return dataclasses.replace(chosen, how=how)


def _lowest_valid(
    of_setting: Sequence[Cell], of_dataset: Sequence[Cell], compared: Sequence[Comparison]
) -> list[str]:
    """Name the row with the lowest valid number, and say that the test split chose it."""
    valid = [(cell, cell.averages[best.nll]) for cell in of_setting if (best := tightest(cell))]
    valid = [(cell, nll) for cell, nll in valid if _is_ordinary(nll)]
    if len(valid) < _FEWEST_ROWS:
        return []
    cell, nll = min(valid, key=lambda candidate: candidate[1].mean)
    where = f"{dataset_title(cell.dataset)} {cell.setting}"
    among = f"the lowest valid number of {len(valid)} rows on the test split"
    language_model = exact_cell(of_dataset, cell)
    if language_model is None or language_model is cell or not _is_ordinary(language_model.averages["nll"]):
        number = f"{_text(nll)} nats{_reliability(nll)}"
        return [f"{where}: {cell_label(cell)} has {among}, {number}. {_PICKED}"]
    exact = language_model.averages["nll"]
    to_compare, which = _to_compare(cell, nll)
    distance = _distance(to_compare, exact)
    number = _text(nll) + (which.format(_text(to_compare)) if which else _reliability(nll))
    return [
        f"{where}: {cell_label(cell)} has {among}, {number}, "
        f"{distance} {'as' if distance.endswith('the same') else 'than'} "
        f"{cell_label(language_model)}: {_verdict(cell, language_model, compared)}. {_PICKED}"
    ]


def _to_compare(cell: Cell, tightest_nll: Average) -> tuple[Average, str]:
    """The number by which a cell is compared, and how a sentence goes on to it from the tightest one.

    The words have a place for the number; they are empty if it is the tightest one itself.
    """
    substitute = Substitute.of(cell)
    if substitute is None:
        return tightest_nll, ""
    words = f", which is unreliable. The number to compare is its {substitute.used.words}, {{}}"
    return cell.averages[substitute.used.nll], words


def below_the_truth(cells: Sequence[Cell], dataset: str) -> list[str]:
    """Name the number furthest below the known -log p(x) of the data, and the valid bound beside it.

    Such a number shows without any comparison that its convention gives no bound, so a report begins with
    this sentence. The list is empty if no number is below the truth, or if the truth is unknown.

    Args:
        cells: of any dataset; those over its first text are used.
        dataset: the one that the sentence is about.
    """
    found = []
    for cell in with_published_cells(first_texts(cells), dataset):
        published, best, truth = cell.averages.get(PUBLISHED_ELBO.nll), tightest(cell), cell.true_nll
        if not (cell.shown and cell.joint_latent and published and best) or truth is None:
            continue
        valid = cell.averages[best.nll]
        if _is_ordinary(published, valid) and abs(truth) < HUGE:
            found.append((published.mean - truth, cell, published, valid))
    found = [f for f in found if -f[0] > max(_LEAST_BELOW, _ERRORS * (f[2].mc_stderr or 0.0))]
    if not found:
        return []
    below, cell, published, valid_nll = min(found, key=lambda candidate: candidate[0])
    where = f"{dataset_title(cell.dataset)} {cell.setting}"
    how = f", the furthest of {len(found)} rows" if len(found) > 1 else ""
    return [
        f"{where}: the data's own -log p(x) is {cell.true_nll:.2f} nats, below which no bound lies in "
        "expectation. "
        f"{cell_label(cell)} has {_text(published)} by the published convention, {-below:.1f} below the "
        f"truth{how}; its tightest valid bound is {_text(valid_nll)}{_reliability(valid_nll)}."
    ]


@dataclass(frozen=True)
class _Example:
    """A system whose decoder reads L samples at once, beside its language model."""

    cell: Cell
    language_model: str
    source: str
    published: Average
    """NLL by the published convention."""
    valid: Average
    """NLL by the tightest valid convention."""
    convention: Convention
    """The tightest valid convention."""
    exact: Average
    """The language model's NLL."""
    verdict: str
    """What follows from the tightest valid bound."""
    how: str = ""
    """How the cell was chosen; empty if it is the only one."""

    def sentence(self) -> str:
        """State both numbers beside the language model's, and what follows."""
        where = f"{dataset_title(self.cell.dataset)} {self.cell.setting}, from {self.source}"
        to_compare, which = _to_compare(self.cell, self.valid)
        numbers = (self.published, self.valid, to_compare)
        unreliable = ", unreliable" if self.valid.unreliable and not which else ""
        system = cell_label(self.cell) + (f" ({self.how})" if self.how else "")
        elbo, bound, other, exact = map(_text, (*numbers, self.exact))
        apart = [_distance(nll, self.exact) for nll in (self.published, to_compare)]
        return (
            f"{where}: {self.language_model} has {exact} nats. {system} has {elbo} by the published "
            f"convention, {apart[0]}, but this number is not a bound; its tightest valid bound "
            f"({self.convention.name}{unreliable}) is {bound}{which.format(other)}, {apart[1]}: "
            f"{self.verdict}."
        )


def _is_ordinary(*averages: Average) -> bool:
    """Whether a sentence can print the means with their decimals and subtract them."""
    return all(abs(average.mean) < HUGE for average in averages)


def _reliability(nll: Average) -> str:
    return " (unreliable)" if nll.unreliable else ""


def _text(nll: Average) -> str:
    """A number with the digits that tables give it."""
    return f"{nll.mean:.{decimals(nll.std)}f}"


def _distance(nll: Average, exact: Average) -> str:
    """The distance of ``nll`` from ``exact``, with the digits that a table gives a difference."""
    apart = Difference(nll.mean - exact.mean, None, nll, exact)
    text = f"{abs(apart.value):.{difference_decimals(apart)}f}"
    if not text.strip("0."):
        return "the same" if _text(nll) == _text(exact) else "about the same"
    return f"{text} {'more' if apart.value > 0 else 'less'}"


def _verdict(cell: Cell, language_model: Cell, compared: Sequence[Comparison]) -> str:
    """The verdict on a cell against its language model, by their tightest valid numbers."""
    verdicts = (
        c.verdict.sentence(cell_label(cell), cell_label(language_model), c.paired)
        + (f" ({caveat})" if c.verdict.model and (caveat := unequal_caveat(c.a, c.b)) else "")
        for c in compared
        if (c.metric, c.b.system) == ("nll_valid", language_model.system) and c.a is cell
    )
    return next(verdicts, "no conclusion, they were not compared over seeds")


def _compare_ours(
    cell: Cell, language_model: Cell | None, compared: Sequence[Comparison]
) -> _Example | None:
    best, published = tightest(cell), cell.averages.get(PUBLISHED_ELBO.nll)
    if not best or not published or language_model is None:
        return None
    return _Example(
        cell,
        cell_label(language_model),
        "these runs",
        published,
        cell.averages[best.nll],
        best,
        language_model.averages["nll"],
        _verdict(cell, language_model, compared),
    )


def _compare_published(cell: Cell) -> _Example | None:
    elbo, valid = published_nll(cell, PUBLISHED_ELBO), published_nll(cell, JOINT_ELBO)
    language_model = language_model_of(cell.system)
    exact = find("2", cell.dataset, language_model, 0, cell.setting, "nll")
    if not elbo or not valid or not exact:
        return None
    averages = (
        Average(
            (isinstance(fact, Fact) and fact.runs) or 1,
            fact.mean,
            fact.std if isinstance(fact, Fact) else None,
            None,
        )
        for fact in (elbo, valid, exact)
    )
    of_elbo, of_valid, of_exact = averages
    return _Example(
        cell,
        display_name(language_model),
        "the published numbers",
        of_elbo,
        of_valid,
        JOINT_ELBO,
        of_exact,
        "no conclusion, published means have no seeds to pair",
    )
