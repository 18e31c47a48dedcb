"""Lists of values on a command line have blanks between, or commas."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps import paper_grid
from sweeps.options import split_lists

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("--num-samples 1,3 --seeds 1,3", "--num-samples 1 3 --seeds 1,3"),
        ("--num-samples=1,3", "--num-samples 1 3"),
        ("--num_samples=1,3 5", "--num-samples 1 3 5"),
        ("--num-samples 1, 3", "--num-samples 1 3"),
        ("--num-samples ,", "--num-samples ,"),
        ("--num-samples 1 --set dropout=0.3,0.5", "--num-samples 1 --set dropout=0.3,0.5"),
        ("--datasets clean,toy texts/a,texts/b", "--datasets clean toy texts/a texts/b"),
        ("--datasets a,b/texts toy", "--datasets a,b/texts toy"),  # a folder
    ],
)
def test_commas_in_a_list_are_read_as_blanks(given: str, words: str) -> None:
    Path("a,b/texts").mkdir(parents=True)
    assert split_lists(given.split(), "--num-samples", "--datasets") == words.split()


def test_a_list_may_be_longer_than_the_name_of_a_file() -> None:
    numbers = [str(number) for number in range(200)]
    assert split_lists(["--devices", ",".join(numbers)], "--devices") == ["--devices", *numbers]
    assert split_lists([f"--devices={','.join(numbers)}"], "--devices") == ["--devices", *numbers]


def planned(given: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert paper_grid.main([*given.split(), "--seeds", "1", "--list", "--quiet"]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_grid_with_commas_is_the_grid_with_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    commas = (
        "--datasets toy,topics --systems lstm-lm,lstm-vae --settings standard,inputless --num-samples 1,3"
    )
    runs = planned(commas.replace(",", " "), capsys)
    assert len(runs) == 2 * 2 * (1 + 2)
    assert planned(commas, capsys) == runs
