"""The rows of Tables 2 and 3: the published ones with ours below them, then ours that have no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from analysis.published.catalogue import display_name
from analysis.published.facts import Fact
from analysis.stats.cells import Cell
from analysis.tables.elements.table import DOUBTFUL, NOT_A_BOUND, name_label
from analysis.tables.paper_lines import Facts

Place = tuple[str, str, str]
"""Dataset, setting and metric of a number in a row."""


class Key(NamedTuple):
    """The identity of a row."""

    source: str
    """Empty for a row of ours alone."""
    system: str
    num_samples: int
    name: str
    """As it is printed."""


@dataclass(frozen=True)
class PaperRow:
    """A published row, a row of ours alone, or both."""

    key: Key
    printed: Facts
    """The published numbers."""
    bounds: frozenset[str]
    """The values of ``bound`` in their file."""
    has_ours: bool
    """Whether ours stands here: below the published numbers, if there are any."""
    compared: Facts
    """The published numbers from which ours differ; some may be those of another source."""
    cells: Sequence[Cell]
    """Ours."""

    @property
    def label(self) -> str:
        """The name, L, and a mark if the numbers are no bounds, or only perhaps."""
        return name_label(self.key.name, self.key.num_samples) + self._mark

    @property
    def ours_marked(self) -> bool:
        """Whether our numbers are no bounds although the published ones are not said to be none."""
        return self._joint and self._mark != NOT_A_BOUND

    @property
    def _joint(self) -> bool:
        return any(cell.joint_latent for cell in self.cells)

    @property
    def _mark(self) -> str:
        if not self.key.source:
            return NOT_A_BOUND * self._joint
        return NOT_A_BOUND if "no" in self.bounds else DOUBTFUL * ("doubtful" in self.bounds)

    @property
    def printed_only(self) -> Facts:
        """The published numbers from which none of ours differs, for files that have each number once."""
        return {p: fact for p, fact in self.printed.items() if fact is not self.compared.get(p)}


class Published:
    """The published numbers of a table, by row.

    If several published rows each have some of the numbers beside one of ours, ours stands under the last
    of them, with the differences from all of these numbers.
    """

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._printed: dict[Key, dict[Place, Fact]] = {}
        for fact in facts:
            self._printed.setdefault(_key(fact), {})[_place(fact)] = fact
        self._beside = {_key(fact) for fact in facts if fact.beside}
        self._compared: dict[tuple[str, int], dict[Place, Fact]] = {}
        for fact in sorted(facts, key=lambda fact: not fact.beside):
            if _key(fact) in self._beside:
                of_ours = self._compared.setdefault((fact.system, fact.num_samples), {})
                of_ours.setdefault(_place(fact), fact)
        self._hosts = {(key.system, key.num_samples): key for key in self._printed if key in self._beside}

    def rows(self, cells: Sequence[Cell], places: Sequence[Place]) -> Iterator[PaperRow]:
        """Yield the rows of a table with these cells and places of numbers, in the published order."""
        ours = dict.fromkeys(Key("", c.system, c.num_samples, display_name(c.system)) for c in cells)
        alone = [key for key in ours if (key.system, key.num_samples) not in self._hosts]
        for key in (*self._printed, *alone):
            row = key.system, key.num_samples
            has_ours = not key.source or self._hosts.get(row) == key
            printed = self._printed.get(key, {})
            compared = self._compared.get(row, {}) if key in self._beside else {}
            yield PaperRow(
                key,
                {place: printed.get(place) for place in places},
                frozenset(fact.bound for fact in printed.values()),
                has_ours,
                {place: compared.get(place) for place in places},
                [cell for cell in cells if has_ours and (cell.system, cell.num_samples) == row],
            )

    def merged(self) -> Iterator[tuple[str, list[Fact]]]:
        """Yield the label of each row of ours that is compared with several, and the numbers of these."""
        for row, facts in self._compared.items():
            if sum((key.system, key.num_samples) == row for key in self._beside) > 1:
                yield name_label(self._hosts[row].name, row[1]), list(facts.values())


def _key(fact: Fact) -> Key:
    return Key(fact.source, fact.system, fact.num_samples, fact.name)


def _place(fact: Fact) -> Place:
    return fact.dataset, fact.setting, fact.metric
