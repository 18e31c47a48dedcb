"""``--gpus-per-run auto`` and ``--cpus-per-run auto``: choose the resources of each run by short probes."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import ray

from lvae_core.data.corpus import Corpus
from lvae_core.errors import InputError
from lvae_core.model.counts import amount
from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.study import Study
from lvae_core.training.failures import one_line
from sweeps.packing.choose import TooLargeError, choose
from sweeps.packing.devices import HeldDevice, LostNodeError, RayDevice, gpus, hold_devices
from sweeps.planning.plan import PlannedRun
from sweeps.planning.probe_results import FILE as PROBES
from sweeps.planning.probe_results import ProbeResult, ProbeResults, key
from sweeps.planning.resources import Resources
from sweeps.planning.sizes import format_bytes
from sweeps.planning.times.durations import format_duration
from sweeps.planning.workload import Workload

_log = logging.getLogger("lvae.packing")

_BUSY = 4.0
"""The gain for each process above which a probe must have been slowed by other programs. A small model on
several threads can be slower than on one, but not by as much."""


def pack(workload: Workload, say: Callable[[str], None]) -> dict[str, Resources]:
    """Choose the resources of each run. Ray must be connected.

    Each cell is probed once on each kind of device in the cluster, and the study keeps the results. If the
    kinds differ, runs get what suits the kind with the least room.

    Args:
        workload: the runs to do; the folder of its study exists. Its resources say what to probe: GPUs if
            they have any (with their CPUs for each run), else CPUs.
        say: prints a line about each probe.

    Returns:
        Run name -> resources.

    Raises:
        InputError: no device became free, a cell fits none, or a run has begun with too many threads.
    """
    resources = workload.resources
    gpu = resources.gpus > 0
    keys = {run.name: key(run.config, workload.corpus_of(run).data_sha256) for run in workload.runs}
    found = _probe_all({keys[run.name]: run for run in workload.runs}, workload, say)
    if gpu:
        at_once = min(len(workload.runs), resources.max_concurrent or len(workload.runs))
        most = max(1, math.ceil(at_once / max(1, gpus())))
        shares = {name: _gpu_share(pairs, resources, most) for name, pairs in found.items()}
        return {run.name: shares[keys[run.name]] for run in workload.runs}
    chosen = {name: _threads(pairs, resources) for name, pairs in found.items()}
    per_run = {run.name: chosen[keys[run.name]] for run in workload.runs}
    per_run = {run.name: _as_begun(run, workload.study, per_run[run.name]) for run in workload.runs}
    most = max(device.slots for pairs in found.values() for device, _ in pairs)
    for name, granted in per_run.items():
        if granted.cpus > most:
            raise InputError(
                f"{name}: has begun with {granted.cpus} threads, on which its last bits depend, and no "
                f"node has more than {most} cores; give the --address of a larger Ray, or a number for "
                "--cpus-per-run instead of auto"
            )
    return per_run


def _probe_all(
    cells: dict[str, PlannedRun], workload: Workload, say: Callable[[str], None]
) -> dict[str, list[tuple[HeldDevice, ProbeResult]]]:
    """Key of a cell -> its results on every kind of device; what the study lacks is probed."""
    results = ProbeResults(workload.study)
    if results.damage:
        _log.warning(results.damage)
    resources = workload.resources
    shared = {dataset: ray.put(corpus) for dataset, corpus in workload.corpora.items()}
    found: dict[str, list[tuple[HeldDevice, ProbeResult]]] = {name: [] for name in cells}
    for device in hold_devices(gpu=resources.gpus > 0, cpus_per_run=resources.cpus, say=say):
        since, probed = time.monotonic(), 0
        missing = [name for name in cells if results.get(device.name, name) is None]
        here: dict[str, ProbeResult] = {}
        for name, run in cells.items():
            result = results.get(device.name, name)
            if result is None:
                try:
                    result = _probe(device, run, shared[run.config.dataset], workload.corpus_of(run))
                except LostNodeError:
                    device.is_lost = True  # another node of its kind follows
                    break
                results.put(device.name, name, result)
                probed += 1
                left = (time.monotonic() - since) / probed * (len(missing) - probed)
                outcome = _outcome(run.cell, device, result)
                say(f"probe {probed} of {len(missing)}: {outcome}; {format_duration(left)} to go")
            here[name] = result
        if not device.is_lost:
            for name, result in here.items():
                found[name].append((device, result))
    return found


def _probe(held: HeldDevice, run: PlannedRun, shared: ray.ObjectRef[Corpus], corpus: Corpus) -> ProbeResult:
    device = RayDevice(held, run.config, shared)
    try:
        return choose(device, amount(run.config, corpus))
    except TooLargeError as error:
        raise InputError(
            f"{run.cell}: one run does not fit on {held.name} with {format_bytes(held.memory)} "
            f"({error}); use larger nodes, or --set a smaller batch_size or eval_chunk_tokens"
        ) from None
    except ray.exceptions.RayTaskError as error:
        raise InputError(
            f"{run.cell}: its probe failed ({one_line(error.cause)}); give numbers instead of auto"
        ) from None
    finally:
        device.close()


def _gpu_share(
    found: Sequence[tuple[HeldDevice, ProbeResult]], resources: Resources, most: int
) -> Resources:
    """The share of a GPU; ``most`` runs on each are enough for all: Ray would fill one before the next."""
    processes = min(most, *(result.processes for _, result in found))
    # Ray counts in ten-thousandths; three times 0.3334 would not fit one GPU.
    return replace(resources, gpus=1.0 if processes == 1 else int(10_000 / processes) / 10_000)


def _threads(found: Sequence[tuple[HeldDevice, ProbeResult]], resources: Resources) -> Resources:
    """Choose the same number of threads everywhere, because a run's last bits depend on it."""
    wanted = max(device.slots // result.processes for device, result in found)
    return replace(resources, cpus=min(wanted, *(device.slots for device, _ in found)))


def _as_begun(run: PlannedRun, study: Study, resources: Resources) -> Resources:
    """Keep the number of threads of a run that has begun, and so its last bits, despite later probes."""
    if not run.begun:
        return resources
    try:
        attempts = (study.run(run.name).read_json("provenance.json") or {}).get("attempts", [])
        threads = attempts[0]["threads"]
    except (DamagedError, LookupError, TypeError, AttributeError):
        return resources
    return replace(resources, cpus=threads) if type(threads) is int and threads >= 1 else resources


def _outcome(cell: str, device: HeldDevice, result: ProbeResult) -> str:
    many = f"{result.processes} at once" if result.processes > 1 else "alone"
    gain = f", together {result.alone:.2f} times as fast as one alone" if result.processes > 1 else ""
    per_run = f"{format_bytes(result.memory)} and {result.train_rate:,.0f} tokens/s each"
    busy = ""
    if result.alone > _BUSY * result.processes:
        busy = "; so large a gain means that other programs slowed the probes: delete "
        busy += f"{PROBES} of the study and launch again when they have ended"
    return f"{cell}: {many} on {device.name}{gain}, {per_run}{busy}"
