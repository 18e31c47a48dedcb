"""Read what a search has recorded, so that its runs keep the names of their trials in a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lvae_core.run_folder.search_record import BEST_SUFFIX, read_recorded_search
from lvae_core.run_folder.study import open_study


@dataclass(frozen=True)
class SearchRecord:
    """The search that a study is of."""

    study: str
    retrained: bool
    """Whether it retrains the best trials, and the recipe, on fresh seeds; else it has the trials."""
    points: tuple[Mapping[str, Any], ...]
    """Field -> value of each trial, in the order of their numbers."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that were searched."""
        return tuple(dict.fromkeys(field for point in self.points for field in point))

    def number_of(self, values: Mapping[str, Any]) -> int | None:
        """The number of the first trial with these values of all fields, if there is one."""
        trials = enumerate(self.points)
        return next((k for k, point in trials if all(values[f] == point[f] for f in point)), None)


def read_search(url: str) -> SearchRecord | None:
    """Read the record of the search that a study is of; None if it is of none.

    Raises:
        DamagedError: the record is damaged.
        OSError: the storage cannot be read.
    """
    if (points := _points(url)) is not None:
        return SearchRecord(url, False, points)
    if url.endswith(BEST_SUFFIX) and (points := _points(url.removesuffix(BEST_SUFFIX))) is not None:
        return SearchRecord(url, True, points)
    return None


def _points(url: str) -> tuple[Mapping[str, Any], ...] | None:
    record = read_recorded_search(open_study(url, create=False), "its trials have no names here")
    return None if record is None else tuple(point for round_ in record.rounds for point in round_)
