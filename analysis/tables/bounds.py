"""Which numbers are bounds on -log p(x): every estimate of every cell with the word for what it is.

The paper charges a decoder that reads L samples for the KL of one. This table lays the numbers that charge
for all of them beside its own: for our runs and, where the KL was printed, for the published numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.published import AVERAGING, OURS, SEEDS, TITLES, Derived, Fact, find, load
from analysis.stats.cells import Average, Cell, Counts, joint_latent, paper_order
from analysis.stats.intervals import Moments, welch
from analysis.stats.valid_bounds import _JOINT_LATENT, _Way, _ways, tightest
from analysis.tables.csv_rows import Record, Records, record
from analysis.tables.table import (
    SETTINGS,
    Column,
    Difference,
    Line,
    Table,
    Value,
    dataset_title,
    legend,
    row_label,
    runs_text,
)
from lvae_core.run_folder.estimates import ESTIMATES

EXPLANATION = (
    "A number can stand in a comparison of models only if it is the true -log p(x) or an upper bound of "
    "it: LSTM-LM's is exact, and the ELBO of LSTM-VAE is an upper bound, because its decoder reads one "
    "sample z and pays for what z tells it about the sentence, the KL.",
    "The decoder of LSTM-VAE-AVG reads L samples at once, and each tells it something, but the paper's "
    "convention charges it for one only: what the others tell is free, the number can fall below the "
    "truth, and it is not a bound of the model that is evaluated.",
    "The joint numbers charge for all L samples (for the ELBO: NLL + (L - 1) KL) and are upper bounds "
    "again.",
    "Importance weighting (IW) averages many draws inside the logarithm, which brings it nearer to the "
    "truth than the ELBO; it is an upper bound in expectation: one estimate may fall below the truth by "
    "chance, the mean of many cannot.",
)
"""Which number is which, for a reader who has not met these words."""

CAUTION = (
    "± after a gain: half of Welch's 95% interval of the difference over seeds. A valid bound above "
    "LSTM-LM's number does not prove a model worse: it says that no gain has been shown."
)


_NO_RUN = Counts()


def bounds_table(cells: Sequence[Cell], dataset: str) -> Table:
    """Every estimate of a dataset's cells, what it is as a bound, and its distance to LSTM-LM."""
    every = _with_paper(cells, dataset)
    published = dataset in TITLES
    lines: list[Line] = []
    for setting in SETTINGS:
        chosen = [cell for cell in every if cell.setting == setting]
        lines += [Line("heading", setting)] if chosen else []
        for cell in chosen:
            if cell.shown:
                lines += _cell_lines(cell, _exact_nll(every, cell), published)
    columns = [
        Column("NLL"),
        Column("95%"),
        Column("vs LM"),
        Column("PPL"),
        Column("n"),
        *([Column("paper")] if published else []),
        Column("bound on -log p(x)", text=True),
    ]
    return Table(
        f"Bounds, {dataset_title(dataset)}: what each number is",
        tuple(columns),
        tuple(lines),
        (*legend(lines), *_notes(lines)),
        Records(lambda: (r for s in SETTINGS for c in every if c.setting == s for r in _cell_records(c))),
    )


def examples(cells: Sequence[Cell], dataset: str) -> list[str]:
    """What the bounds say of a dataset, a sentence a setting.

    It tells of the system that is best by the paper's convention, among those that were run if any was,
    else among the published ones.
    """
    every = _with_paper(cells, dataset)
    sentences = []
    for setting in SETTINGS:
        joint = [c for c in every if c.setting == setting and c.shown and joint_latent(c)]
        ours = filter(None, (_compare_ours(cell, _exact_nll(every, cell)) for cell in joint))
        published = filter(None, (_compare_published(cell) for cell in joint))
        for told in (list(ours), list(published)):
            if told:
                sentences.append(min(told, key=lambda comparison: comparison.low.mean).sentence())
                break
    return sentences


def _with_paper(cells: Sequence[Cell], dataset: str) -> list[Cell]:
    own = [cell for cell in cells if cell.dataset == dataset]
    return sorted(own + missing_cells(own, dataset), key=paper_order)


def missing_cells(cells: Sequence[Cell], dataset: str) -> list[Cell]:
    """An empty cell for each of the paper's cells of a dataset that no run of ours is in."""
    there = {(c.system, c.num_samples, c.setting) for c in cells if c.dataset == dataset}
    facts = [f for f in load() if f.table[0] == "2" and f.source == OURS and f.dataset == dataset]
    missing = dict.fromkeys((f.system, f.num_samples, f.setting) for f in facts)
    return [
        Cell(dataset, system, num_samples, setting, "", AVERAGING[system], _NO_RUN, {})
        for system, num_samples, setting in missing
        if (system, num_samples, setting) not in there
    ]


def _exact_nll(cells: Sequence[Cell], cell: Cell) -> Average | None:
    """LSTM-LM's NLL in the cell's setting: of the same variant, or of the only one there is."""
    exact = {
        c.variant: c.averages["nll"]
        for c in cells
        if c.setting == cell.setting and c.system == "lstm-lm" and "nll" in c.averages
    }
    if len(exact) == 1:
        return next(iter(exact.values()))
    return exact.get(cell.variant)


def _published(cell: Cell, way: _Way) -> Fact | Derived | None:
    at = (cell.dataset, cell.system, cell.num_samples, cell.setting)
    if way.estimate == "_iw":
        return find("3", *at, "nll_iw")
    nll, kl = find("2", *at, "nll"), find("2", *at, "kl")
    if way.estimate == "_joint":
        return Derived(nll.mean + (cell.num_samples - 1) * kl.mean) if nll and kl else None
    return nll if way.estimate in ("", "_elbo") else None


