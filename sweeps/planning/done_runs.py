"""Read each run as soon as it is done, so that the end of a sweep has little left to read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from lvae_core.errors import InputError
from lvae_core.run_folder.study import Study
from sweeps.planning.plan import PlannedRun
from sweeps.planning.run_lookup import read_done


class DoneRuns:
    """The runs of a launch that are done, each read from its folder in another thread.

    Use it in a ``with`` block, at whose end all of them have been read. A run that cannot be read is left
    out; whoever needs it reads it again.

    Args:
        url: of the study.
        runs: those that may be reported as done.
        data_sha256: dataset, as the configs name it -> content hash.
    """

    def __init__(self, url: str, runs: Iterable[PlannedRun], data_sha256: Mapping[str, str]) -> None:
        # Without retries: a storage in trouble is asked again at the end.
        self._study = Study(url, create=False)
        self._runs = {run.name: run for run in runs}
        self._data_sha256 = data_sha256
        self._pool = ThreadPoolExecutor(1)
        self.by_key: dict[str, PlannedRun] = {}
        """Fingerprint -> run."""

    def __enter__(self) -> DoneRuns:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=error is not None)

    def add(self, name: str) -> None:
        """Read a run that has been reported as done."""
        if run := self._runs.get(name):
            self._pool.submit(self._read, run)

    def _read(self, run: PlannedRun) -> None:
        with contextlib.suppress(OSError, InputError):
            if found := read_done(self._study, run, self._data_sha256[run.config.dataset]):
                self.by_key[run.key] = found
