"""Find run folders: in the study of a sweep, in a folder of runs with any names, or a single run."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from lvae_core.errors import InputError, cannot_read
from lvae_core.messages import command_here, listed
from lvae_core.run_folder import search_record
from lvae_core.run_folder.folder import RunFolder
from lvae_core.run_folder.names import RunName
from lvae_core.run_folder.study import Study, open_study

DEFAULT_STORAGE = "runs"
"""The default --storage of the sweeps."""

REMOTE_READERS = 32
"""Threads that read the run folders of a remote place."""

_MOST_NAMES = 4


class NoRunYetError(InputError):
    """A place is empty but for files that a sweep writes before its first run."""


@dataclass(frozen=True)
class Source:
    """A place, and the run folders to read there."""

    url: str
    folders: tuple[RunFolder, ...]


def open_source(path: str) -> Source:
    """Open a study or a single run folder at a path or URL.

    Raises:
        InputError: the place does not exist, or it holds no run folder.
        NoRunYetError: a sweep may be about to write its first one there.
    """
    study = open_study(path)
    try:
        here = study.store.names()
        folders = _run_folders(study, here)
        if folders:
            return Source(study.url, folders)
        if "config.json" in here or "result.json" in here:
            name = PurePath(study.url).name
            parent = open_study(study.url.removesuffix(f"/{name}"))
            return Source(study.url, (parent.run(name),))
        # A common mistake is to give the folder of all studies: name one of them in the error.
        inside = [name for name in here if _run_folders(*_study_and_names(f"{study.url}/{name}"))]
        exists = bool(here) or study.store.exists("")
    except OSError as error:
        raise cannot_read(path, error) from None
    if inside:
        raise InputError(f"{path}: holds studies, is not one itself; give {path.rstrip('/')}/{inside[0]}")
    if not exists:
        raise InputError(f"{path}: there is no such study; give a folder that a sweep has written")
    if all(name.startswith(".") or name.endswith(".json") for name in here):
        raise NoRunYetError(f"{path}: no run has begun there yet; start its sweep, or give another study")
    raise InputError(f"{path}: not a study: it holds no run folder; give one that a sweep has written")


def summary_name(paths: Sequence[str], between: str = "+") -> str:
    """The name of the folder for a summary of studies, made of theirs: ``paper``, ``here+there``."""
    names = list(dict.fromkeys(_long_names(paths)))
    shown = names if len(names) <= _MOST_NAMES else [*names[: _MOST_NAMES - 1], f"{len(names)}-studies"]
    # A name of a file is at most 255 bytes on all usual systems.
    return between.join(name[: 200 // len(shown)] for name in shown)


def study_names(paths: Sequence[str]) -> str:
    """The names of studies for a title: ``paper``, ``here and there``, ``a, b and 4 more``."""
    names = distinct_names(paths)
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 1], f"{len(names) - _MOST_NAMES + 1} more"]
    return listed(names)


def distinct_names(paths: Sequence[str]) -> list[str]:
    """The name of each study; with the folders above it if two have the same."""
    names = [PurePath(path).name or path for path in paths]
    return names if len(set(names)) == len(names) else _long_names(paths)


def _long_names(paths: Sequence[str]) -> list[str]:
    """A name of each study that tells it from those in other folders; see :func:`_study_name`."""
    places = [_parts(path) for path in paths]

    def is_alone(place: Sequence[str], more: int) -> bool:
        name = _study_name(place, more)
        return all(_study_name(other, more) != name for other in places if other != place)

    def more(place: Sequence[str]) -> int:
        return next((k for k in range(len(place)) if is_alone(place, k)), len(place))

    return [_study_name(place, more(place)) for place in places]


def study_place(path: str) -> str:
    """The path of a study, from the working directory if it is below it; or its URL."""
    scheme, is_url, _ = path.partition("://")
    return (f"{scheme}://" if is_url else "") + "/".join(_parts(path))


def _parts(path: str) -> tuple[str, ...]:
    """The parts of a study's path, from the working directory if it is below it, or of its URL."""
    _, is_url, address = path.partition("://")
    if not is_url:
        below = os.path.relpath(PurePath(path))
        address = os.path.abspath(path) if below.startswith(os.pardir) else below
    return tuple(part for part in re.split(r"[/\\]", address) if part.strip("."))


def _study_name(parts: Sequence[str], more: int) -> str:
    """The last parts of a study's path, as a file's name: ``paper``, ``mine-paper``, ``me-runs-paper``.

    ``more``: the number of further parts. Of ``runs/paper`` in the working directory the name is enough.
    Elsewhere the folder is named, too, and the one above it if it is the usual ``runs``.
    """
    in_runs = list(parts[-2:-1]) == [DEFAULT_STORAGE]
    fewest = 2 if not in_runs else 3 if parts[:-2] else 1
    return re.sub(r"[^\w.+-]+", "_", "-".join(parts[-fewest - more :])) or "study"


def find_sources(storage: str) -> list[Source]:
    """Find every study directly in a storage place, sorted by name, and the runs directly in it."""
    study, here = _study_and_names(storage)
    children = [_study_and_names(f"{study.url}/{name}") for name in here]
    sources = [Source(child.url, _run_folders(child, names)) for child, names in children]
    sources.append(Source(study.url, _run_folders(study, here)))
    return [source for source in sources if source.folders]


def leave_trials_out(sources: Sequence[Source]) -> tuple[list[Source], tuple[str, ...]]:
    """Leave the trials of searches out of a merge; returns the other sources, and the URLs of the trials.

    Raises:
        InputError: several searches and nothing else; or a storage cannot be read.
    """
    trials, others = _trials_and_others(sources)
    if len(sources) == 1 or not trials:
        return list(sources), ()
    if not others:
        first = f"{DEFAULT_STORAGE}/{PurePath(trials[0].url).name}"
        raise InputError(
            f"{DEFAULT_STORAGE}/: holds only trials of {len(trials)} searches, which are not merged; give "
            f"one: {command_here('python', 'analysis/summarize.py', first)}"
        )
    return others, tuple(source.url for source in trials)


def check_merge(sources: Sequence[Source]) -> None:
    """Raise InputError if trials of a search are to be merged with other runs, or a storage cannot be read.

    A trial was chosen by a seed that it ran with: its number may not be averaged with those of fresh seeds.
    """
    trials, others = _trials_and_others(sources)
    if trials and others:
        raise InputError(
            f"{trials[0].url}: trials of a search, chosen by a seed that they ran with, are not merged "
            "with other runs; give it alone"
        )


def _trials_and_others(sources: Sequence[Source]) -> tuple[list[Source], list[Source]]:
    """The sources that are trials of a search, or one of its runs, and the others."""
    found: tuple[list[Source], list[Source]] = [], []
    for source in sources:
        try:
            of_search = any(folder.store.exists(search_record.FILE) for folder in source.folders[:1])
        except OSError as error:
            raise cannot_read(source.url, error) from None
        found[0 if of_search else 1].append(source)
    return found


def _study_and_names(url: str) -> tuple[Study, list[str]]:
    study = open_study(url)
    return study, study.store.names()


def _run_folders(study: Study, names: list[str]) -> tuple[RunFolder, ...]:
    """The folders that are named as a sweep names them, and any other that holds a run's config."""
    folders = [study.run(name) for name in names]
    return tuple(f for f in folders if RunName.parse(f.name) or f.has("config.json"))
