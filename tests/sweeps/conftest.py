"""A place of its own for a test of a command."""

from __future__ import annotations

import pytest


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Let the test begin in an empty folder, without data of the user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LVAE_DATA_DIR", raising=False)
