"""The commands that lines for users name work in the shell that started the process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lvae_core.messages import command_here, next_line


@pytest.fixture
def environment_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ``bin`` of an environment in the working directory, whose Python runs; none is active."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return folder


def test_without_an_active_environment_a_command_names_the_interpreter_that_runs(
    environment_of: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command_here("python", "mine.py", "a b") == ".venv/bin/python mine.py 'a b'"
    assert next_line("python", "-m", "lvae_core") == "next: .venv/bin/python -m lvae_core"
    assert command_here("ray", "status") == "ray status"
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert command_here("python", "mine.py") == f"{environment_of}/python mine.py"


def test_in_an_active_environment_it_is_python(
    environment_of: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{environment_of}:/usr/bin")
    monkeypatch.setattr(sys, "executable", str(environment_of / "python3"))
    (environment_of / "python3").symlink_to("python")
    assert command_here("python", "mine.py") == "python mine.py"


def test_another_environment_with_the_same_python_is_not_the_one_that_runs(
    environment_of: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "python").symlink_to((environment_of / "python").resolve())
    monkeypatch.setenv("PATH", str(other))
    assert command_here("python", "mine.py") == ".venv/bin/python mine.py"
