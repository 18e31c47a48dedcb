"""Ctrl-C while a command is still importing its libraries: status 130 and not a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = {
    **{
        f"{folder}/{path.name}": (f"{folder}/{path.name}", "--help")
        for folder in ("sweeps", "analysis")
        for path in sorted((ROOT / folder).glob("*.py"))
        if '__name__ == "__main__"' in path.read_text()
    },
    "-m lvae_core": ("-m", "lvae_core", "--help"),
    "benchmarks/gpu_check.py": ("benchmarks/gpu_check.py", "--help"),
}
"""Command -> a command line that prints much if nothing stops it."""

INTERRUPTING = """
import os
import signal
import sys


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPTED_IMPORT"]:
            os.kill(os.getpid(), signal.SIGINT)


sys.meta_path.insert(0, Finder())
"""
"""Makes a process press Ctrl-C when it is about to import a module."""


def ended(command: tuple[str, ...], module: str, place: Path) -> subprocess.CompletedProcess[str]:
    (place / "sitecustomize.py").write_text(INTERRUPTING)
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(place), "INTERRUPTED_IMPORT": module},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_every_command_is_among_those_tested():
    assert len(COMMANDS) == 9


@pytest.mark.parametrize(
    "module", ["lvae_core.arguments", pytest.param("lvae_core.command", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_during_imports_ends_a_command_quietly(name, module, tmp_path):
    done = ended(COMMANDS[name], module, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("module", ["dataclasses", "tyro", "rich.console", "pandas"])
def test_ctrl_c_within_the_import_of_a_library_ends_a_command_quietly(module, tmp_path):
    done = ended(COMMANDS["analysis/summarize.py"], module, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
