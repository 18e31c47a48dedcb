"""Values that new runs get, in a study that may have runs of an earlier version with another value.

Two fields have changed: the ``min_count`` of a folder that lacks the unknown class in training, or has it
too seldom, is 2 (see ``lvae_core/data/unknown.py``), and the ``patience_rule`` of PTB, Yahoo and folders is
``in_a_row``. Both had the config's default before. No finished run may be trained again because of that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lvae_core.config import RunConfig, dataset_label
from lvae_core.errors import InputError, reason
from lvae_core.messages import notice
from lvae_core.protocols import with_protocol
from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.names import RunName
from lvae_core.run_folder.study import Study
from lvae_core.storage.parallel import read_each


class FormerValues:
    """The values of a study's runs, which need not exist; each run is read once."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._runs: dict[str, list[RunConfig]] = {}
        """Label of a dataset -> the runs over it."""

    def accept_min_count(self, config: RunConfig, new: RunConfig) -> bool:
        """Decide whether runs over a folder get the ``min_count`` of ``new``, and print the decision.

        Raises:
            InputError: the study has runs with both values, so a choice could train finished runs again.
        """
        before, after = config.min_count, new.min_count
        if self._keep_former(config.dataset, "min_count", before, after, lambda run: True):
            return False
        label = dataset_label(config.dataset)
        notice(
            f"note: {label}: min_count={after}, so that training shows the unknown word, "
            f"which valid or test need, more often; --set min_count={before} keeps every word of training"
        )
        return True

    def with_rule_of_study(self, configs: Sequence[RunConfig]) -> list[RunConfig]:
        """Give runs the ``patience_rule`` that the study's runs over their dataset have; say so.

        Raises:
            InputError: the study has runs with both values, so a choice could train finished runs again.
        """
        former = RunConfig().patience_rule
        changed = {
            run.dataset: run for run in configs if _rule_is_recipes(run) and run.patience_rule != former
        }
        kept = [
            dataset
            for dataset, run in changed.items()
            if self._keep_former(dataset, "patience_rule", former, run.patience_rule, _rule_is_recipes)
        ]
        return [
            replace(run, patience_rule=former) if run.dataset in kept and _rule_is_recipes(run) else run
            for run in configs
        ]

    def _keep_former(
        self, dataset: str, field: str, former: Any, new: Any, counts: Callable[[RunConfig], bool]
    ) -> bool:
        """Keep the former value of a field if the study's runs over a dataset have it, and print a note.

        Args:
            dataset: as configs name it.
            field: of the config.
            former: its value in an earlier version.
            new: its value now.
            counts: whether a run's value was the version's choice.

        Returns:
            Whether the former value is kept.

        Raises:
            InputError: there are runs with both values; or the study cannot be read.
        """
        label = dataset_label(dataset)
        try:
            if label not in self._runs:
                self._runs[label] = _runs_over(self._study, label)
        except OSError as error:
            raise InputError(unreadable(self._study, error)) from None
        found = {getattr(run, field) for run in self._runs[label] if counts(run)}
        before, after = f"{field}={former}", f"{field}={new}"
        if {former, new} <= found:
            raise InputError(
                f"{self._study.url}: has runs over {label} with {before} and with {after}; "
                f"add --set {before} or --set {after}"
            )
        if former in found:
            notice(f"note: {label}: the runs of this study have {before}, so further runs have it, too")
        return former in found


def _rule_is_recipes(run: RunConfig) -> bool:
    """Whether a run has the paper's patience, not that of its system's authors.

    A run of a schedule without patience counts, too: the language model that it starts from gets its rule.
    """
    other = replace(run, patience=run.patience + 1)
    return with_protocol(other, "original").patience != run.patience


def _runs_over(study: Study, label: str) -> list[RunConfig]:
    """The configs of a study's runs over a dataset. Raises OSError if the study cannot be read."""
    parsed = ((name, RunName.parse(name)) for name in study.run_names())
    names = [name for name, run in parsed if run and run.cell.dataset == label]

    def config(name: str) -> RunConfig | None:
        with contextlib.suppress(DamagedError):
            if present := study.run(name).read_identity():
                return present[0]
        return None

    return [found for found in read_each(study.url, config, names) if found is not None]


def unreadable(study: Study, error: OSError) -> str:
    """The line of an error that a study's storage cannot be read."""
    file = str(error.filename or "").removeprefix(f"{study.url}/")
    what = f"{file} in it " if file and file != str(error.filename) else ""
    return f"storage {study.url}: {what}cannot be read ({reason(error)})"
