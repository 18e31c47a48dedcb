"""A Ray that is fit for a launch, and what each of its runs is given there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import ray

from lvae_core.data.corpus import Corpus
from lvae_core.run_folder.folder import Study
from sweeps.checks.findings import Demand
from sweeps.checks.preflight import preflight, require
from sweeps.cluster.connect import cluster
from sweeps.launching.display import Display
from sweeps.options import LaunchOptions
from sweeps.packing.auto import pack
from sweeps.planning.plan import PlannedRun
from sweeps.planning.resources import Resources
from sweeps.planning.sizes import corpus_bytes, storage_bytes


@contextlib.contextmanager
def connected(
    address: str | None,
    runs: Sequence[PlannedRun],
    corpora: Mapping[str, Corpus],
    study: Study,
    resources: Resources,
    *,
    auto: bool,
    say: Callable[[str], None],
) -> Iterator[Mapping[str, Resources]]:
    """Be connected to Ray inside the ``with`` block.

    Args:
        address: see :func:`sweeps.cluster.connect.cluster`.
        runs: to be done.
        corpora: theirs, by the datasets that the configs name.
        study: theirs; its folder exists.
        resources: of each run.
        auto: whether probes are to find out what a run has instead.
        say: told of the probes.

    Returns:
        Run name -> what it has instead of ``resources``.

    Raises:
        InputError: there is no such Ray, or something in it would break runs.
    """
    sizes = {name: corpus_bytes(corpus) for name, corpus in corpora.items()}
    demand = Demand(
        cpus=resources.cpus,
        gpus=resources.gpus,
        corpora=sizes,
        # A run that has begun has its checkpoints already.
        storage=storage_bytes(
            (run.config, len(corpora[run.config.dataset].vocabulary)) for run in runs if not run.begun
        ),
    )
    with cluster(address, object_bytes=sum(sizes.values())):
        if address is None:
            resources.check(ray.cluster_resources())  # type: ignore[no-untyped-call]
        require(preflight(study, demand))
        yield pack(runs, corpora, study, resources, say) if auto else {}


class Launch(Protocol):
    """Does runs on the Ray that is connected; see :func:`sweeps.launching.launch.launch`."""

    def __call__(
        self, runs: Sequence[PlannedRun], display: Display, pause_after: Mapping[str, int] | None = None
    ) -> bool:
        """Return False after an interrupt; ``pause_after``: run name -> epoch after which it pauses."""


@contextlib.contextmanager
def on_ray(
    options: LaunchOptions,
    expected: Sequence[PlannedRun],
    corpora: Mapping[str, Corpus],
    study: Study,
    say: Callable[[str], None],
) -> Iterator[Launch]:
    """Be connected to Ray inside the ``with`` block, and be able to launch there.

    Args:
        options: where and how.
        expected: all that are to be launched, or as many others that need as much room.
        corpora: theirs, by the datasets that the configs name.
        study: theirs; its folder exists.
        say: told of probes.

    Raises:
        InputError: there is no such Ray, or something in it would break runs.
    """
    # Ray and torch take seconds to import: only where there is something to start.
    from lvae_core.training.runtime import Runtime
    from sweeps.launching.launch import launch
    from sweeps.launching.tune_patches import without_aws_keys

    runtime = Runtime(
        checkpoint_epochs=options.checkpoint_epochs, checkpoint_seconds=60.0 * options.checkpoint_minutes
    )
    resources = options.resources()

    def start(
        runs: Sequence[PlannedRun], display: Display, pause_after: Mapping[str, int] | None = None
    ) -> bool:
        with display:
            return launch(
                runs,
                corpora,
                study,
                resources,
                display,
                given=given,
                runtime=runtime,
                pause_after=pause_after,
            )

    on_ray = connected(options.address, expected, corpora, study, resources, auto=options.auto, say=say)
    with on_ray as given, without_aws_keys():
        yield start
