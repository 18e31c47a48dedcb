"""What an interrupted launch says of the runs that it leaves."""

from __future__ import annotations

from dataclasses import replace

from lvae_core.systems import recipe
from sweeps.planning.plan import PlannedRun
from sweeps.planning.saved_runs import saved_text

CONFIG = replace(recipe("lstm-lm", dataset="toy"), max_epochs=3)


def run(epochs: int, *, begun: bool = True, status: str = "left", max_epochs: int = 3) -> PlannedRun:
    config = replace(CONFIG, max_epochs=max_epochs)
    return PlannedRun(config=config, name="", status=status, begun=begun, epochs=epochs)  # type: ignore[arg-type]


def test_the_epochs_of_a_few_runs_are_listed_and_those_of_many_added_up():
    assert saved_text([run(1), run(0)]) == "2 runs saved: 1 and 0 of 3 epochs"
    assert saved_text([run(2)]) == "1 run saved: 2 of 3 epochs"
    assert saved_text([run(1), run(5, max_epochs=10)]) == "2 runs saved: 6 of 13 epochs in all"
    assert saved_text([run(1)] * 5) == "5 runs saved: 5 of 15 epochs in all"


def test_runs_that_have_ended_or_not_begun_are_not_among_them():
    assert saved_text([run(3, status="done"), run(0, begun=False), run(1, status="failed")]) == ""
