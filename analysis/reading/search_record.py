"""Read what a search has recorded, so that its runs keep the names of their trials in a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.reading.sources import SEARCH_FILE
from lvae_core.run_folder.digests import UnsealedError, unseal
from lvae_core.run_folder.folder import DamagedError, open_study

_BEST = "-best"
"""The end of the name of the study that retrains the best trials on fresh seeds."""

RECIPE = "the recipe"
"""The name of the point of a search that is the system's recipe."""


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
    if url.endswith(_BEST) and (points := _points(url.removesuffix(_BEST))) is not None:
        return SearchRecord(url, True, points)
    return None


def _points(url: str) -> tuple[Mapping[str, Any], ...] | None:
    try:
        found = unseal(open_study(url, create=False).store.read(SEARCH_FILE))
        rounds: Sequence[Sequence[Mapping[str, Any]]] = found["rounds"]
        return tuple(dict(values) for round_ in rounds for values in round_)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (UnsealedError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(
            f"{url}/{SEARCH_FILE}: damaged ({error}); its trials have no names here"
        ) from None
