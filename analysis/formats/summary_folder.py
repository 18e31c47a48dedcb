"""The folder of a summary for which none is given: one below ``summary/`` for each study or merge."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from analysis.formats.files import write_files
from analysis.reading.sources import study_place, summary_name
from lvae_core.storage.store import open_store

SUMMARIES = "summary"
"""The folder that holds a folder for each summary."""

FILE = ".studies"
"""The file that tells of which studies a folder has the summary; those of earlier versions have none."""


def summary_folder(studies: Sequence[str], between: str = "+") -> str:
    """The folder for the summary of ``studies``, named after them.

    If that folder has the summary of other studies, whose names are the same, a digest of these studies'
    places is added.

    Args:
        studies: paths or URLs.
        between: joins several names.
    """
    folder, text = f"{SUMMARIES}/{summary_name(studies, between)}", _text(studies)
    try:
        there = open_store(folder).read(FILE)
    except OSError:  # there is none; if the folder cannot be used, writing will report it
        return folder
    if there == text.encode():
        return folder
    return f"{folder}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def mark(folder: str, studies: Sequence[str]) -> None:
    """Note in a folder of which studies it has the summary; raises OSError if it cannot be written."""
    write_files({FILE: _text(studies)}, folder)


def _text(studies: Sequence[str]) -> str:
    return "".join(f"{place}\n" for place in dict.fromkeys(map(study_place, studies)))
