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
    recipe: Mapping[str, Any] | None = None
    """Searched field -> its value in the recipe; None in records of earlier versions."""

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
    if found := _read(url, url, retrained=False):
        return found
    if url.endswith(BEST_SUFFIX):
        return _read(url, url.removesuffix(BEST_SUFFIX), retrained=True)
    return None


def _read(study: str, trials: str, *, retrained: bool) -> SearchRecord | None:
    """Read the record of a search; None if there is none.

    Args:
        study: the study of the report.
        trials: the study that keeps the search's trials and its record.
        retrained: whether ``study`` retrains the best of them.
    """
    record = read_recorded_search(open_study(trials, create=False), "its trials have no names here")
    if record is None:
        return None
    points = tuple(point for round_ in record.rounds for point in round_)
    return SearchRecord(study, retrained, points, record.recipe)
