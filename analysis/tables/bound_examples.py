"""Explain the bounds in words: which numbers are bounds, and what each convention shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.published.catalogue import display_name, find
from analysis.published.facts import Fact
from analysis.stats.cells import Average, Cell
from analysis.stats.claims import RULE
from analysis.stats.comparisons import Comparison
from analysis.stats.text_groups import first_texts
from analysis.stats.valid_bounds import JOINT_ELBO, PUBLISHED_ELBO, Convention, tightest
from analysis.tables.bounds import exact_nll, published_nll, with_published_cells
from analysis.tables.table import SETTINGS, dataset_title, row_label
from lvae_core.systems import language_model_of

EXPLANATION = (
    "A number can be compared with another model's only if it is the true -log p(x) or an upper bound on "
    "it. LSTM-LM's number is exact. The ELBO of LSTM-VAE is an upper bound: its decoder reads one sample "
    "z, and the ELBO counts what z tells about the sentence, the KL.",
    "The decoder of LSTM-VAE-AVG reads L samples at once, and each tells it something. The "
    "published convention counts the KL of only one sample, so what the others tell is free. The number "
    "can fall below the truth and is not a bound of the evaluated model.",
    "The joint numbers count the KL of all L samples (for the ELBO: NLL + (L - 1) KL) and are upper "
    "bounds.",
    "Importance weighting (IW) averages many draws inside the logarithm and so comes nearer to the truth "
    "than the ELBO. It is an upper bound in expectation: one estimate may fall below the truth by chance, "
    "the mean of many cannot.",
)
"""Explains which number is which kind of bound to a reader who does not know these words."""

_ON_SEVERAL_SAMPLES = EXPLANATION[1:3]

CAUTION = f"{RULE}."
"""The rule by which the sentences of :func:`examples` conclude."""

_EQUAL = 0.05
"""Nats: a smaller difference would be printed as 0.0."""

_ERRORS = 3
"""Monte Carlo standard errors by which a number must lie below the truth to be called below it."""


def explanation(cells: Sequence[Cell], datasets: Sequence[str]) -> tuple[str, ...]:
    """Explain which number is which kind of bound, without the decoders that none of the cells has."""
    shown = [cell for dataset in datasets for cell in with_published_cells(cells, dataset)]
    if any(cell.joint_latent for cell in shown):
        return EXPLANATION
    return tuple(text for text in EXPLANATION if text not in _ON_SEVERAL_SAMPLES)


def examples(cells: Sequence[Cell], dataset: str, compared: Sequence[Comparison]) -> list[str]:
    """Show what the choice of convention changes, in one sentence per setting.

    The example is the joint-latent system with the lowest NLL by the published convention: of our runs if
    there are any, else of the published numbers. What follows about the models is said by the verdict of
    the comparison; without one, nothing is concluded.

    Args:
        cells: of any dataset; those over its first text are used.
        dataset: the one that the sentences are about.
        compared: all comparisons of the report.
    """
    of_dataset = with_published_cells(first_texts(cells), dataset)
    sentences = _below_the_truth(of_dataset)
    for setting in SETTINGS:
        joint = [c for c in of_dataset if c.setting == setting and c.shown and c.joint_latent]
        ours = [_compare_ours(cell, exact_nll(of_dataset, cell), compared) for cell in joint]
        published = [_compare_published(cell) for cell in joint]
        for candidates in (ours, published):
            if found := [c for c in candidates if c is not None]:
                sentences.append(min(found, key=lambda comparison: comparison.published.mean).sentence())
                break
    return sentences


def _below_the_truth(cells: Sequence[Cell]) -> list[str]:
    """Name the number furthest below the known -log p(x) of the data, and the valid bound beside it."""
    found = []
    for cell in cells:
        published, valid = cell.averages.get(PUBLISHED_ELBO.nll), tightest(cell)
        if cell.shown and cell.joint_latent and cell.true_nll is not None and published and valid:
            found.append((published.mean - cell.true_nll, cell, published, cell.averages[valid.nll]))
    found = [f for f in found if -f[0] > max(_EQUAL, _ERRORS * (f[2].mc_stderr or 0.0))]
    if not found:
        return []
    below, cell, published, valid_nll = min(found, key=lambda candidate: candidate[0])
    where = f"{dataset_title(cell.dataset)} {cell.setting}"
    system = row_label(cell.system, cell.num_samples)
    return [
        f"{where}: the data's own -log p(x) is {cell.true_nll:.2f} nats, which no bound can undercut. "
        f"{system} has {published.mean:.2f} by the published convention, {-below:.2f} below the truth; its "
        f"tightest valid bound is {valid_nll.mean:.2f}."
    ]


@dataclass(frozen=True)
class _Comparison:
    """A system whose decoder reads L samples at once, compared with its language model."""

    cell: Cell
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

    def sentence(self) -> str:
        """State both numbers beside the language model's, and what follows."""
        where = f"{dataset_title(self.cell.dataset)} {self.cell.setting}, from {self.source}"
        system = row_label(self.cell.system, self.cell.num_samples)
        language_model = display_name(language_model_of(self.cell.system))
        return (
            f"{where}: {language_model} has {self.exact.mean:.1f} nats. {system} has "
            f"{self.published.mean:.1f} by the published convention, "
            f"{_distance(self.published, self.exact)}, but this number is not a bound; its tightest valid "
            f"bound ({self.convention.name}{', unreliable' if self.valid.unreliable else ''}) is "
            f"{self.valid.mean:.1f}, {_distance(self.valid, self.exact)}: {self.verdict}."
        )


def _distance(nll: Average, exact: Average) -> str:
    """How far ``nll`` lies from ``exact``, as a fact about two numbers."""
    more = nll.mean - exact.mean
    if abs(more) < _EQUAL:
        return "the same"
    return f"{abs(more):.1f} {'more' if more > 0 else 'less'}"


def _compare_ours(cell: Cell, exact: Average | None, compared: Sequence[Comparison]) -> _Comparison | None:
    best, published = tightest(cell), cell.averages.get(PUBLISHED_ELBO.nll)
    if not best or not published or exact is None:
        return None
    language_model = language_model_of(cell.system)
    verdicts = (
        c.verdict.sentence(row_label(cell.system, cell.num_samples), display_name(language_model), c.paired)
        for c in compared
        if (c.metric, c.b.system) == ("nll_valid", language_model) and c.a is cell
    )
    verdict = next(verdicts, "no conclusion, they were not compared over seeds")
    return _Comparison(cell, "these runs", published, cell.averages[best.nll], best, exact, verdict)


def _compare_published(cell: Cell) -> _Comparison | None:
    elbo, valid = published_nll(cell, PUBLISHED_ELBO), published_nll(cell, JOINT_ELBO)
    exact = find("2", cell.dataset, language_model_of(cell.system), 0, cell.setting, "nll")
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
    verdict = "no conclusion, published means have no seeds to pair"
    return _Comparison(cell, "the published numbers", of_elbo, of_valid, JOINT_ELBO, of_exact, verdict)
