"""The ``min_count`` of new runs over a folder, in a study that may have runs already.

A folder that lacks the unknown class in training gets 2 (see ``lvae_core/data/unknown.py``). Studies of
earlier versions have 1, and none of their finished runs may be trained again because of it.
"""

from __future__ import annotations

import contextlib

from lvae_core.config import RunConfig, dataset_label
from lvae_core.errors import InputError, reason
from lvae_core.messages import notice
from lvae_core.run_folder.folder import DamagedError, Study
from lvae_core.run_folder.names import RunName
from lvae_core.storage.parallel import read_each


def may_change(config: RunConfig, new: RunConfig, study: Study) -> bool:
    """Whether runs over a folder may get another ``min_count`` than ``config`` has; say so.

    Raises:
        InputError: the study has runs with both values, so a choice could train finished runs again.
    """
    label = dataset_label(config.dataset)
    try:
        found = _values_in(study, label)
    except OSError as error:
        raise InputError(unreadable(study, error)) from None
    before, after = (f"min_count={c.min_count}" for c in (config, new))
    if {config.min_count, new.min_count} <= found:
        raise InputError(
            f"{study.url}: has runs over {label} with {before} and with {after}; "
            f"add --set {before} or --set {after}"
        )
    if config.min_count in found:
        notice(f"note: {label}: the runs of this study have {before}, so further runs have it, too")
        return False
    notice(
        f"note: {label}: {after}, so that training shows the unknown word, which valid or test need; "
        f"--set {before} keeps every word of training"
    )
    return True


def _values_in(study: Study, label: str) -> set[int]:
    """The values of ``min_count`` of a study's runs over a dataset. Raises OSError if it cannot be read."""
    parsed = ((name, RunName.parse(name)) for name in study.run_names())
    names = [name for name, run in parsed if run and run.cell.dataset == label]

    def value(name: str) -> int | None:
        with contextlib.suppress(DamagedError):
            if present := study.run(name).read_identity():
                return present[0].min_count
        return None

    return {found for found in read_each(study.url, value, names) if found is not None}


def unreadable(study: Study, error: OSError) -> str:
    """The line of an error that a study's storage cannot be read."""
    file = str(error.filename or "").removeprefix(f"{study.url}/")
    what = f"{file} in it " if file and file != str(error.filename) else ""
    return f"storage {study.url}: {what}cannot be read ({reason(error)})"
