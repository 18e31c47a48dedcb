"""The cost of a plan: device-hours by variant, time on a number of devices, money."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from sweeps.planning.evaluation_parts import divided
from sweeps.planning.grids.overview import MAX_ROWS, variant_labels
from sweeps.planning.plan import Plan
from sweeps.planning.times.durations import ROUGH, Basis, format_duration
from sweeps.planning.times.list_scheduling import Work, longest_first, lower_bound, schedule

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

UNKNOWN = "–"


@dataclass(frozen=True)
class VariantCost:
    """The runs of a variant that are left to do, or to evaluate again, and what they cost."""

    label: str
    todo: int
    seconds: float | None
    """Expected seconds of one run; None: nothing comparable has been measured."""
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
        if not self.todo:
            return 0.0
        return None if self.seconds is None else self.todo * self.seconds * self.share / 3600


def variant_costs(plan: Plan, share: Callable[[str], float]) -> list[VariantCost]:
    """The cost of every variant, in the order of the grid.

    A variant whose runs are to be evaluated again has a second entry for these.

    Args:
        plan: the grid.
        share: variant -> devices that a run takes up.
    """
    costs, speed, labels = [], plan.speed, variant_labels(plan.all_runs)
    for variant, runs in plan.variants().items():
        left, again, done, failed = (
            sum(run.status == status for run in runs) for status in ("left", "evaluate", "done", "failed")
        )
        costs.append(
            VariantCost(
                labels[variant],
                left,
                speed.expected_seconds(variant),
                speed.basis(variant),
                share(variant),
                done=done,
                failed=failed,
            )
        )
        if again:
            seconds, basis = speed.evaluation_seconds(variant), speed.evaluation_basis(variant)
            costs.append(VariantCost(labels[variant], again, seconds, basis, share(variant), again=True))
    return costs


def print_costs(
    console: Console, plan: Plan, costs: Sequence[VariantCost], devices: Sequence[int], price: float | None
) -> None:
    """Print the plan with its costs, and how long it takes on given numbers of devices.

    Args:
        console: where to print.
        plan: the grid.
        costs: the cost of each variant.
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


def plan_table(plan: Plan, costs: Sequence[VariantCost], price: float | None) -> Table:
    """Runs by variant, and what the rest costs; beyond ``MAX_ROWS``, variants share one."""
    table = Table("cell", title="plan")
    for heading in ("to do", "done", "failed", "time per run", "device-hours", *(["$"] if price else [])):
        table.add_column(heading, justify="right")
    table.add_column("time from")
    following = [*costs[1:], None]
    for cost, after in list(zip(costs, following, strict=True))[:MAX_ROWS]:
        counts = [str(cost.todo), *(["", ""] if cost.again else [str(cost.done), str(cost.failed)])]
        if after and after.again and not cost.todo + cost.done + cost.failed:
            # The next row has all of them: zeros would read as runs that do not exist.
            table.add_row(cost.label)
            continue
        table.add_row(
            "  evaluate again" if cost.again else cost.label,
            *counts,
            time_text(cost.seconds, is_rough=cost.basis in ROUGH),
            *_money(cost.hours, price),
            _MEANING[cost.basis],
        )
    if more := costs[MAX_ROWS:]:
        counts = [str(sum(n)) for n in zip(*((c.todo, c.done, c.failed) for c in more), strict=True)]
        hours = [cost.hours for cost in more]
        total = None if None in hours else sum(hour or 0.0 for hour in hours)
        table.add_row(f"{len(more):,} more", *counts, "", *_money(total, price), "")
    table.add_section()
    todo = plan.with_status("left", "evaluate")
    counts = [str(len(runs)) for runs in (todo, plan.with_status("done"), plan.with_status("failed"))]
    known = [cost.hours for cost in costs if cost.hours is not None]
    unknown = len(known) < len(costs)
    total = sum(known) if any(known) or not unknown else None
    table.add_row(
        "all", *counts, "", *_money(total, price), "plus unknown times" if unknown and any(known) else ""
    )
    return table


def devices_table(costs: Sequence[VariantCost], devices: Sequence[int], price: float | None) -> Table:
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
