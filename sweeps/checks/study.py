"""A look over the run folders of a study: how many there are, and which files are not what was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lvae_core.run_folder.folder import CHECKPOINT, PREVIOUS_CHECKPOINT, DamagedError, RunFolder, Study
from lvae_core.storage.parallel import read_each
from sweeps.checks.findings import Finding

# Few, since each may hold a whole checkpoint in memory.
_READERS = 4

_ASIDE = (".damaged-", ".partial-")


@dataclass(frozen=True)
class _Look:
    """What one run folder holds."""

    name: str
    status: str
    damages: tuple[str, ...]
    aside: int
    """Files that were damaged or half-written once and have been set aside."""
    half_written: int


def check_run_folders(study: Study) -> list[Finding]:
    """Read every file of every run folder; whole checkpoints, too, so this takes its time.

    Raises:
        OSError: the storage cannot be read.
    """
    names = study.run_names()
    looks = list(read_each(study.url, lambda name: _look(study.run(name)), names, readers=_READERS))
    counts = Counter(look.status for look in looks)
    numbers = ", ".join(f"{counts[status]} {status}" for status in ("done", "failed", "unfinished"))
    finding = partial(Finding, check="runs", where=study.url)
    found = [finding(state="ok", detail=f"{len(looks)} run folders: {numbers}")]
    remedy = "the next launch of its grid sets it aside and does what is lost again"
    found += [
        Finding(check="runs", where=look.name, state="warning", detail=damage, remedy=remedy)
        for look in looks
        for damage in look.damages
    ]
    if half := sum(look.half_written for look in looks):
        detail = f"half-written files: {half}, of processes at work now or killed"
        found.append(finding(state="ok", detail=detail, remedy="the next launch sets them aside"))
    if aside := sum(look.aside for look in looks):
        detail = f"files set aside earlier ({', '.join(f'*{mark}*' for mark in _ASIDE)}): {aside}"
        found.append(finding(state="ok", detail=detail, remedy="nothing reads them; yours to delete"))
    return found


def _look(folder: RunFolder) -> _Look:
    files = folder.store.names(folder.name)
    damages: list[str] = []

    def intact(read: Callable[[], object]) -> bool:
        """Whether there is such a file, as it was written."""
        try:
            return read() is not None
        except DamagedError as damage:
            damages.append(str(damage).removeprefix(f"{folder}/"))
            return False

    intact(folder.read_config)
    intact(partial(folder.read_json, "provenance.json"))
    intact(folder.read_metrics)
    for file in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        intact(partial(folder.read_checkpoint, file))
    failed = intact(partial(folder.read_json, "failure.json"))
    done = intact(partial(folder.read_json, "result.json"))
    return _Look(
        name=folder.name,
        status="done" if done else "failed" if failed else "unfinished",
        damages=tuple(damages),
        aside=sum(any(mark in file for mark in _ASIDE) for file in files),
        half_written=len(folder.store.leftovers(folder.name)),
    )
