"""Check the run folders of a study: count them, and find damaged and half-written files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lvae_core.run_folder.evaluations import is_evaluation
from lvae_core.run_folder.folder import CHECKPOINTS, DamagedError, RunFolder
from lvae_core.run_folder.study import Study
from lvae_core.storage.parallel import read_each
from sweeps.checks.findings import Finding

# Few, because each may hold a whole checkpoint in memory.
_READERS = 4

_ASIDE = (".damaged-", ".partial-")


@dataclass(frozen=True)
class _FolderState:
    """The state of one run folder."""

    name: str
    status: str
    damages: tuple[str, ...]
    aside: int
    """The number of damaged or half-written files that were set aside earlier."""
    half_written: int


def check_run_folders(study: Study) -> list[Finding]:
    """Read every file of every run folder. This takes a while, as it includes checkpoints.

    Raises:
        OSError: the storage cannot be read.
    """
    names = study.run_names()
    states = list(read_each(study.url, lambda name: _read_state(study.run(name)), names, readers=_READERS))
    counts = Counter(state.status for state in states)
    numbers = ", ".join(f"{counts[status]} {status}" for status in ("done", "failed", "unfinished"))
    finding = partial(Finding, check="runs", where=study.url)
    found = [finding(state="ok", detail=f"{len(states)} run folders: {numbers}")]
    remedy = "the next launch of its grid sets it aside and repeats what is lost"
    found += [
        Finding(check="runs", where=state.name, state="warning", detail=damage, remedy=remedy)
        for state in states
        for damage in state.damages
    ]
    if half := sum(state.half_written for state in states):
        detail = f"half-written files: {half}, of running or killed processes"
        found.append(finding(state="ok", detail=detail, remedy="the next launch sets them aside"))
    if aside := sum(state.aside for state in states):
        detail = f"files set aside earlier ({', '.join(f'*{mark}*' for mark in _ASIDE)}): {aside}"
        found.append(finding(state="ok", detail=detail, remedy="nothing reads them; you may delete them"))
    return found


def _read_state(folder: RunFolder) -> _FolderState:
    files = folder.store.names(folder.name)
    damages: list[str] = []

    def intact(read: Callable[[], object]) -> bool:
        """Whether there is such a file, and it is intact."""
        try:
            return read() is not None
        except DamagedError as damage:
            damages.append(str(damage).removeprefix(f"{folder}/"))
            return False

    intact(folder.read_config)
    intact(partial(folder.read_json, "provenance.json"))
    intact(folder.read_metrics)
    intact(folder.read_steps)
    for file in CHECKPOINTS:
        intact(partial(folder.read_checkpoint, file))
    for file in filter(is_evaluation, files):
        intact(partial(folder.read_json, file))
    failed = intact(partial(folder.read_json, "failure.json"))
    done = intact(partial(folder.read_json, "result.json"))
    return _FolderState(
        name=folder.name,
        status="done" if done else "failed" if failed else "unfinished",
        damages=tuple(damages),
        aside=sum(any(mark in file for mark in _ASIDE) for file in files),
        half_written=len(folder.store.leftovers(folder.name)),
    )
