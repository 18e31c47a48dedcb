"""Wrong command lines are reported in one line, for both parsers; right ones are parsed as before."""

from __future__ import annotations

import argparse

import pytest
import tyro

from lvae_core.arguments import Parser, bound, parsed, repeat_settings
from lvae_core.errors import InputError
from sweeps import runs
from sweeps.grid_options import Options
from sweeps.trials.options import Options as SearchOptions


def grid(*arguments: str) -> Options:
    return parsed(lambda: tyro.cli(Options, args=arguments, prog="paper_grid.py"))


def core(*arguments: str) -> argparse.Namespace:
    parser = Parser(prog="core")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run")
    run.add_argument("config")
    run.add_argument("--threads", type=int)
    run.add_argument("--decode", choices=["greedy", "sample"])
    run.add_argument("--column", "--columns")
    run.add_argument("--json", action="store_true")
    run.add_argument("--sentence", action="append")
    run.add_argument("--between", nargs=2)
    return parsed(lambda: parser.parse_args(arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sedes", "3"], "unknown option --sedes: did you mean '--seeds'?"),
        (["--qqq"], "unknown option --qqq; see paper_grid.py --help"),
        (["--seed", "3"], "unknown option --seed: did you mean '--seeds'?"),
        (["--seed=3"], "unknown option --seed: did you mean '--seeds'?"),
        (["--system=a", "--qqq", "-1"], "unknown options --system, --qqq: give --systems for --system"),
        (["--epochs", "3"], "unknown option --epochs: did you mean '--max-epochs'?"),
        (["a", "b"], "superfluous arguments a, b; see paper_grid.py --help"),
        ([""], "superfluous argument ''; see paper_grid.py --help"),
        (["--max-epochs", "x"], "--max-epochs: 'x' is not a whole number; see paper_grid.py --help"),
        (["--num-samples", "1.5"], "--num-samples: '1.5' is not a whole number; see paper_grid.py --help"),
        (
            ["--num-samples", "1", "1.5"],
            "--num-samples: one of '1', '1.5' is not a whole number; see paper_grid.py --help",
        ),
        (["--devices", "x"], "--devices: 'x' is not a whole number; see paper_grid.py --help"),
        (["--price-per-hour", "x"], "--price-per-hour: 'x' is not a number; see paper_grid.py --help"),
        (["--preset", "dmo"], "unknown --preset 'dmo': did you mean 'demo'?"),
        (["--preset", "foo"], "unknown --preset 'foo': choose from all, demo, paper"),
        (["--study"], "Missing value for argument '--study'. Expected 1 values; see paper_grid.py --help"),
    ],
)
@pytest.mark.parametrize("columns", ["", "20"])
def test_an_error_of_tyro_becomes_one_line_in_a_terminal_of_any_width(
    arguments, message, columns, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(InputError) as caught:
        grid(*arguments)
    assert str(caught.value) == message
    assert capsys.readouterr() == ("", "")


def test_each_unknown_option_gets_the_option_that_is_meant() -> None:
    words = ["--systems", "lstm-lm", "--datasets", "toy"]
    with pytest.raises(InputError) as caught:
        parsed(lambda: tyro.cli(SearchOptions, args=words, prog="search.py"))
    assert str(caught.value) == (
        "unknown options --systems, --datasets: give --system for --systems, --dataset for --datasets"
    )


def test_a_list_with_a_word_that_is_no_number_cannot_be_read() -> None:
    with pytest.raises(InputError, match=r"^--rungs: \['x'\] cannot be read; see search.py --help$"):
        parsed(lambda: tyro.cli(SearchOptions, args=["--rungs", "x"], prog="search.py"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give {list,move,delete} and STUDY; see runs.py --help"),
        (["list"], "give STUDY; see runs.py --help"),
        (["frob", "x"], "unknown action 'frob': choose from list, move, delete"),
    ],
)
def test_arguments_that_are_missing_are_all_named(arguments, message):
    with pytest.raises(InputError) as caught:
        parsed(lambda: tyro.cli(runs.Options, args=arguments, prog="runs.py"))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rn"], "unknown command 'rn': did you mean 'run'?"),
        (["run"], "the following arguments are required: config; see core run --help"),
        (["run", "x", "--threads", "q"], "argument --threads: invalid int value: 'q'; see core run --help"),
        (["run", "x", "--decode", "gredy"], "unknown --decode 'gredy': did you mean 'greedy'?"),
        (["run", "x", "--foo"], "unknown option --foo; see core run --help"),
        (["run", "x", "--decoder=greedy"], "unknown option --decoder: did you mean '--decode'?"),
        (["run", "x", "--thread_s", "2"], "unknown option --thread_s: did you mean '--threads'?"),
        (["run", "x", "y"], "superfluous argument y; see core run --help"),
        (["run", "x", "--threads", "1", "--threads=2"], "--threads: given twice; give it once"),
        (["run", "x", "--thr", "1", "--threads=1"], "--threads: given twice; give it once"),
        (["run", "x", "--column", "1", "--columns", "2"], "--column: given twice; give it once"),
        (["run", "--json", "x", "--json"], "--json: given twice; give it once"),
        (
            ["run", "x", "--column", "-a"],
            "argument --column/--columns: expected one argument; a value that begins with - needs "
            "OPTION=VALUE; see core run --help",
        ),
        (
            ["run", "x", "--between", "-a", "b"],
            "argument --between: expected 2 arguments; a value that begins with - needs a blank in front, "
            "in quotes; see core run --help",
        ),
        (["--foo", "run", "x"], "unknown option --foo; see core --help"),
    ],
)
def test_an_error_of_argparse_becomes_one_line(arguments, message, capsys):
    with pytest.raises(InputError) as caught:
        core(*arguments)
    assert str(caught.value) == message
    assert capsys.readouterr() == ("", "")


