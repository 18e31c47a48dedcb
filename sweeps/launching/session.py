"""A checked Ray connection for a workload, and a way to launch runs there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from lvae_core.training.runtime import Runtime
from sweeps.checks.findings import Demand
from sweeps.launching.progress.display import Display
from sweeps.launching.progress.elapsed import elapsed_shown
from sweeps.options import LaunchOptions
from sweeps.planning.plan import PlannedRun
from sweeps.planning.sizes import corpus_bytes, storage_bytes
from sweeps.planning.times.durations import format_duration
from sweeps.planning.workload import Workload


@contextlib.contextmanager
def connected(options: LaunchOptions, workload: Workload, say: Callable[[str], None]) -> Iterator[Workload]:
    """Connect to Ray for the ``with`` block, and check that it can do the workload.

    Args:
        options: the address, and whether probes choose the resources.
        workload: the runs to do; the folder of its study exists.
        say: prints a line about each step.

    Yields:
        The workload, with the resources that probes have chosen if the options ask for that.

    Raises:
        InputError: there is no such Ray, or something in it would break runs.
    """
    # Ray takes seconds to import, so it is imported only to be used: no plan and no refusal waits for it.
    import ray

    from sweeps.checks.preflight import preflight, require
    from sweeps.cluster.connect import cluster
    from sweeps.packing.auto import pack

    demand = demand_of(workload)
    begins = not ray.is_initialized()  # else an earlier part of the command has begun it
    here = options.address is None
    doing = "starting Ray on this machine" if here else f"connecting to Ray {options.address}"
    if begins:
        options.check_fits()
        say(doing)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        with elapsed_shown(doing, say) if begins else contextlib.nullcontext():
            stack.enter_context(cluster(options.address, object_bytes=sum(demand.corpora.values())))
        if begins:
            waited = format_duration(time.monotonic() - began)
            say(f"Ray is ready after {waited}; checking that nothing stops the runs")
        if here:
            workload.resources.check(ray.cluster_resources())  # type: ignore[no-untyped-call]
        require(preflight(workload.study, demand))
        yield replace(workload, per_run=pack(workload, say)) if options.auto else workload


def demand_of(workload: Workload) -> Demand:
    """Return the requirements of a workload on the nodes."""
    new_runs = [
        # A run that has begun already has its checkpoints.
        (run.config, len(workload.corpus_of(run).vocabulary))
        for run in workload.runs
        if not run.begun
    ]
    return Demand(
        cpus=workload.resources.cpus,
        gpus=workload.resources.gpus,
        corpora={name: corpus_bytes(corpus) for name, corpus in workload.corpora.items()},
        storage=storage_bytes(new_runs),
    )


class Launch(Protocol):
    """Does runs on the connected Ray; see :func:`sweeps.launching.launch.launch`."""

    def __call__(
        self, runs: Sequence[PlannedRun], display: Display, pause_after: Mapping[str, int] | None = None
    ) -> bool:
        """Return False after an interrupt; ``pause_after``: run name -> epoch after which it pauses."""


@contextlib.contextmanager
def on_ray(options: LaunchOptions, workload: Workload, say: Callable[[str], None]) -> Iterator[Launch]:
    """Connect to Ray for the ``with`` block, and yield a function that launches runs there.

    Args:
        options: storage, cluster and resources.
        workload: the runs to launch, or as many others that need as much space; the folder of its study
            exists.
        say: prints a line about each step.

    Raises:
        InputError: there is no such Ray, or something in it would break runs.
    """
    from sweeps.launching.launch import launch  # Ray Tune, too, takes seconds to import
    from sweeps.launching.tune_patches import without_aws_keys

    runtime = Runtime(
        checkpoint_epochs=options.checkpoint_epochs, checkpoint_seconds=60.0 * options.checkpoint_minutes
    )
    with connected(options, workload, say) as checked, without_aws_keys():

        def start(
            runs: Sequence[PlannedRun], display: Display, pause_after: Mapping[str, int] | None = None
        ) -> bool:
            with display:
                return launch(checked.only(runs), display, runtime=runtime, pause_after=pause_after)

        yield start
