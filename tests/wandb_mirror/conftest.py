from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..wandb_server.server import Server, serving
from .kit import Mirror, Work


@pytest.fixture
def server() -> Iterator[Server]:
    """A W&B server; the test fails if it receives a request that it does not know."""
    with serving() as server:
        yield server
    assert server.unknown == []


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The user's home and working directory."""
    place = tmp_path / "home"
    place.mkdir()
    return place


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files of the processes of this test."""
    # Not tmp_path: the library makes a socket below it, whose path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.fixture
def start(server: Server, home: Path, tmp_path: Path) -> Iterator[Callable[..., Mirror]]:
    """Start mirrors of the study at tmp_path / "study"; they are killed at the end."""
    mirrors: list[Mirror] = []

    def start(mode: str = "online", **more: str | None) -> Mirror:
        mirrors.append(Mirror(tmp_path / "study", home, server.url, mode, **more))
        return mirrors[-1]

    yield start
    for mirror in mirrors:
        mirror.kill()


@pytest.fixture
def work() -> Iterator[Work]:
    """Claims on runs, all released at the end."""
    work = Work()
    yield work
    work.end_all()
