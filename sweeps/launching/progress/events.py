"""TensorBoard event files of the runs of a launch, written by its driver from their reports."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from lvae_core.errors import InputError
from lvae_core.messages import notice, numbered
from lvae_core.run_folder.event_files import FOLDER, EventFiles, place_note
from lvae_core.run_folder.study import Study
from sweeps.launching.progress.board import ENDS

_log = logging.getLogger("lvae.tensorboard")


class Events:
    """Event files, one set per run, in ``tensorboard/<study>/<run>`` of the working directory.

    A fault is reported once and ends the writing: event files are a view and must not end a sweep.
    """

    def __init__(self, study: Study, evaluated_again: frozenset[str] = frozenset()) -> None:
        self.place = _place(study)
        self._study, self._left_out = study, evaluated_again
        self._files: dict[str, EventFiles] = {}
        self._works = True

    def write(self, name: str, report: Mapping[str, Any]) -> None:
        """Write what a report of a run says; see :class:`sweeps.launching.trainable.RunTrainable`."""
        if not self._works or name in self._left_out:
            return
        with self._faults_reported():
            self._write(name, report)

    def close(self, name: str) -> None:
        """Write what is left of a run, whose process has ended."""
        if files := self._files.pop(name, None):
            with self._faults_reported():
                files.close()

    @contextlib.contextmanager
    def _faults_reported(self) -> Iterator[None]:
        try:
            yield
        except (InputError, OSError) as error:
            if self._works:
                _log.warning(f"TensorBoard: no more event files are written ({error})")
            self._works = False

    def _write(self, name: str, report: Mapping[str, Any]) -> None:
        from tensorboardX import SummaryWriter  # a dependency of Ray Tune

        if "step" in report:
            if name not in self._files:
                self._files[name] = EventFiles(self._study.run(name), self.place, SummaryWriter)
            self._files[name].write(report["step"], report["metrics"], report.get("estimates"))
        if report["phase"] in ENDS:
            self.close(name)


def _place(study: Study) -> Path:
    return Path(FOLDER) / PurePath(study.url).name


def note_without_events(study: Study, finished: Iterable[str]) -> None:
    """Say how many of the runs that were trained before this launch have no event files, and get none."""
    place = _place(study)
    if lacking := sum(not (place / name).exists() for name in finished):
        notice(
            f"note: {numbered(lacking, 'run')} trained before without --tensorboard: no event files in "
            f"{place}, because they are written for runs that this launch trains"
        )


def open_events(
    study: Study, evaluated_again: frozenset[str] = frozenset(), *, wanted: bool
) -> Events | None:
    """Return the event files of a launch and say where they are; None unless they are wanted."""
    if not wanted:
        return None
    events = Events(study, evaluated_again)
    notice(place_note(events.place))
    return events
