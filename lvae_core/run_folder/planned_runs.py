"""The runs of a study's launch that has not ended yet, in its file ``planned-runs.json``.

Without it, a report on an interrupted study could not tell the part that is there from the whole. A launch
writes the file when it begins and deletes it once all of its runs are done or have failed; a later launch
replaces it.

    runs   names of the planned runs
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from lvae_core.run_folder.digests import seal
from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.study import Study

FILE = "planned-runs.json"


def write_planned_runs(study: Study, names: Iterable[str]) -> None:
    """Record what a launch plans; raises OSError if the storage cannot be written."""
    study.store.write(FILE, seal({"runs": sorted(names)}))


def read_planned_runs(study: Study) -> tuple[str, ...]:
    """The names of the runs that the last unfinished launch plans; none if every launch has ended.

    Raises:
        DamagedError: the file is not what :func:`write_planned_runs` wrote.
        OSError: the storage cannot be read.
    """
    return study.read_sealed(FILE, _names_of, remedy="the next launch replaces it") or ()


def _names_of(values: dict[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, values["runs"]))


def forget_planned_runs(study: Study, has_ended: Callable[[str], bool]) -> None:
    """Delete the record of planned runs once all of them have ended, whichever launch recorded them.

    A storage that fails keeps a record that a later launch replaces.

    Args:
        study: the study.
        has_ended: whether nothing is left to do for the run of this name; it may raise OSError.
    """
    with contextlib.suppress(OSError, DamagedError):
        names = read_planned_runs(study)
        if names and all(map(has_ended, names)):
            study.store.delete(FILE)
