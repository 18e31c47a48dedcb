"""The runs that must be trained first, because the encoders of others start from them.

A run waits for its parent (see ``lvae_core/parents.py``) until that is trained, in this launch or another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.messages import numbered
from lvae_core.parents import parent_folder, parent_of
from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.lookup import check_parent
from lvae_core.run_folder.study import Study
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.planning.run_lookup import make_plan


def _is_trained(run: PlannedRun) -> bool:
    return run.result is not None


def with_parents(plan: Plan, data_sha256: Mapping[str, str], study: Study) -> Plan:
    """Add the runs that have to be trained before runs of a plan, and make the latter wait for them.

    A run waits for nothing if it is trained, if it has a checkpoint, or if its parent is trained.

    Args:
        plan: the plan of a grid, without parents.
        data_sha256: dataset, as the configs name it -> content hash.
        study: keeps the runs.

    Raises:
        InputError: a parent that is named by its folder, or one that is trained, cannot be used.
        OSError: the storage cannot be read.
    """
    children = [
        run
        for run in plan.runs
        if (parent_of(run.config) or parent_folder(run.config))
        and not (_is_trained(run) or (run.begun and study.run(run.name).has_checkpoint()))
    ]
    if not children:
        return plan
    configs = [config for run in children if (config := parent_of(run.config)) is not None]
    of_grid = {run.key: run for run in plan.runs}
    found = {run.key: run for run in make_plan(configs, data_sha256, study, evaluate=False).runs}
    found |= {key: of_grid[key] for key in found.keys() & of_grid.keys()}
    waits_for: dict[str, str] = {}
    needed: dict[str, PlannedRun] = {}
    checked: set[tuple[str, str]] = set()
    for child in children:
        data = data_sha256[child.config.dataset]
        name, parent = _parent_of(child, data, found, plan.runs)
        if parent is not None and not _is_trained(parent):
            waits_for[child.name] = name
            needed[name] = parent
        elif not child.begun and (name, child.variant) not in checked:
            checked.add((name, child.variant))
            _check(child, name, data, study)
    grid = {run.name for run in plan.runs}
    return replace(
        plan,
        runs=[replace(run, waits_for=waits_for.get(run.name, "")) for run in plan.runs],
        parents=[run for name, run in needed.items() if name not in grid],
    )


def _parent_of(
    child: PlannedRun, data_sha256: str, by_recipe: Mapping[str, PlannedRun], runs: Sequence[PlannedRun]
) -> tuple[str, PlannedRun | None]:
    """Return the name of a run's parent, and the parent if a launch can train it.

    Args:
        child: the run.
        data_sha256: content hash of its data.
        by_recipe: fingerprint -> run, of the parents that recipes determine.
        runs: of the grid; a parent that is named by its folder is trained only if it is one of them.
    """
    config = parent_of(child.config)
    if config is not None:
        parent = by_recipe[fingerprint(config, data_sha256)]
        return parent.name, parent
    name = child.config.init_encoder_from
    return name, next((run for run in runs if run.name == name), None)


def _check(child: PlannedRun, name: str, data_sha256: str, study: Study) -> None:
    """Raise InputError if the encoder of a run cannot start from the trained run in the folder ``name``."""
    try:
        check_parent(study.run(name), child.config, data_sha256)
    except DamagedError as damage:
        raise InputError(f"{damage}; {child.name} starts its encoder from that run") from None


def startable(runs: Sequence[PlannedRun], *, parents: Collection[str]) -> list[PlannedRun]:
    """The runs to start whose parent is trained or can be started as well.

    Args:
        runs: those that are left to do.
        parents: names of those that are not of the grid: they are started only if one of the others waits.
    """
    names, waited = {"", *(run.name for run in runs)}, {run.waits_for for run in runs}
    kept = [
        run for run in runs if run.waits_for in names and (run.name in waited or run.name not in parents)
    ]
    return kept if len(kept) == len(runs) else startable(kept, parents=parents)


def parents_notes(plan: Plan, started: Collection[PlannedRun]) -> list[str]:
    """Lines for the user about the parents of a plan of which these runs are started."""
    lines = []
    names = {run.name for run in started}
    if first := sum(run.name in names for run in plan.parents):
        parents = numbered(first, "parent", "is")
        lines.append(f"{parents} trained first: runs of this grid start their encoders from them")
    has_failed = {run.name for run in plan.with_status("failed")} - names
    lacking = [run for run in plan.with_status("left") if run.waits_for in has_failed]
    if lacking:
        runs = numbered(len(lacking), "run", "is")
        failed = ", ".join(sorted({run.waits_for for run in lacking})[:3])
        lines.append(
            f"{runs} not started, because the run that the encoder starts from has failed ({failed}); "
            "--retry-failed retries it"
        )
    return lines
