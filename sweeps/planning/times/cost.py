"""The cost of a plan: device-hours by variant, time on a number of devices, money."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.table import Table

from sweeps.planning.grids.overview import VariantName, variant_names
from sweeps.planning.plan import Plan
from sweeps.planning.times.durations import Basis, format_duration
from sweeps.planning.times.remaining import share_left
from sweeps.planning.times.simulation import SimulatedLaunch

UNKNOWN = "–"


def device_hours(runs: float, seconds: float | None, share: float) -> float | None:
    """The device-hours of some runs; None: unknown.

    Args:
        runs: their number; one that resumes may count as a part.
        seconds: of one run; None: unknown.
        share: devices that one run takes up.
    """
    if not runs:
        return 0.0
    return None if seconds is None else runs * seconds * share / 3600


@dataclass(frozen=True)
class VariantCost:
    """The runs of a variant that are left to do, or to evaluate again, and what they cost."""

    name: VariantName
    todo: int
    whole_runs: float
    """The same in whole runs: one that resumes counts as the share of its time that is left."""
    seconds: float | None
    """Expected seconds of one whole run; None: nothing comparable has been measured."""
    basis: Basis | None
    share: float
    """Devices that one run takes up."""
    again: bool = False
    """Whether the runs are trained and are only evaluated again."""
    done: int = 0
    failed: int = 0

    @property
    def hours(self) -> float | None:
        """Device-hours of all runs; None: unknown."""
        return device_hours(self.whole_runs, self.seconds, self.share)


def variant_costs(plan: Plan, share: Callable[[str], float]) -> list[VariantCost]:
    """The cost of every variant, in the order of the grid.

    A variant whose runs are to be evaluated again has a second entry for these.

    Args:
        plan: the grid.
        share: variant -> devices that a run takes up.
    """
    costs, speed, names = [], plan.speed, variant_names(plan.all_runs)
    for variant, runs in plan.variants().items():
        left, again, done, failed = (
            sum(run.status == status for run in runs) for status in ("left", "evaluate", "done", "failed")
        )
        costs.append(
            VariantCost(
                names[variant],
                left,
                sum(share_left(run, speed) for run in runs if run.status == "left"),
                speed.expected_seconds(variant),
                speed.basis(variant),
                share(variant),
                done=done,
                failed=failed,
            )
        )
        if again:
            seconds, basis = speed.evaluation_seconds(variant), speed.evaluation_basis(variant)
            costs.append(
                VariantCost(names[variant], again, again, seconds, basis, share(variant), again=True)
            )
    return costs


def devices_table(launch: SimulatedLaunch, devices: Sequence[int], price: float | None) -> Table:
    """The time until the last run ends, and the money paid until then, on each number of devices."""
    table = Table("devices", title="longest runs first")
    paid = ["paid", "kept to the end"] if price else []
    for heading in ("wall time", "at least", *paid):
        table.add_column(heading, justify="right")
    for number in devices:
        found = launch.on(number)
        if found is None:
            table.add_row(str(number), "too few for one run")
            continue
        money = [found.released, number * found.makespan] if price else []
        table.add_row(
            str(number),
            time_text(found.makespan),
            time_text(found.at_least),
            *(_money_text(seconds / 3600 * (price or 0.0)) for seconds in money),
        )
    return table


def time_text(seconds: float | None, *, is_rough: bool = False) -> str:
    """A time for a table: ``about 3 min`` if it is rough, ``<1 s``, a dash if it is unknown."""
    if seconds is None:
        return UNKNOWN
    text = "<1 s" if 0 < seconds < 0.5 else format_duration(seconds)
    return f"{'about ' if is_rough else ''}{text}"


def amount_text(amount: float) -> str:
    """Hours or money with two decimals; something that is left is never shown as 0.00."""
    return f"{amount:,.2f}" if amount >= 0.005 or not amount else "<0.01"


def _money_text(dollars: float) -> str:
    text = amount_text(dollars)
    return text.replace("<", "<$") if text.startswith("<") else f"${text}"
