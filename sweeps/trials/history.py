"""The record of a search's proposals, stored with its runs.

Without the record, a search would propose the same points again only under the same conditions. With it,
the proposals stay the same even if failed runs are retried, or the round size or the space changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution

from lvae_core.config import RunConfig, dataset_label
from lvae_core.errors import InputError
from lvae_core.identity import training_fields
from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.search_record import (
    FILE,
    SPACE_PREFIX,
    RecordedSearch,
    read_recorded_search,
    space_of,
    write_recorded_search,
)
from lvae_core.run_folder.study import Study
from sweeps.trials.space import Values, contains, parse_value, spec_of, text_of

_REMEDY = "the proposals are made again"


def describe(
    base: RunConfig, space: Mapping[str, BaseDistribution], data: str, **rules: str
) -> dict[str, str]:
    """The identity of a search: the config that it starts from, its space and its rules.

    Args:
        base: the config that the search starts from.
        space: field -> its range or choices.
        data: the content hash of the dataset.
        rules: option -> value.
    """
    fixed = base.to_dict() | {"dataset": dataset_label(base.dataset)}
    return {
        **{f"{SPACE_PREFIX}{field}": spec_of(distribution) for field, distribution in space.items()},
        **{f"--{name}": text for name, text in rules.items()},
        **{name: text_of(fixed[name]) for name in training_fields(base) if name not in space},
        "data_sha256": data,
    }


class History:
    """The proposals of a search, round by round, and the space that each round was proposed in."""

    def __init__(
        self,
        study: Study,
        search: Mapping[str, str],
        space: Mapping[str, BaseDistribution],
        base: RunConfig,
    ) -> None:
        """Read the record of a study, if it has one.

        The space may differ from that of earlier rounds if it contains all points of theirs.

        Args:
            study: keeps the search.
            search: see :func:`describe`.
            space: field -> its range or choices.
            base: the config that the search starts from.

        Raises:
            InputError: the study holds another search, or points outside of the space.
            OSError: the storage cannot be read.
        """
        self._study, self._search = study, dict(search)
        self._space, self._base = space, base
        self._place = f"{study.url}/{FILE}"
        self.damage = ""
        """Why the file is ignored, for the user; "" if it is intact or missing."""
        self.spaces: list[dict[str, str]] = []
        """For each round: field -> its range or choices as text."""
        self.promotions: list[list[tuple[int, int]]] = []
        """For each round: trials of earlier rounds that continue in it, each with the rung to reach."""
        self._recorded_recipe: dict[str, Any] | None = None
        self.rounds = self._read()

    def add(self, proposals: Sequence[Values], promotions: Sequence[tuple[int, int]] = ()) -> None:
        """Record one more round, or adopt the rounds that another launch has recorded meanwhile.

        Args:
            proposals: the points of its new trials.
            promotions: see :attr:`promotions`.

        Raises:
            InputError: those belong to another search.
            OSError: the storage cannot be read or written.
        """
        there = self._read()
        if len(there) > len(self.rounds):
            self.rounds = there
            return
        self.rounds.append(list(proposals))
        self.spaces.append(space_of(self._search))
        self.promotions.append(list(promotions))
        if self.damage:
            self._study.set_aside(FILE)
        self._write()
        self.damage = ""

    def update_recipe(self) -> None:
        """Record the recipe of this launch, which ``--set`` may have changed since the last round.

        Raises:
            OSError: the storage cannot be written.
        """
        if self.rounds and self._recipe != self._recorded_recipe:
            self._write()

    @property
    def _recipe(self) -> dict[str, Any]:
        return {field: getattr(self._base, field) for field in self._space}

    def _write(self) -> None:
        record = RecordedSearch(self._search, self.rounds, self.spaces, self.promotions, self._recipe)
        write_recorded_search(self._study, record)
        self._recorded_recipe = record.recipe

    def _read(self) -> list[list[Values]]:
        try:
            record = read_recorded_search(self._study, _REMEDY)
        except DamagedError as damage:
            self.damage = str(damage)
            return []
        if record is None:
            return []  # if the storage cannot be written, writing will report it
        self._check_same(record.search)
        rounds = [[self._completed(values, record.search) for values in round_] for round_ in record.rounds]
        self._check_inside(rounds)
        self.spaces, self.promotions = record.spaces, record.promotions
        self._recorded_recipe = record.recipe
        return rounds

    def _check_same(self, before: Mapping[str, str]) -> None:
        """Raise InputError if a record belongs to another search."""
        # Records of earlier versions list every field, read or not.
        unread = {f.name for f in dataclasses.fields(RunConfig) if not f.metadata["added"]}
        unread -= self._search.keys()
        for name in dict.fromkeys([*before, *self._search]):
            # A field that was fixed may vary now, and a range may have been widened.
            if name in unread or name in self._space or name.removeprefix(SPACE_PREFIX) in self._space:
                continue
            there, here = (side.get(name, "not set") for side in (before, self._search))
            if there != here:
                raise InputError(
                    f"{self._place}: belongs to another search, {name} is {there} there and {here} here; "
                    "give another --study"
                )

    def _completed(self, values: Values, before: Mapping[str, str]) -> Values:
        """A recorded point with all fields of the space: one that was fixed has its value of that round."""
        default = RunConfig().to_dict()
        return {
            field: values[field]
            if field in values
            else parse_value(field, before.get(field, text_of(default[field])), self._base)
            for field in self._space
        }

    def _check_inside(self, rounds: Sequence[Sequence[Values]]) -> None:
        """Raise InputError if a point lies outside of the space."""
        points = (values for round_ in rounds for values in round_)
        for number, values in enumerate(points):
            for field, distribution in self._space.items():
                if not contains({field: distribution}, values):
                    raise InputError(
                        f"{self._place}: trial {number} with {field}={text_of(values[field])} lies outside "
                        f"of --space {field}={spec_of(distribution)}; widen it, or give another --study"
                    )


def recorded_space(study: Study) -> tuple[str, ...]:
    """The space of the study's search as texts of --space; () if it has none that can be read.

    Raises:
        OSError: the storage cannot be read.
    """
    return tuple(f"{field}={spec}" for field, spec in space_of(recorded_search(study)).items())


def recorded_search(study: Study) -> dict[str, str]:
    """The identity of the study's search, see :func:`describe`; {} if it has none that can be read.

    Raises:
        OSError: the storage cannot be read.
    """
    try:
        record = read_recorded_search(study, _REMEDY)
    except DamagedError:
        return {}
    return dict(record.search) if record else {}
