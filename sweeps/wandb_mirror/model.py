"""The model of a finished run as the files of a W&B artifact, which together are a run folder again.

    python -m lvae_core generate ARTIFACT     works on the downloaded artifact

The files of a finished run do not change, so W&B recognises an artifact that it already has by its content.
"""

from __future__ import annotations

import re
from pathlib import Path

from lvae_core.run_folder.folder import CHECKPOINT, DamagedError, RunFolder

# Not provenance.json: it names machines.
FILES = ("config.json", "metrics.jsonl", "result.json", CHECKPOINT)

_LONGEST_NAME = 128


def artifact_name(run: str) -> str:
    """Return the artifact's name: the run folder's, which ends with the fingerprint, as W&B allows it."""
    return re.sub(r"[^\w.-]", "-", run)[-_LONGEST_NAME:]


def copy_model(folder: RunFolder, place: Path) -> list[Path]:
    """Copy the artifact's files of a finished run to ``place``; returns their paths.

    Raises:
        DamagedError: the checkpoint is not what was written, or is missing.
        OSError: the storage cannot be read.
    """
    if folder.read_checkpoint() is None:
        raise DamagedError(f"{folder}/{CHECKPOINT}: missing")
    place.mkdir(parents=True, exist_ok=True)
    # A result has the config, too, so a finished run may lack the file.
    paths = [place / name for name in FILES if name != "config.json" or folder.has(name)]
    for path in paths:
        path.write_bytes(folder.store.read(f"{folder.name}/{path.name}"))
    return paths
