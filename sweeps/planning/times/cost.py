"""The cost of a plan: device-hours by cell, time on a number of devices, money."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from sweeps.planning.evaluation_parts import divided
from sweeps.planning.plan import Plan
from sweeps.planning.times.durations import Basis, format_duration
from sweeps.planning.times.list_scheduling import Work, longest_first, lower_bound, schedule

_MEANING: Mapping[Basis | None, str] = {
    "runs": "mean of finished runs",
    "probe": "probe, to the last epoch",
    "operations": "others' times, by operations",
    "dataset": "mean of the dataset's runs",
    "products": "rough, by operations",
    "evaluations": "mean of such evaluations",
    "estimates": "earlier evaluations, by operations",
    None: "",
}

UNKNOWN = "–"


@dataclass(frozen=True)
class CellCost:
    """The runs of a cell that are left to do, or to evaluate again, and what they cost."""

    cell: str
    todo: int
    seconds: float | None
    """Expected seconds of one run; None: nothing comparable has been measured."""
    basis: Basis | None
    share: float
    """Devices that one run takes up."""
    again: bool = False
    """Whether the runs are trained and are only evaluated again."""

    @property
    def hours(self) -> float | None:
        """Device-hours of all runs; None: unknown."""
        if not self.todo:
            return 0.0
        return None if self.seconds is None else self.todo * self.seconds * self.share / 3600


def cell_costs(plan: Plan, share: Callable[[str], float]) -> list[CellCost]:
    """The cost of every cell, in the order of the grid. ``share``: cell -> devices that a run takes up.

    A cell whose runs are to be evaluated again has a second entry for these.
    """
    costs, speed = [], plan.speed
    for cell, runs in plan.cells().items():
        left, again = (sum(run.status == status for run in runs) for status in ("left", "evaluate"))
        costs.append(CellCost(cell, left, speed.expected_seconds(cell), speed.basis(cell), share(cell)))
        if again:
            seconds, basis = speed.evaluation_seconds(cell), speed.evaluation_basis(cell)
            costs.append(CellCost(cell, again, seconds, basis, share(cell), again=True))
    return costs


def print_costs(
    console: Console, plan: Plan, costs: Sequence[CellCost], devices: Sequence[int], price: float | None
) -> None:
    """Print the plan with its costs, and how long it takes on given numbers of devices.

    Args:
        console: where to print.
        plan: the grid.
        costs: the cost of each cell.
        devices: numbers of GPUs, or of CPU cores if runs use no GPU.
        price: the price of one device for an hour; None: print no prices.
    """
    console.print(plan_table(plan, costs, price))
    if any(cost.hours is None for cost in costs):
        console.print(
            "a time is unknown until one run has finished; --cpus-per-run auto or --gpus-per-run auto "
            "finds it by short probes"
        )
    elif any(cost.todo for cost in costs):
        console.print(devices_table(costs, devices, price))


def plan_table(plan: Plan, costs: Sequence[CellCost], price: float | None) -> Table:
    """Runs by cell, and what the rest costs."""
    table = Table("cell", title="plan")
    for heading in ("to do", "done", "failed", "time per run", "device-hours", *(["$"] if price else [])):
        table.add_column(heading, justify="right")
    table.add_column("time from")
    cells = plan.cells()
    for cost in costs:
        done, failed = (str(sum(r.status == s for r in cells[cost.cell])) for s in ("done", "failed"))
        counts = [str(cost.todo), *(["", ""] if cost.again else [done, failed])]
        if all(run.status == "evaluate" for run in cells[cost.cell]) and not cost.again:
            # The next row has all of them: zeros would read as runs that do not exist.
            table.add_row(cost.cell)
            continue
        table.add_row(
            "  evaluate again" if cost.again else cost.cell,
            *counts,
            time_text(cost.seconds, is_rough=cost.basis == "products"),
            *_money(cost.hours, price),
            _MEANING[cost.basis],
        )
    table.add_section()
    todo = plan.with_status("left", "evaluate")
    counts = [str(len(runs)) for runs in (todo, plan.with_status("done"), plan.with_status("failed"))]
    known = [cost.hours for cost in costs if cost.hours is not None]
    more = len(known) < len(costs)
    total = sum(known) if any(known) or not more else None
    table.add_row(
        "all", *counts, "", *_money(total, price), "plus unknown times" if more and any(known) else ""
    )
    return table


def devices_table(costs: Sequence[CellCost], devices: Sequence[int], price: float | None) -> Table:
    """The time until the last run ends and the money paid until then; all times must be known.

    If all runs are trained and only to be evaluated, they are divided as a launch divides them.
    """
    works = [Work(cost.seconds or 0.0, cost.share) for cost in costs for _ in range(cost.todo)]
    works = longest_first(works, lambda work: work.seconds)
    table = Table("devices", title="longest runs first")
    paid = ["paid", "kept to the end"] if price else []
    for heading in ("wall time", "at least", *paid):
        table.add_column(heading, justify="right")
    most = max(work.share for work in works)
    only_evaluations = all(cost.again or not cost.todo for cost in costs)
    for number in devices:
        if number < most:
            table.add_row(str(number), "too few for one run")
            continue
        parts = divided(works, number) if only_evaluations else works
        found = schedule(parts, number)
        money = [found.released, number * found.makespan] if price else []
        table.add_row(
            str(number),
            format_duration(found.makespan),
            format_duration(lower_bound(parts, number)),
            *(f"${seconds / 3600 * (price or 0.0):,.2f}" for seconds in money),
        )
    return table


def _money(hours: float | None, price: float | None) -> list[str]:
    if hours is None:
        return [UNKNOWN, *([UNKNOWN] if price else [])]
    return [amount_text(hours), *([amount_text(hours * price)] if price else [])]


def time_text(seconds: float | None, *, is_rough: bool) -> str:
    """The time of a run for a table: ``about 3 min`` if it is rough, a dash if it is unknown."""
    if seconds is None:
        return UNKNOWN
    return f"{'about ' if is_rough else ''}{format_duration(seconds)}"


def amount_text(amount: float) -> str:
    """Hours or money with two decimals; something that is left is never shown as 0.00."""
    return f"{amount:,.2f}" if amount >= 0.005 or not amount else "<0.01"
