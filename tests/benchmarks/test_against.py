"""Two checkouts are measured in turn; here this one stands for both."""

from __future__ import annotations

import pytest
from against import HERE, main


@pytest.mark.slow
def test_a_checkout_is_measured_beside_another(capsys):
    assert (
        main([str(HERE), "--cases", "ptb/lstm-lm/standard", "--tiny", "--rounds", "1", "--seconds", "0"])
        == 0
    )
    printed = capsys.readouterr().out
    (row,) = [line for line in printed.splitlines() if "ptb/lstm-lm" in line]
    there, here, ratio = (float(cell) for cell in row.strip("│ ").replace("│", " ").split()[1:4])
    assert ratio == pytest.approx(here / there, abs=0.01)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere"], "nowhere: not a checkout with benchmarks/speed/measure.py"),
        ([str(HERE), "--rounds", "0"], "--rounds 0: must be at least 1"),
        ([str(HERE), "--cases", "yelp*"], "--cases yelp*: matches none of ptb/lstm-lm"),
        ([str(HERE), "--variant", "theirs"], "--variant theirs: no case has it"),
    ],
)
def test_bad_input_is_one_line_and_status_2(words, complaint, capsys):
    assert main(words) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {complaint}")
    assert errors.count("\n") == 1