def test_an_option_that_collects_values_may_be_repeated():
    found = core("run", "x", "--sentence", "a", "--threads", "1", "--sentence", "b")
    assert found.sentence == ["a", "b"]


def test_the_help_is_printed_with_status_0(capsys):
    for parse in (grid, core):
        with pytest.raises(SystemExit) as caught:
            parse("--help")
        assert caught.value.code == 0
        assert "--help" in capsys.readouterr().out


def test_a_bound_function_is_parsed_with_its_own_parameters_and_called_later():
    calls = []

    def command(count: int, /, *, name: str = "a") -> str:
        """Do it."""
        calls.append((count, name))
        return name * count

    call = parsed(lambda: tyro.cli(bound(command), args=["3", "--name", "b"]))
    assert calls == []
    assert call() == "bbb"
    with pytest.raises(InputError, match="INT: 'x' is not a number of its kind"):
        parsed(lambda: tyro.cli(bound(command), args=["x"]))


@pytest.mark.parametrize(
    ("given", "rewritten"),
    [
        ("recipe lstm-vae --set a=1 b=2 --seed 3", "recipe lstm-vae --set a=1 --set b=2 --seed 3"),
        ("recipe --set a=1 b=2 c-d=3 lstm-vae", "recipe --set a=1 --set b=2 --set c-d=3 lstm-vae"),
        ("evaluate --set=a=1 b=2 runs/x=1", "evaluate --set=a=1 --set b=2 runs/x=1"),
        ("evaluate --set a=1 --set b=2 --device=cpu", "evaluate --set a=1 --set b=2 --device=cpu"),
        ("evaluate a=1 --set a b=2 --seed 3 c=4", "evaluate a=1 --set a --set b=2 --seed 3 c=4"),
        ("evaluate run --set", "evaluate run --set"),
    ],
)
def test_several_settings_may_follow_one_option(given: str, rewritten: str) -> None:
    assert repeat_settings(given.split()) == rewritten.split()
