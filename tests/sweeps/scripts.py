"""Run the commands of sweeps/, as processes and in this one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ..commands import python

SWEEPS = Path(__file__).parents[2] / "sweeps"


def run_script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of sweeps/ in a new process."""
    command = [*python(), str(SWEEPS / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def check_refused(
    main: Callable[[Sequence[str]], int],
    arguments: Sequence[str],
    message: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """Check that a command refuses its input in one line and writes nothing; returns its output."""
    (place / "file").write_text("not a folder")
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert "Traceback" not in out + err
    assert [path.name for path in place.iterdir()] == ["file"]
    return out
