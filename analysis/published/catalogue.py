"""The published numbers of this process: the files of the package, and those that the user adds.

A command calls :func:`use` once, before anything is computed.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.published.facts import Fact
from analysis.published.parse import identity, read_facts
from lvae_core.errors import InputError
from lvae_core.systems import SYSTEMS, recipe

BUILT_IN = ("published.csv", "later.csv")
"""The numbers of Kruengkrai (2019), Tables 2a, 2b and 3, and further ones on the same test splits."""

TITLES = {"ptb": "PTB", "yahoo": "Yahoo"}
"""Dataset -> its name in headings, where it is not the name of the dataset itself."""

AVERAGING = {system: recipe(system).averaging for system in SYSTEMS}
"""System -> what its L samples are averaged over, as in ``RunConfig.averaging``."""

_OTHER_COUNT = 0.005
"""Relative difference of two counts of tokens per sentence that averaging over runs can explain."""

_Key = tuple[str, str, str, int, str, str]
_Row = tuple[str, str, str, str, int, str]


class Catalogue:
    """Published numbers with what follows from them.

    Raises:
        InputError: two rows are to stand beside the same runs, or the counts of a test split differ.
    """

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.facts = tuple(facts)
        self.test_splits: dict[str, tuple[int, int]] = {}
        """Dataset -> sentences and predicted tokens of the test split behind the published numbers."""
        self.names: dict[str, str] = {}
        self._beside: dict[_Key, Fact] = {}
        self._rows: dict[_Row, dict[str, Fact]] = defaultdict(dict)
        for fact in self.facts:
            self._add(fact)

    def _add(self, fact: Fact) -> None:
        self._rows[_row(fact)][fact.metric] = fact
        self.names.setdefault(fact.system, fact.name)
        if fact.test_split and fact.test_split != self.test_splits.setdefault(
            fact.dataset, fact.test_split
        ):
            raise InputError(
                f"{fact.source}: gives {fact.dataset} a test split of {fact.test_split[0]} sentences and "
                f"{fact.test_split[1]} tokens, another number has {self.test_splits[fact.dataset]}; leave "
                "sentences and tokens empty for numbers on another split"
            )
        if fact.beside:
            key = (
                fact.table[0], fact.dataset, fact.system, fact.num_samples, fact.setting, fact.metric,
            )  # fmt: skip
            other = self._beside.setdefault(key, fact)
            if other is not fact:
                raise InputError(
                    f"the {fact.metric} of {fact.name} on {fact.dataset} in {fact.setting} setting stands "
                    f"beside our runs for {other.source} already; leave beside empty for {fact.source}"
                )

    def find(
        self, table: str, dataset: str, system: str, num_samples: int, setting: str, metric: str
    ) -> Fact | None:
        """The number to compare a cell with, on our count of tokens; see :func:`find`."""
        cell = (dataset, system, num_samples, setting, metric)
        # Table 3 alone has the ELBO of systems that Table 2 does not list.
        fact = self._beside.get((table, *cell)) or self._beside.get(("3", *cell))
        return fact and self.comparable(fact)

    def implied_tokens(self, fact: Fact) -> float | None:
        """Tokens per sentence that the row of a fact counts, if its NLL and PPL show another count."""
        row, split = self._rows[_row(fact)], self.test_splits.get(fact.dataset)
        if not split or "nll" not in row or "ppl" not in row:
            return None
        nll, ppl = row["nll"], row["ppl"]
        # The printed digits allow for this range.
        half_nll, half_ppl = (0.5 * 10.0**-f.decimals for f in (nll, ppl))
        least = (nll.mean - half_nll) / math.log(ppl.mean + half_ppl) * (1 - _OTHER_COUNT)
        most = (nll.mean + half_nll) / math.log(max(ppl.mean - half_ppl, 1.000001)) * (1 + _OTHER_COUNT)
        return None if least <= split[1] / split[0] <= most else nll.mean / math.log(ppl.mean)

    def comparable(self, fact: Fact) -> Fact:
        """The fact, or the number for it if its row counts other tokens per sentence than its dataset has.

        The NLL then follows from the PPL, which is per token, and the KL has the same factor.
        """
        implied = self.implied_tokens(fact)
        if implied is None or fact.metric not in ("nll", "kl"):
            return fact
        sentences, tokens = self.test_splits[fact.dataset]
        # For the NLL this is ln PPL times our tokens per sentence.
        value = fact.mean * tokens / sentences / implied
        formula = f"ln PPL × {tokens / sentences:.3f} tokens"
        formula = formula if fact.metric == "nll" else f"KL × {formula} / NLL"
        return dataclasses.replace(
            fact, mean=value, std=None, decimals=1, formula=formula, printed=fact.mean
        )


def use(files: Sequence[str] = ()) -> None:
    """Use the package's numbers and those of ``files`` from now on.

    Raises:
        InputError: a file cannot be read or used; the message names file and line.
    """
    global _current
    facts = [fact for name in BUILT_IN for fact in read_facts(Path(__file__).with_name(name))]
    found = Catalogue(facts)
    known = {identity(fact): "the package" for fact in facts}
    for file in dict.fromkeys(files):
        added = read_facts(file)
        for fact in added:
            if identity(fact) in known:
                raise InputError(
                    f"{file}: the {fact.metric} of {fact.name} from {fact.source} on {fact.dataset} is "
                    f"also in {known[identity(fact)]}; remove one of them, or give it another source"
                )
        known |= {identity(fact): file for fact in added}
        facts += added
        try:
            found = Catalogue(facts)
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
    _current = found


def catalogue() -> Catalogue:
    """The numbers in use."""
    if _current is None:
        use()
    assert _current is not None
    return _current


_current: Catalogue | None = None


def find(table: str, dataset: str, system: str, num_samples: int, setting: str, metric: str) -> Fact | None:
    """The published number that a cell is compared with in Table ``"2"`` (else ``"3"``) or ``"3"``, if any.

    A number on another count of tokens per sentence is converted: its ``formula`` says how.
    """
    return catalogue().find(table, dataset, system, num_samples, setting, metric)


def compared_datasets() -> tuple[str, ...]:
    """The datasets with numbers that ours are compared with, in their order."""
    return tuple(dict.fromkeys(fact.dataset for fact in catalogue().facts if fact.beside))


def compared_together(dataset: str, table: str) -> tuple[str, ...]:
    """The datasets that a table shows beside ``dataset``, it included: those of the same publications.

    They are also those of other publications on these datasets, and so on: no dataset is in two groups.
    """
    facts = [fact for fact in catalogue().facts if fact.beside and fact.table.startswith(table)]
    together: set[str] = set()
    found = {dataset}
    while found != together:
        together = found
        sources = {fact.source for fact in facts if fact.dataset in together}
        found = together | {fact.dataset for fact in facts if fact.source in sources}
    return tuple(name for name in compared_datasets() if name in together)


def published_splits() -> Mapping[str, tuple[int, int]]:
    """Dataset -> sentences and predicted tokens of the test split behind its published numbers."""
    return catalogue().test_splits


def averaging_of(system: str, num_samples: int) -> str:
    """The quantity that a system averages over its samples; one without a recipe is taken as ordinary."""
    return AVERAGING.get(system, "loss" if num_samples else "none")


def display_name(system: str) -> str:
    """The name of a system as publications print it, or in their style if none has it."""
    return catalogue().names.get(system, system.upper() if system in SYSTEMS else system)


def _row(fact: Fact) -> _Row:
    return (fact.table[:1], fact.dataset, fact.source, fact.name, fact.num_samples, fact.setting)
