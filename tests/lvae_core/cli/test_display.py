"""The progress of one run in a terminal, and in a log."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lvae_core.cli.display import Display, estimates_text, summary
from lvae_core.config import RunConfig
from lvae_core.messages import printed
from lvae_core.training.pace import Pace, Speedometer
from lvae_core.training.runtime import Progress, Runtime
from lvae_core.training.trainer import execute

from .. import tiny

PACE = Pace(tokens_per_second=15_300.4, loss=102.314, learning_rate=1.0, kl_weight=0.1)
ROW = {"epoch": 3, "valid_ppl": 90.0, "valid_kl": 1.5, "train_loss": 99.0, "learning_rate": 0.5}


class Clock:
    time = 1000.0

    def __call__(self) -> float:
        return self.time


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def training(fraction: float, epoch: int = 2, **fields: object) -> Progress:
    return Progress(phase="train", epoch=epoch, step=9, fraction=fraction, epochs=30, pace=PACE, **fields)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def as_in_a_command() -> Iterator[None]:
    with printed():
        yield


def test_a_terminal_shows_one_line_that_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", out := Terminal())
    monkeypatch.setenv("COLUMNS", "200")
    clock = Clock()
    display = Display(tiny.config(), clock)
    display.show(training(0.10))
    clock.time += 0.1
    display.show(training(0.11))  # too early for another
    clock.time += 9.9
    display.show(training(0.20))
    display.show(training(0.21, epoch=3, metrics=ROW))
    clock.time += 60
    display.show(Progress(phase="evaluate", epoch=30, step=90, fraction=0.0))
    clock.time += 100
    display.show(Progress(phase="evaluate", epoch=30, step=90, fraction=0.5))
    display.show(Progress(phase="done", epoch=30, step=90, fraction=1.0))
    lines = out.getvalue().split("\r\033[K")
    assert lines == [
        "",
        "epoch 3 of 30, 10.0%, mean loss 102.31, 15,300 tokens/s, 0:00:00 elapsed, – left",
        # 10% took 10 seconds, and 80% are left.
        "epoch 3 of 30, 20.0%, mean loss 102.31, 15,300 tokens/s, 0:00:10 elapsed, 0:01:20 left at most",
        "epoch 3 of 30: valid PPL 90.00, KL 1.50, loss 99.00, learning rate 0.5, 15,300 tokens/s\n",
        "evaluating the test split, 0.0%, 0:01:10 elapsed, – left",
        "evaluating the test split, 50.0%, 0:02:50 elapsed, 0:01:40 left",
        "",
    ]


def test_a_narrow_terminal_never_gets_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", out := Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    Display(tiny.config(), Clock()).show(training(0.1))
    assert len(out.getvalue().removeprefix("\r\033[K")) == 39


def test_a_log_gets_a_line_per_epoch_and_one_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    display = Display(tiny.config(), clock)
    for second in range(130):
        clock.time = 1000.0 + second
        display.show(training(second / 1000, epoch=0))
    display.show(training(0.13, epoch=1, metrics={**ROW, "epoch": 1}))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["epoch 1 of 30"] * 2 + [
        "epoch 1 of 30: valid PPL 90.00"
    ]
    assert "\033" not in "".join(lines)


def test_a_log_gives_the_time_left_at_the_end_of_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    display = Display(tiny.config(), clock)
    for epoch in (0, 1, 2):
        display.show(training(epoch / 30, epoch=epoch, metrics={**ROW, "epoch": epoch} if epoch else None))
        clock.time += 60.0
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(", ")[2] for line in lines] == ["0:29:00 left at most", "0:28:00 left at most"]


def test_a_run_that_was_finished_before_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    done = Progress(phase="done", epoch=3, step=9, fraction=1.0)
    display = Display(tiny.config(), Clock(), finished=True)
    display.show(done)
    assert capsys.readouterr().err.startswith("note: finished before; these are its numbers")
    display = Display(tiny.config(), Clock(), finished=True)
    for progress in (training(1.0), done):
        display.show(progress)
    assert "finished before" not in capsys.readouterr().err
    Display(tiny.config(), Clock()).show(done)  # what was left took less time than a report
    assert "finished before" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("system", "samples", "marked"),
    [("lstm-vae-avg", 2, True), ("lstm-vae-avg", 1, False), ("lstm-vae", 2, False)],
)
def test_the_validation_number_of_averaged_states_is_marked_as_no_bound(
    system: str, samples: int, marked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    Display(tiny.config(system, num_samples=samples)).show(training(0.1, metrics=ROW))
    assert ("valid PPL 90.00 (not a bound)" in capsys.readouterr().err) == marked


def test_the_speedometer_counts_between_two_readings_and_averages_the_loss_of_the_epoch() -> None:
    clock = Clock()
    speed = Speedometer(clock)
    speed.start()
    speed.add(30)
    speed.add(20)
    clock.time += 5
    pace = speed.read(torch.tensor([40.0, 30.0, 10.0, 10.0]), 0.5, 0.1)
    assert pace == Pace(tokens_per_second=10.0, loss=4.0, learning_rate=0.5, kl_weight=0.1)
    clock.time += 100  # a validation
    assert speed.read(torch.tensor([40.0, 30.0, 10.0, 10.0]), 0.5, 0.1, before=pace) is pace
    speed.start()
    speed.add(7)
    clock.time += 1
    pace = speed.read(torch.tensor([6.0, 6.0, 0.0, 2.0]), 0.5, None)
    assert pace == Pace(tokens_per_second=7.0, loss=3.0, learning_rate=0.5, kl_weight=None)


def test_a_real_run_reports_its_loss_rate_and_weight(tmp_path: Path) -> None:
    config = tiny.config(max_epochs=2, batch_size=4, kl_anneal_epochs=2.0, iw_samples=6, mi_samples=2)
    corpus = tiny.corpus()
    reports = list(execute(config, corpus, tiny.folder(tmp_path), Runtime(progress_seconds=0.0)))
    within = [r for r in reports if r.phase == "train" and r.pace and not r.metrics]
    assert {r.epochs for r in within} == {2}
    assert all(r.pace and r.pace.tokens_per_second > 0 for r in within)
    assert [r.pace.kl_weight for r in within[:3] if r.pace] == pytest.approx([1 / 6, 2 / 6, 3 / 6])
    rows = [r.metrics for r in reports if r.metrics]
    # Reported after every step, the losses of an epoch average to the one in its row.
    steps = [r.pace.loss for r in within[:3] if r.pace]
    assert rows[0] is not None
    assert min(steps) <= rows[0]["train_loss"] <= max(steps)


def test_a_run_without_a_terminal_prints_epochs_of_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny.config(max_epochs=2, iw_samples=6, mi_samples=2)
    display = Display(config)
    for report in execute(config, tiny.corpus(), tiny.folder(tmp_path), Runtime()):
        display.show(report)
    lines = capsys.readouterr().err.splitlines()
    assert [re.match(r"epoch \d of \d: valid PPL .* tokens/s$", line) is not None for line in lines] == [
        True,
        True,
    ]


def test_each_likelihood_of_the_result_says_how_it_bounds_the_models_own() -> None:
    estimates = {
        "nll_elbo": {"value": 98.25},
        "ppl_elbo": {"value": 9.5},
        "nll_joint": {"value": 101.0},
        "nll_iw_joint": {"value": 100.5, "stderr": 0.25, "khat_above": 0.5},
        "nll_iw_one": {"value": 99.0, "stderr": 0.5, "ess": 3.0},
        "kl": {"value": 0.5},
        "au": {"value": 3},
    }
    averaged = tiny.config(averaging="hidden", num_samples=2)
    head, *lines = summary({"best_epoch": 1, "epochs": 2, "estimates": estimates}, averaged).splitlines()
    assert head == "best epoch 1 of 2, test split (±: Monte Carlo standard error):"
    assert lines == [
        "  nll_elbo      98.2500            nats per sentence, not a bound",
        "  ppl_elbo      9.5000             not a bound",
        "  nll_joint     101.0000           nats per sentence, upper bound",
        "  nll_iw_joint  100.5000 ± 0.2500  nats per sentence, upper bound in expectation, unreliable: "
        "Pareto shape above 0.7 in 50% of sentences",
        "  nll_iw_one    99.0000 ± 0.5000   nats per sentence, not a bound, unreliable: too few importance "
        "samples to judge them; more than 20 are needed",
        "  kl            0.5000             nats per sentence",
        "  au            3                  dimensions",
    ]


def test_exact_likelihoods_have_no_standard_error_to_explain() -> None:
    estimates = {"nll": {"value": 97.0}, "ppl": {"value": 9.0}}
    assert estimates_text(estimates, RunConfig()).splitlines() == [
        "test split:",
        "  nll           97.0000  nats per sentence, exact",
        "  ppl           9.0000   exact",
    ]


def test_an_estimate_that_rounds_to_zero_has_no_sign() -> None:
    _, line = estimates_text({"mi": {"value": -1e-6, "stderr": 1e-5}}, RunConfig()).splitlines()
    assert line.split() == ["mi", "0.0000", "±", "0.0000", "nats"]
