"""An option that is given twice is refused by every command of tyro, unless it collects its values."""

from __future__ import annotations

import argparse
import functools
import sys
import warnings
from pathlib import Path

import pytest
import tyro

from lvae_core.arguments import REPEATABLE

from .chaos.fuzz.command_lines import MAINS
from .chaos.fuzz.options import NEVER_DRAWN, OPTIONS, SETTING
from .reference import make_reference

POSITIONAL = {
    "sweeps/runs.py": ["list", "study"],
    "sweeps/wandb_push.py": ["study"],
    "analysis/summarize.py": ["study"],
    "analysis/wandb_report.py": ["study"],
}
OTHERS = {"--address": ["10.0.0.1:6379"]}
"""Values of options that take one and that fuzzing does not draw."""

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@functools.cache
def actions(command: str) -> dict[str, argparse.Action]:
    """Option -> how tyro reads it."""
    source = make_reference().COMMANDS[command][1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parser = tyro.extras.get_parser(source)
    return {option: action for action in parser._actions for option in action.option_strings}


def words(command: str, option: str) -> list[str]:
    """The option with values that it can read."""
    values = OPTIONS[command].get(option, OTHERS.get(option, ()))
    chosen = values[0] if values else ()
    several = [chosen] if isinstance(chosen, str) else list(chosen)
    return [option, *("dropout=0.5" if word == SETTING else word for word in several)]


def outcome(
    command: str, given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str]:
    monkeypatch.setattr(sys, "argv", [command, *given])
    try:
        status = MAINS[command]()
    except SystemExit as end:
        status = end.code
    return status, capsys.readouterr().err


EVERY = [
    pytest.param(command, option, marks=[pytest.mark.slow] * (number >= 3))
    for command in MAINS
    for number, option in enumerate((*OPTIONS[command], *NEVER_DRAWN.get(command, {})))
    if option not in REPEATABLE
]
"""Three of each command at once, all of them with the slow tests: each takes a new parser."""


@pytest.mark.parametrize(("command", "option"), EVERY)
def test_no_option_silently_replaces_its_first_value(command, option, monkeypatch, capsys):
    first = words(command, option)
    again = [option.replace("-", "_").replace("__", "--", 1), *first[1:]]  # tyro reads both spellings
    if len(first) == 2:
        again = ["=".join(again)]
    status, err = outcome(command, [*POSITIONAL.get(command, []), *first, *again], monkeypatch, capsys)
    is_list = actions(command)[option].nargs == "*"
    remedy = f"write all its values after one {option}" if is_list else "give it once"
    assert (status, err) == (2, f"error: {option}: given twice; {remedy}\n")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("command", MAINS)
def test_the_options_that_may_be_repeated_are_those_that_collect_values(command):
    found = actions(command)
    # tyro has a copy of argparse.
    appending = {o for o, action in found.items() if type(action).__name__ == "_AppendAction"}
    assert appending == REPEATABLE & found.keys()
    listed = {*OPTIONS[command], *NEVER_DRAWN.get(command, {})}
    assert found.keys() - {"-h", "--help"} == listed


def test_an_option_and_its_opposite_are_refused(monkeypatch, capsys):
    given = ["study", "--figures", "--no-figures"]
    expected = "error: --figures --no-figures: give one of them\n"
    assert outcome("analysis/summarize.py", given, monkeypatch, capsys) == (2, expected)


@pytest.mark.parametrize(
    ("command", "given"),
    [
        ("sweeps/paper_grid.py", ["--set", "dropout=0.1", "--set", "max_epochs=1", "--list", "--quiet"]),
        ("sweeps/search.py", ["--space", "dropout=0.1,0.2", "--space", "latent_size=2,3", "--dry-run"]),
    ],
)
def test_options_that_collect_values_may_be_repeated(command, given, monkeypatch, capsys):
    toy = ["--datasets", "toy", "--seeds", "1"] if "grid" in command else ["--dataset", "toy"]
    assert outcome(command, [*toy, *given], monkeypatch, capsys) == (0, "")
