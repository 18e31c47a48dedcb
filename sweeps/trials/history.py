"""The record of a search's proposals, stored with its runs.

Without the record, a search would propose the same points again only under the same conditions. With it,
the proposals stay the same even if failed runs are retried or the round size or the sampler changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from lvae_core.config import RunConfig, dataset_label
from lvae_core.errors import InputError
from lvae_core.identity import training_fields
from lvae_core.run_folder.digests import UnsealedError, seal, unseal
from lvae_core.run_folder.folder import Study
from sweeps.trials.space import Values, text_of

FILE = ".search.json"
"""File in the study's folder; readers of runs ignore it."""


def describe(base: RunConfig, space: Mapping[str, str], data: str, **rules: str) -> dict[str, str]:
    """The identity of a search: the config that it starts from, its space and its rules.

    Args:
        base: the config that the search starts from.
        space: field -> its range or choices, as text.
        data: the content hash of the dataset.
        rules: option -> value.
    """
    fixed = base.to_dict() | {"dataset": dataset_label(base.dataset)}
    return {
        **{f"--space {field}": text for field, text in space.items()},
        **{f"--{name}": text for name, text in rules.items()},
        **{name: text_of(fixed[name]) for name in training_fields(base) if name not in space},
        "data_sha256": data,
    }


class History:
    """The proposals of a search, round by round."""

    def __init__(self, study: Study, search: Mapping[str, str]) -> None:
        """Read the record of a study, if it has one.

        Args:
            study: keeps the search.
            search: see :func:`describe`.

        Raises:
            InputError: the study holds another search.
            OSError: the storage cannot be read.
        """
        self._study, self._search = study, dict(search)
        self._place = f"{study.url}/{FILE}"
        self.damage = ""
        """Why the file is ignored, for the user; "" if it is intact or missing."""
        self.rounds = self._read()

    def add(self, proposals: Sequence[Values]) -> None:
        """Record one more round, or adopt the rounds that another launch has recorded meanwhile.

        Raises:
            InputError: those belong to another search.
            OSError: the storage cannot be read or written.
        """
        there = self._read()
        if len(there) > len(self.rounds):
            self.rounds = there
            return
        self.rounds.append(list(proposals))
        if self.damage:
            self._set_aside()
        written = {"search": self._search, "rounds": [list(map(dict, round_)) for round_ in self.rounds]}
        self._study.store.write(FILE, seal(written))
        self.damage = ""

    def _read(self) -> list[list[Values]]:
        try:
            found = unseal(self._study.store.read(FILE))
            before = dict(found["search"])
            rounds: list[list[Values]] = [[dict(values) for values in round_] for round_ in found["rounds"]]
        except (FileNotFoundError, NotADirectoryError):
            return []  # if the storage cannot be written, writing will report it
        except (UnsealedError, KeyError, TypeError, ValueError) as error:
            self.damage = f"{self._place}: damaged ({error}); the proposals are made again"
            return []
        # Records of earlier versions list every field, read or not.
        unread = {f.name for f in dataclasses.fields(RunConfig) if not f.metadata["added"]}
        unread -= self._search.keys()
        for name in dict.fromkeys([*before, *self._search]):
            if name in unread:
                continue
            there, here = (side.get(name, "not set") for side in (before, self._search))
            if there != here:
                raise InputError(
                    f"{self._place}: belongs to another search, {name} is {there} there and {here} here; "
                    "give another --study"
                )
        return rounds

    def _set_aside(self) -> None:
        number = 1
        while self._study.store.exists(f"{FILE}.damaged-{number}"):
            number += 1
        self._study.store.rename(FILE, f"{FILE}.damaged-{number}")
