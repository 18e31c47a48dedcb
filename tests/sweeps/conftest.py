"""A place of its own for a test of a command."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# The lines that name a command say `python` for the Python on the path, which here is the one that runs.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Let the test begin in an empty folder, without data of the user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LVAE_DATA_DIR", raising=False)
