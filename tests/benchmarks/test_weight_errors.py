"""The simulation of errors: its weights have a mean of 1, and its ratios are those of loops by hand."""

import math

import numpy as np
import pytest
import torch
from weight_errors import CASES, main, ratios


@pytest.mark.parametrize("name", list(CASES)[:3])
def test_the_weights_have_a_mean_of_1(name):
    w = np.exp(CASES[name](np.random.default_rng(0), (400, 1000)))
    assert w.mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("name", "mean", "variance"), [
    ("log-normal, σ = 2", -2.0, 4.0),
    ("log-normal, σ = 3", -4.5, 9.0),
    # log w = (1 - v) χ²/2 + 16 log v with v = 1/2: the mean of χ² is 32, its variance 64.
    ("normal in 32 dimensions, proposal with half the variance", 8 + 16 * math.log(0.5), 4.0),
])  # fmt: skip
def test_heavy_weights_have_the_moments_of_their_logarithms(name, mean, variance):
    """Too few draws would show the mean of the weights themselves."""
    log_w = CASES[name](np.random.default_rng(0), (400, 1000))
    assert log_w.mean() == pytest.approx(mean, abs=0.03)
    assert log_w.var() == pytest.approx(variance, rel=0.03)


def test_the_ratios_are_those_of_a_loop_by_hand():
    log_w = torch.from_numpy(np.random.default_rng(3).normal(0, 0.7, (30, 40)))
    values, deltas, jackknives = [], [], []
    for column in log_w.T.tolist():
        w = [math.exp(v) for v in column]
        mean = math.fsum(w) / 30
        values.append(math.log(mean))
        deltas.append(math.fsum((x - mean) ** 2 for x in w) / 29 / 30 / mean**2)
        left = [math.log((math.fsum(w) - x) / 29) for x in w]
        centre = math.fsum(left) / 30
        jackknives.append(29 / 30 * math.fsum((v - centre) ** 2 for v in left))
    spread = np.std(values, ddof=1)
    _, delta, jackknife = ratios(log_w)
    assert delta == pytest.approx(spread / math.sqrt(np.mean(deltas)), rel=1e-9)
    assert jackknife == pytest.approx(spread / math.sqrt(np.mean(jackknives)), rel=1e-9)


def test_the_command_prints_a_row_for_each_case(capsys):
    assert main(["--samples", "50", "--estimates", "40"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in CASES)
    assert main(["--samples", "20"]) == 2
    assert capsys.readouterr().err == "error: --samples, --estimates: give at least 21 and 2\n"
