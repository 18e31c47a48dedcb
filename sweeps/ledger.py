"""What a search has proposed so far, kept beside its runs.

What would be proposed again follows from the runs; this file holds it fast, so that runs that are taken up
again after a failure, or another version of the sampler, do not lead a search away from what it has done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lvae_core.config import InputError, RunConfig, dataset_label
from lvae_core.record import Study
from lvae_core.sealed import UnsealedError, seal, unseal
from sweeps.space import Values, text_of

FILE = ".search.json"
"""In the study's folder; readers of runs pass over it."""


def describe(base: RunConfig, space: Mapping[str, str], **rules: str) -> dict[str, str]:
    """What makes a search the one that it is: the config that it starts from, its space and its rules."""
    fixed = base.to_dict() | {"dataset": dataset_label(base.dataset)}
    return {
        **{f"--space {field}": text for field, text in space.items()},
        **{f"--{name}": text for name, text in rules.items()},
        **{name: text_of(value) for name, value in fixed.items() if name not in space},
    }


class Ledger:
    """The proposals of a study's search, round by round."""

    def __init__(self, study: Study, search: Mapping[str, str]) -> None:
        """Read the study's, if it has one.

        Args:
            study: of the search.
            search: see :func:`describe`.

        Raises:
            InputError: the study holds another search.
            OSError: the storage cannot be read.
        """
        self._study, self._search = study, dict(search)
        self.rounds: list[list[Values]] = []
        self.damage = ""
        """Why the file counts for nothing, for the user; "" where it is whole or missing."""
        place = f"{study.url}/{FILE}"
        try:
            found = unseal(study.store.read(FILE))
            before = dict(found["search"])
            rounds: list[list[Values]] = [[dict(values) for values in round_] for round_ in found["rounds"]]
        except (FileNotFoundError, NotADirectoryError):
            return  # where nothing can be written, those who write will say so
        except (UnsealedError, KeyError, TypeError, ValueError) as error:
            self.damage = f"{place}: damaged ({error}); the proposals are made again"
            return
        for name in dict.fromkeys([*before, *self._search]):
            there, here = (side.get(name, "not set") for side in (before, self._search))
            if there != here:
                raise InputError(
                    f"{place}: belongs to another search, {name} is {there} there and {here} here; give "
                    "another --study"
                )
        self.rounds = rounds

    def add(self, proposals: Sequence[Values]) -> None:
        """Put down one more round. Raises OSError where the storage cannot be written."""
        self.rounds.append(list(proposals))
        written = {"search": self._search, "rounds": [list(map(dict, round_)) for round_ in self.rounds]}
        self._study.store.write(FILE, seal(written))
