"""The record of a search, in the file ``.search.json`` of the study of its trials.

search      the identity of the search: option or config field -> its value as text; the name of a field
of the space is ``--space FIELD``
rounds      the points that each round proposed: field -> value
spaces      for each round: field of the space -> its range or choices as text; absent in records of
earlier versions, whose rounds have the space of ``search``
promotions  for each round: trials of earlier rounds that continue in it, each with the rung to reach;
absent if there are none
recipe      field of the space -> its value in the config that the search starts from, the recipe with the
changes of ``--set``; absent in records of earlier versions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from lvae_core.run_folder.digests import seal
from lvae_core.run_folder.study import Study

FILE = ".search.json"
"""File in the study's folder; readers of runs ignore it."""

SPACE_PREFIX = "--space "
"""The beginning of the name of a field of the space in the identity of a search."""

BEST_SUFFIX = "-best"
"""The end of the name of the study that retrains the best trials on fresh seeds."""

BEST_SHARE = 0.25
"""The share of the trials that tables and figures call the best quarter."""

RECIPE = "the recipe"
"""The name of the point of a search that is the system's recipe."""


@dataclass(frozen=True)
class RecordedSearch:
    """The content of the file; see the docstring of the module."""

    search: dict[str, str]
    rounds: list[list[Mapping[str, Any]]]
    spaces: list[dict[str, str]]
    promotions: list[list[tuple[int, int]]]
    recipe: dict[str, Any] | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`. Raises KeyError, TypeError or ValueError for a wrong value."""
        search = dict(values["search"])
        rounds: list[list[Mapping[str, Any]]] = [
            [dict(point) for point in round_] for round_ in values["rounds"]
        ]
        spaces = [dict(space) for space in values.get("spaces", [space_of(search)] * len(rounds))]
        promoted = values.get("promotions", [[]] * len(rounds))
        promotions = [[(int(number), int(rung)) for number, rung in jobs] for jobs in promoted]
        if not len(rounds) == len(spaces) == len(promotions):
            raise ValueError("its rounds, spaces and promotions differ in number")
        recipe = values.get("recipe")
        return cls(search, rounds, spaces, promotions, None if recipe is None else dict(recipe))

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        return {
            "search": self.search,
            "rounds": [list(map(dict, round_)) for round_ in self.rounds],
            "spaces": self.spaces,
            **({"promotions": self.promotions} if any(self.promotions) else {}),
            **({} if self.recipe is None else {"recipe": self.recipe}),
        }


def space_of(search: Mapping[str, str]) -> dict[str, str]:
    """Field -> its range or choices, from the identity of a search."""
    return {
        name.removeprefix(SPACE_PREFIX): text
        for name, text in search.items()
        if name.startswith(SPACE_PREFIX)
    }


def read_recorded_search(study: Study, remedy: str) -> RecordedSearch | None:
    """Read the record of a study; None if it has none.

    Args:
        study: keeps the trials.
        remedy: what becomes of a damaged record, for the message.

    Raises:
        DamagedError: the file is not what :func:`write_recorded_search` wrote.
        OSError: the storage cannot be read.
    """
    return study.read_sealed(FILE, RecordedSearch.from_dict, remedy)


def holds_search(study: Study) -> bool:
    """Whether a study is that of a search. Raises OSError if the storage cannot be read."""
    return study.store.exists(FILE)


def write_recorded_search(study: Study, record: RecordedSearch) -> None:
    """Write the record of a study; raises OSError if the storage cannot be written."""
    study.store.write(FILE, seal(record.to_dict()))
