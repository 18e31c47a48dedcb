"""The folder in which a mirror to W&B holds its lease on a study, so that one at a time sends it."""

from __future__ import annotations

import hashlib
import re

_NAME = re.compile(r"\.wandb-[0-9a-f]{8}")


def lease_folder(place: str) -> str:
    """The name of the folder, which no run has; ``place``: where on W&B the study is sent."""
    return f".wandb-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


def is_lease_folder(name: str) -> bool:
    """Whether a folder in a study has such a name."""
    return _NAME.fullmatch(name) is not None
