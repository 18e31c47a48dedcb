"""Passes are counted as theory says, and the table has the ratios of what was measured."""

import io

import pytest
from inference_cost import Measured, Options, configs, main, passes, table
from rich.console import Console

from lvae_core.data.corpus import load_for


def test_passes_are_those_of_the_theory():
    cases = configs(Options(dataset="toy", steps=(0, 3, 20)))
    corpus = load_for(cases["lstm-vae"], data_dir=None)
    counted = {name: passes(config, corpus) for name, config in cases.items()}
    assert counted == {
        "lstm-vae": (1, 0),
        "lstm-vae-avg, L = 5": (5, 0),
        "sa-vae, K = 0": (1, 0),
        "sa-vae, K = 3": (10, 3),
        "sa-vae, K = 20": (61, 20),
    }


def test_ratios_are_to_the_first_case():
    found = {"one": Measured(1, 0, 0.01, 5.0, 1000.0), "two": Measured(61, 20, 0.5, 100.0, 10.0)}
    console = Console(width=120, file=io.StringIO())
    console.print(table(found, "cost"))
    line = next(line for line in console.file.getvalue().splitlines() if "two" in line)
    assert line.replace("│", " ").split() == ["two", "61", "20", "500.0", "50.0", "20.0", "10"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(dataset="toy", steps=(-1,)), "svi_steps = -1: must be 0 or more"),
        (Options(dataset="toy", threads=0), "--threads at least 1"),
        (Options(dataset="nowhere"), "nowhere"),
    ],
)
def test_bad_input_gets_one_line(options, message, capsys):
    assert main(options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
