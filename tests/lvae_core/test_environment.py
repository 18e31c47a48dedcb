"""A command started with a Python that lacks the libraries says in one line how to start it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lvae_core import environment

ROOT = Path(__file__).parents[2]
COMMANDS = {
    **{
        f"{folder}/{path.name}": (f"{folder}/{path.name}", "--a-flag", "two words")
        for folder in ("sweeps", "analysis")
        for path in sorted((ROOT / folder).glob("*.py"))
        if '__name__ == "__main__"' in path.read_text()
    },
    "-m lvae_core": ("-m", "lvae_core", "generate", "two words"),
}
"""Command -> a command line of it. No library is needed to print help or a recipe with ``-m lvae_core``."""


def test_every_command_is_among_those_tested():
    assert len(COMMANDS) == 8


@pytest.mark.parametrize("name", COMMANDS)
def test_without_the_environment_a_command_ends_with_one_line_that_names_setup(name):
    words = COMMANDS[name]
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        # -S: no installed libraries.
        [sys.executable, "-S", *words],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=240,
    )
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert line.startswith(f"error: {sys.executable} lacks ")
    assert "make setup" in line or (ROOT / ".venv/bin/python").exists()
    assert line.endswith(".venv/bin/python -S " + " ".join(words[:-1]) + " 'two words'")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("sweeps/paper_grid.py", "--datasets", "toy", "--seeds", "1", "--list"), 0),
        (("analysis/summarize.py", "no-such-study"), 2),
        (("-m", "lvae_core", "recipe", "lstm-vae"), 0),
    ],
)
@pytest.mark.parametrize("closed", ["1", "2", "0 1 2"])
def test_a_closed_stream_changes_no_exit_status_and_no_other_output(words, status, closed):
    def run(closing: str) -> subprocess.CompletedProcess[str]:
        shell = f'"$@" {closing}'
        command = ["sh", "-c", shell, "sh", sys.executable, *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)

    whole, done = run(""), run(" ".join(f"{number}>&-" for number in closed.split()))
    assert whole.returncode == done.returncode == status
    assert done.stdout == ("" if "1" in closed else whole.stdout)
    assert done.stderr == ("" if "2" in closed else whole.stderr)


def test_what_opens_first_does_not_get_the_number_of_a_closed_stream(tmp_path):
    """Otherwise what a child prints would be in that file."""
    code = (
        "import subprocess, sys; from lvae_core.environment import end_quietly_on_ctrl_c as begin; begin();"
        "file = open(sys.argv[1], 'w'); assert file.fileno() > 2; print('a'); file.write('b');"
        "subprocess.run(['echo', 'c'], check=True)"
    )
    command = ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-c", code, str(tmp_path / "file")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "file").read_text() == "b"


def test_the_advice_names_make_setup_until_there_is_an_environment(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_ROOT", tmp_path)
    monkeypatch.setattr(sys, "orig_argv", ["python", "analysis/summarize.py", "a b"])
    python = tmp_path / ".venv/bin/python"
    end = f": {python} analysis/summarize.py 'a b'"
    assert environment.advice("lacks x") == f"{sys.executable} lacks x; run make setup once, then{end}"
    python.parent.mkdir(parents=True)
    python.touch()
    assert environment.advice("lacks x").endswith(f"use the environment of the project{end}")


def test_a_python_that_is_too_old_is_refused_whatever_it_has_installed(monkeypatch, capsys):
    monkeypatch.setattr(environment, "MIN_PYTHON", (99, 0))
    with pytest.raises(SystemExit) as end:
        environment.check_installed("sweeps")
    assert end.value.code == 2
    assert "is older than Python 99.0" in capsys.readouterr().err


def test_a_complete_environment_passes():
    environment.check_installed("sweeps")
    environment.check_installed("analysis")
