"""What a launch shows of its runs, with and without a terminal."""

from __future__ import annotations

import io
import itertools
import re

import pytest
from rich.console import Console
from rich.live import Live
from rich.text import Text

from sweeps.launching.progress.display import STARTING, Display, describe, draw

from ....lvae_core import tiny
from ..boards import CELL, NAMES, Clock, train


def test_without_a_terminal_there_are_plain_lines(board):
    out = io.StringIO()
    board.start(NAMES[0])
    board.report(NAMES[0], train(0.1, valid_ppl=90.0, best_ppl=80.0))
    with Display(board, Console(file=out, force_terminal=False)) as display:
        display.refresh()
        display.refresh()  # too early for another
        display.say("something [bold]of[/bold] note")
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    assert [line[10:] for line in lines] == [
        board.summary(),
        "  toy__lstm-lm__standard__L0__seed0: epoch 2, valid ppl 90.00",
        "something [bold]of[/bold] note",
    ]


def test_a_terminal_shows_the_runs_and_the_best_numbers(board):
    board.start(NAMES[0])
    board.report(NAMES[0], train(0.1, valid_ppl=90.0, best_ppl=80.0))
    out = io.StringIO()
    # In colour the unfilled part of a bar is drawn, too, which leaves less room for the rest.
    console = Console(file=out, width=80, force_terminal=True, color_system="standard")
    with Live(console=console, auto_refresh=False) as live:
        live.update(draw(board), refresh=True)
    shown = Text.from_ansi(out.getvalue()).plain
    for text in (board.summary(), "toy__lstm-lm__standard__L0__seed0", "valid ppl 90.00", "80.00"):
        assert text in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_search_of_many_trials_shows_the_lowest(board):
    board.hide_test_scores = True
    board.best = {f"trial {k}": 100.0 - k for k in range(40)}
    out = io.StringIO()
    Console(file=out, width=80).print(draw(board))
    assert [line.split()[:3] for line in out.getvalue().splitlines() if "trial" in line][:2] == [
        ["trial", "39", "61.00"],
        ["trial", "38", "62.00"],
    ]


def test_a_terminal_shows_the_ends_of_long_labels(board):
    cell = "my_corpus__lstm-vae-avg__standard__L10__seed0"
    board.labels = {name: f"{cell} latent_size={k}" for k, name in enumerate(NAMES[:2])}
    row = train(0.1, valid_ppl=90.0, best_ppl=80.0) | {
        "epochs": 30,
        "loss": 101.2,
        "tokens_per_second": 1e4,
    }
    for name in NAMES[:2]:
        board.start(name)
        board.report(name, row)
    out = io.StringIO()
    Console(file=out, width=80).print(draw(board))
    assert {"latent_size=0", "latent_size=1"} < set(out.getvalue().split())
    assert max(map(len, out.getvalue().splitlines())) <= 80


def test_a_run_under_way_shows_its_epoch_of_all_its_speed_and_loss(board):
    board.start(NAMES[0])
    row = train(0.1, valid_ppl=90.0, best_ppl=80.0)
    board.report(NAMES[0], row | {"epochs": 30, "loss": 101.234, "tokens_per_second": 15_300.4})
    running = board.running[NAMES[0]]
    assert describe(running) == "epoch 3 of 30, valid ppl 90.00, mean loss 101.23, 15,300 tokens/s"
    board.report(NAMES[0], {"phase": "evaluate", "epoch": 30, "fraction": 0.5})
    assert describe(running) == "evaluating, valid ppl 90.00"


def test_numbers_of_averaged_states_are_marked_as_no_bound_while_they_run(board):
    configs = [tiny.config("lstm-vae-avg", num_samples=n) for n in (1, 2)] + [tiny.config("lstm-vae")]
    board.mark_bounds(configs)
    assert board.valid_not_bounds == board.best_not_bounds == {"toy__lstm-vae-avg__standard__L2"}
    board.valid_not_bounds = board.best_not_bounds = {CELL}
    board.start(NAMES[0])
    board.report(NAMES[0], train(0.1, valid_ppl=90.0, best_ppl=80.0))
    console = Console(file=(out := io.StringIO()), width=120)
    console.print(draw(board))
    assert "valid ppl 90.00 (not a bound)" in out.getvalue()
    assert re.search(r"80\.00 +not a bound", out.getvalue())


@pytest.mark.parametrize(("weight", "marked"), [(0.5, 1), (1.0, 0), (2.0, 0)])
def test_a_best_score_that_leaves_out_a_part_of_the_kl_is_no_bound_though_the_perplexity_is(
    board, weight, marked
):
    board.mark_bounds([tiny.config("lstm-vae", valid_kl_weight=weight), tiny.config("lstm-lm")])
    assert (len(board.best_not_bounds), len(board.valid_not_bounds)) == (marked, 0)


def test_before_the_first_run_a_launch_says_that_it_starts_and_shows_no_zeros(board, monkeypatch):
    now = Clock()
    monkeypatch.setattr("sweeps.launching.progress.display.time.monotonic", now)
    out = io.StringIO()
    with Display(board, Console(file=out, force_terminal=False)) as display:
        for _ in range(4):
            now.time += 10
            display.refresh()
        board.start(NAMES[0])
        now.time += 10
        display.refresh()
    lines = [line[10:] for line in out.getvalue().splitlines()]
    assert lines == [STARTING, board.summary(), "  toy__lstm-lm__standard__L0__seed0: starting"]
    assert board.summary().endswith("; 0 s elapsed, – to go")


def test_a_run_that_starts_has_one_line_for_each_start(board, monkeypatch):
    now = Clock()
    monkeypatch.setattr("sweeps.launching.progress.display.time.monotonic", now)
    out = io.StringIO()

    def lines() -> list[str]:
        now.time += 10
        before = out.tell()
        display.refresh()
        printed = out.getvalue()[before:].splitlines()
        return [line.partition("seed0: ")[2] for line in printed if "seed0: " in line]

    with Display(board, Console(file=out, force_terminal=False)) as display:
        board.start(NAMES[0])
        assert [lines(), lines(), lines()] == [["starting"], [], []]
        board.report(NAMES[0], train(0.1))
        assert [lines(), lines()] == [["epoch 2"], ["epoch 2"]]
        board.lose(NAMES[0])
        lines()
        board.start(NAMES[0])
        assert [lines(), lines()] == [["starting"], []]


def test_in_a_log_the_lines_become_rarer_with_the_hours(board, monkeypatch):
    now = Clock()
    monkeypatch.setattr("sweeps.launching.progress.display.time.monotonic", now)
    board.start(NAMES[0])
    out, times, began = io.StringIO(), [], now.time
    with Display(board, Console(file=out, force_terminal=False)) as display:
        while now.time < began + 4 * 3600:
            before = out.tell()
            display.refresh()
            if out.tell() > before:
                times.append(now.time - began)
            now.time += 0.5
    gaps = [(time, after - time) for time, after in itertools.pairwise(times)]
    assert {gap for time, gap in gaps if time < 100} == {10.0}
    assert {gap for time, gap in gaps if 120 < time < 1700} == {60.0}
    assert {gap for time, gap in gaps if time > 1800} == {300.0}
    assert len(times) < 100
