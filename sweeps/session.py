"""A Ray that is fit for a launch, and what each of its runs is given there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import ray

from lvae_core.data.corpus import Corpus
from lvae_core.run_folder.folder import Study
from sweeps.cluster import cluster
from sweeps.findings import Demand
from sweeps.pack import pack
from sweeps.plan import PlannedRun
from sweeps.preflight import preflight, require
from sweeps.resources import Resources
from sweeps.sizes import corpus_bytes, storage_bytes


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
        address: see :func:`sweeps.cluster.cluster`.
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
