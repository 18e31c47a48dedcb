"""``--gpus-per-run auto`` and ``--cpus-per-run auto``: what each run is given, found out by probes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import ray

from lvae_core.data.corpus import Corpus
from lvae_core.errors import InputError
from lvae_core.model.counts import amount
from lvae_core.run_folder.folder import DamagedError, Study
from lvae_core.training.failures import one_line
from sweeps.packing.choose import TooLargeError, choose
from sweeps.packing.devices import Place, RayDevice, places
from sweeps.planning.durations import clock
from sweeps.planning.plan import PlannedRun
from sweeps.planning.probe_results import Choice, Choices, key
from sweeps.planning.resources import Resources
from sweeps.planning.sizes import format_bytes


def pack(
    runs: Sequence[PlannedRun],
    corpora: Mapping[str, Corpus],
    study: Study,
    resources: Resources,
    say: Callable[[str], None],
) -> dict[str, Resources]:
    """What each run is to have. Ray must be connected.

    A cell is probed on each kind of device of the cluster, once: the study remembers. Where kinds differ,
    runs get what suits the one with the least room.

    Args:
        runs: to be done.
        corpora: theirs.
        study: theirs; its folder exists.
        resources: with cpus as given where they have GPUs; gpus 1 to probe GPUs, 0 to probe CPUs.
        say: told of every probe.

    Returns:
        Run name -> resources.

    Raises:
        InputError: no device came free, or a cell fits none.
    """
    keys = {run.name: key(run.config, corpora[run.config.dataset].data_sha256) for run in runs}
    cells = {keys[run.name]: run for run in runs}
    choices = Choices(study)
    if choices.damage:
        say(f"warning: {choices.damage}")
    gpu = resources.gpus > 0
    shared = {dataset: ray.put(corpus) for dataset, corpus in corpora.items()}
    found: dict[str, list[tuple[Place, Choice]]] = {name: [] for name in cells}
    for place in places(gpu=gpu, cpus_per_run=resources.cpus, say=say):
        since, probed = time.monotonic(), 0
        missing = [name for name in cells if choices.get(place.name, name) is None]
        for name, run in cells.items():
            choice = choices.get(place.name, name)
            if choice is None:
                corpus = corpora[run.config.dataset]
                choice = _probe(place, run, shared[run.config.dataset], corpus)
                choices.put(place.name, name, choice)
                probed += 1
                left = (time.monotonic() - since) / probed * (len(missing) - probed)
                say(f"probe {probed} of {len(missing)}: {_in_words(run.cell, place, choice)}; "
                    f"{clock(left)} to go")  # fmt: skip
            found[name].append((place, choice))
    combine = _gpu_share if gpu else _threads
    given = {name: combine(pairs, resources) for name, pairs in found.items()}
    return {run.name: given[keys[run.name]] if gpu else _as_begun(run, study, given[keys[run.name]])
            for run in runs}  # fmt: skip


def _probe(place: Place, run: PlannedRun, shared: ray.ObjectRef[Corpus], corpus: Corpus) -> Choice:
    device = RayDevice(place, run.config, shared)
    try:
        return choose(device, amount(run.config, corpus))
    except TooLargeError as error:
        raise InputError(
            f"{run.cell}: one run does not fit {place.name} with {format_bytes(place.memory)} "
            f"({error}); use larger nodes, or --set a smaller batch_size or eval_chunk_tokens"
        ) from None
    except ray.exceptions.RayTaskError as error:
        raise InputError(
            f"{run.cell}: its probe failed ({one_line(error.cause)}); give numbers instead of auto"
        ) from None
    finally:
        device.close()


def _gpu_share(found: Sequence[tuple[Place, Choice]], resources: Resources) -> Resources:
    processes = min(choice.processes for _, choice in found)
    # Ray counts in ten-thousandths; three times 0.3334 would not fit one GPU.
    return replace(resources, gpus=1.0 if processes == 1 else int(10_000 / processes) / 10_000)


def _threads(found: Sequence[tuple[Place, Choice]], resources: Resources) -> Resources:
    """The same number everywhere, since a run's last bits depend on it."""
    wanted = max(place.slots // choice.processes for place, choice in found)
    return replace(resources, cpus=min(wanted, *(place.slots for place, _ in found)))


def _as_begun(run: PlannedRun, study: Study, resources: Resources) -> Resources:
    """A run under way keeps its number of threads, whatever a later probe says, and so its last bits."""
    if not run.begun:
        return resources
    try:
        attempts = (study.run(run.name).read_json("provenance.json") or {}).get("attempts", [])
        threads = attempts[0]["threads"]
    except (DamagedError, LookupError, TypeError, AttributeError):
        return resources
    return replace(resources, cpus=threads) if type(threads) is int and threads >= 1 else resources


def _in_words(cell: str, place: Place, choice: Choice) -> str:
    many = f"{choice.processes} at once" if choice.processes > 1 else "alone"
    gain = f", together {choice.alone:.2f} times one alone" if choice.processes > 1 else ""
    each = f"{format_bytes(choice.memory)} and {choice.train_rate:,.0f} tokens/s each"
    return f"{cell}: {many} on {place.name}{gain}, {each}"
