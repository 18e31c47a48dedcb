"""Print a plan: runs by variant, what the rest costs, and how long it takes on some devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from sweeps.planning.grids.fitting import FittingColumn, fitting_table, print_fitting
from sweeps.planning.grids.overview import MAX_ROWS, VariantName, name_columns, title_of
from sweeps.planning.plan import Plan
from sweeps.planning.times.cost import UNKNOWN, VariantCost, amount_text, devices_table, time_text
from sweeps.planning.times.durations import ROUGH, Basis
from sweeps.planning.times.simulation import simulated_launch
from sweeps.planning.workload import Workload

_MEANING: Mapping[Basis | None, str] = {
    "runs": "mean of finished runs",
    "probe": "probe, to the last epoch",
    "operations": "others' times, by operations",
    "products": "rough, by operations",
    "sizes": "other sizes' times, by operations",
    "evaluations": "mean of such evaluations",
    "estimates": "earlier evaluations, by operations",
    None: "",
}


def print_costs(
    console: Console,
    plan: Plan,
    costs: Sequence[VariantCost],
    workload: Workload,
    devices: Sequence[int],
    price: float | None,
    *,
    starts_ray: bool = False,
) -> None:
    """Print the plan with its costs, and how long it takes on given numbers of devices.

    Args:
        console: where to print.
        plan: the grid.
        costs: the cost of each variant.
        workload: the runs that a launch starts.
        devices: numbers of GPUs, or of CPU cores if runs use no GPU.
        price: the price of one device for an hour; None: print no prices.
        starts_ray: whether the launch starts Ray itself, which takes longer than small runs.
    """
    print_fitting(console, plan_table(plan, costs, price, console.width))
    launch = simulated_launch(workload)
    if launch is None:
        console.print(
            "a time is unknown until one run has finished; --cpus-per-run auto or --gpus-per-run auto "
            "finds it by short probes"
        )
    elif launch.waves:
        table = devices_table(launch, devices, price)
        table.caption = "plus about 20 s to start Ray" if starts_ray else None
        console.print(table)


@dataclass(frozen=True)
class _Row:
    """A row of the plan beside the names of its variant."""

    counts: tuple[str, str, str] = ("", "", "")
    seconds: str = ""
    hours: str = ""
    money: str = ""
    basis: str = ""


def plan_table(plan: Plan, costs: Sequence[VariantCost], price: float | None, width: int) -> Table:
    """Runs by variant, and what the rest costs; beyond ``MAX_ROWS``, variants share one row.

    Args:
        plan: the grid.
        costs: the cost of each variant.
        price: the price of one device for an hour; None: no prices.
        width: of the window, in characters.
    """
    shown, more = costs[:MAX_ROWS], costs[MAX_ROWS:]
    # The line before one of evaluations names the variant.
    lines: list[VariantName | str] = ["  evaluate again" if cost.again else cost.name for cost in shown]
    rows = [_row(cost, after, price) for cost, after in zip(shown, [*costs[1:], None], strict=False)]
    if more:
        lines.append(f"{len(more):,} more")
        rows.append(_row_of_more(more, price))
    lines.append("all")
    rows.append(_total(plan, costs, price))
    columns = name_columns(lines)
    for place, heading in enumerate(("to do", "done", "failed")):
        counts = [row.counts[place] for row in rows]
        columns.append(FittingColumn(heading, counts, number=True, is_count=heading != "to do"))
    columns += [
        FittingColumn("time per run", [row.seconds for row in rows], number=True),
        FittingColumn("device-hours", [row.hours for row in rows], number=True),
        *([FittingColumn("$", [row.money for row in rows], number=True)] if price else []),
        FittingColumn("time from", [row.basis for row in rows], is_remark=True),
    ]
    return fitting_table(title_of("plan", lines), columns, width, total=True)


def _row(cost: VariantCost, after: VariantCost | None, price: float | None) -> _Row:
    if after and after.again and not cost.todo + cost.done + cost.failed:
        return _Row()  # the next row has all of them: zeros would read as runs that do not exist
    counts = (str(cost.todo), *(("", "") if cost.again else (str(cost.done), str(cost.failed))))
    seconds = time_text(cost.seconds, is_rough=cost.basis in ROUGH)
    return _Row(counts, seconds, *_money(cost.hours, price), basis=_MEANING[cost.basis])


def _row_of_more(costs: Sequence[VariantCost], price: float | None) -> _Row:
    todo, done, failed = (
        str(sum(n)) for n in zip(*((c.todo, c.done, c.failed) for c in costs), strict=True)
    )
    hours = [cost.hours for cost in costs]
    total = None if None in hours else sum(hour or 0.0 for hour in hours)
    return _Row((todo, done, failed), "", *_money(total, price))


def _total(plan: Plan, costs: Sequence[VariantCost], price: float | None) -> _Row:
    todo = len(plan.with_status("left", "evaluate"))
    done, failed = len(plan.with_status("done")), len(plan.with_status("failed"))
    known = [cost.hours for cost in costs if cost.hours is not None]
    unknown = len(known) < len(costs)
    total = sum(known) if any(known) or not unknown else None
    basis = "plus unknown times" if unknown and any(known) else ""
    return _Row((str(todo), str(done), str(failed)), "", *_money(total, price), basis=basis)


def _money(hours: float | None, price: float | None) -> tuple[str, str]:
    """Device-hours, and their price."""
    if hours is None:
        return UNKNOWN, UNKNOWN
    return amount_text(hours), amount_text(hours * (price or 0.0))