def _cell_lines(cell: Cell, exact: Average | None, published: bool) -> list[Line]:
    label = row_label(cell.system, cell.num_samples) + (f", {cell.variant}" if cell.variant else "")
    lowest = tightest(cell)
    lines: list[Line] = []
    for way in _ways(cell):
        nll, ppl = cell.averages.get(f"nll{way.estimate}"), cell.averages.get(f"ppl{way.estimate}")
        fact = _published(cell, way)
        if nll is None and fact is None and lines:
            continue
        word = cell.bound(f"nll{way.estimate}") or ""
        values: list[Value] = [
            # What a cell has in place of numbers is said once, not for each way to count.
            nll or (cell.counts if not lines or not cell.counts.total else None),
            f"±{nll.interval.half_width:.1f}" if nll and nll.interval else None,
            _to_exact(nll, exact) if nll and exact is not None and way.estimate else None,
            ppl,
            runs_text(cell.counts) if nll or not lines else None,
            *([fact] if published else []),
            f"{word} *" if way.estimate == lowest else word,
        ]
        lines.append(Line("ours", f"  {way.name}" if way.estimate else label, tuple(values)))
    return lines if lines[0].label == label else [Line("published", label), *lines]


def _to_exact(nll: Average, exact: Average) -> Difference:
    interval = None
    if nll.std is not None and exact.std is not None:
        interval, _ = welch(Moments(nll.n, nll.mean, nll.std), Moments(exact.n, exact.mean, exact.std))
    return Difference(nll.mean - exact.mean, interval, nll, exact)


def _notes(lines: Sequence[Line]) -> list[str]:
    values = [value for line in lines for value in line.values]
    notes = []
    if any(isinstance(value, str) and value.startswith("±") for value in values):
        notes.append("95%: half of the t interval of the mean over seeds")
    if any(isinstance(value, str) and value.endswith(" *") for value in values):
        notes.append("*: the tightest valid number of a system; compare these, and no others")
    if any(isinstance(value, Difference) for value in values):
        notes.append(
            "vs LM: NLL minus LSTM-LM's exact NLL; a gain where it is negative and the number valid"
        )
    if any(isinstance(value, Derived) for value in values):
        notes.append("†: not printed in the paper, but follows from what is: NLL + (L - 1) KL")
    return notes


def _cell_records(cell: Cell) -> list[Record]:
    facts: dict[str, Fact | Derived | None] = {}
    for way in _ways(cell):
        facts[f"nll{way.estimate}"] = _published(cell, way)
    at = (cell.dataset, cell.system, cell.num_samples, cell.setting)
    facts[cell.estimate("ppl")] = find("2", *at, "ppl")
    facts["kl"] = find("2", *at, "kl")
    return [
        record("bounds", cell, name, name, facts.get(name))
        for name in ESTIMATES
        if name in cell.averages or facts.get(name)
    ]


@dataclass(frozen=True)
class _Comparison:
    """A system that reads L samples at once, beside LSTM-LM."""

    cell: Cell
    source: str
    low: Average
    """NLL by the paper's convention."""
    high: Average
    """NLL by the tightest valid bound, and which that is."""
    way: str
    exact: Average

    def sentence(self) -> str:
        """What the two ways to count say of it."""
        where = f"{dataset_title(self.cell.dataset)} {self.cell.setting}, from {self.source}"
        return (
            f"{where}: LSTM-LM has {self.exact.mean:.1f} nats. "
            f"{row_label(self.cell.system, self.cell.num_samples)} has {self.low.mean:.1f} by the paper's "
            f"convention, {_gain(self.low, self.exact)}; by its tightest valid bound ({self.way}) it has "
            f"at most {self.high.mean:.1f}, {_gain(self.high, self.exact)}."
        )


def _gain(nll: Average, exact: Average) -> str:
    """In words, by how much ``nll`` lies below ``exact``, and whether seeds alone could have done that."""
    gain = exact.mean - nll.mean
    if gain < 0.05:  # it would be printed as 0.0
        return "no gain"
    if min(nll.n, exact.n) == 1:
        return f"{gain:.1f} less, which one seed cannot show to be a gain"
    if nll.std is None or exact.std is None:  # derived from what is published without one
        return f"a gain of {gain:.1f}"
    interval, _ = welch(Moments(nll.n, nll.mean, nll.std), Moments(exact.n, exact.mean, exact.std))
    if 0 in interval:
        return f"{gain:.1f} less, no clear gain beside the noise of the seeds (±{interval.half_width:.1f})"
    return f"a gain of {gain:.1f}±{interval.half_width:.1f}"


def _compare_ours(cell: Cell, exact: Average | None) -> _Comparison | None:
    lowest, elbo = tightest(cell), cell.averages.get("nll_elbo")
    if not lowest or not elbo or exact is None:
        return None
    way = next(way.name for way in _JOINT_LATENT if way.estimate == lowest)
    return _Comparison(cell, "these runs", elbo, cell.averages[f"nll{lowest}"], way, exact)


def _compare_published(cell: Cell) -> _Comparison | None:
    nll, joint = (_published(cell, way) for way in _JOINT_LATENT[:2])
    baseline = find("2", cell.dataset, "lstm-lm", 0, cell.setting, "nll")
    if not nll or not joint or not baseline:
        return None
    way = _JOINT_LATENT[1].name
    low, high, exact = (
        Average(SEEDS, fact.mean, fact.std if isinstance(fact, Fact) else None, None)
        for fact in (nll, joint, baseline)
    )
    return _Comparison(cell, "the published numbers", low, high, way, exact)
