"""Probes on the devices of a Ray cluster: one actor each, and one placement group for each device."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.errors import InputError
from sweeps.cluster.own_ray import status_hint
from sweeps.packing.choose import Device, Sample, TooLargeError

SECONDS = 2.0
"""Seconds for which training steps are timed, and then evaluation."""

MOST_ON_A_GPU = 16

_WAIT_SECONDS, _TELL_SECONDS = 1800.0, 30.0
"""Seconds to wait for a free device or for a node that has one, and between two messages about it."""

_LOOK_SECONDS, _NOTICE_SECONDS = 5.0, 60.0
"""Seconds between two looks at a node that computes, and until Ray notices that one has died."""


class LostNodeError(Exception):
    """The node of a held device has died, or is about to: nothing is known of the device."""


@dataclass
class HeldDevice:
    """A whole device that is held: a GPU, or all CPUs of a node."""

    group: PlacementGroup
    name: str
    """The name of the device's kind."""
    memory: int
    gpu: bool
    slots: int
    """The number of runs that it has CPUs for."""
    node: str = ""
    """The id of its node."""
    is_lost: bool = False
    """Set by the caller after a probe on the device has raised LostNodeError; another node then follows."""


Kind = tuple[Any, ...]


def kinds(nodes: list[Mapping[str, Any]], *, gpu: bool, without: Collection[str] = ()) -> dict[Kind, str]:
    """Kind of device -> the id of a node that has one, and is not among ``without``."""
    found: dict[Kind, str] = {}
    for node in nodes:
        resources = node["Resources"]
        if not node["Alive"] or node["NodeID"] in without or not resources.get("GPU" if gpu else "CPU"):
            continue
        kind = [name for name in resources if name.startswith("accelerator_type:")] if gpu else []
        number = resources["GPU"] if gpu else 0  # which share the node's CPUs
        found.setdefault((tuple(sorted(kind)), number, resources.get("CPU")), node["NodeID"])
    return found


def gpus() -> int:
    """The number of GPUs that the cluster has now."""
    return int(sum(node["Resources"].get("GPU", 0) for node in _nodes() if node["Alive"]))


def hold_devices(*, gpu: bool, cpus_per_run: int, say: Callable[[str], None]) -> Iterator[HeldDevice]:
    """Hold a device of every kind that the cluster has, one after the other.

    If its node dies, or its user sets :attr:`HeldDevice.is_lost`, another node of the kind follows.

    Args:
        gpu: hold GPUs; if false, the CPUs of whole nodes.
        cpus_per_run: the CPUs that each run needs in addition to its share of a GPU.
        say: prints a line while waiting.

    Raises:
        InputError: no device became free, or every node was lost.
    """
    what = "GPU" if gpu else "CPU"
    if not kinds(_nodes(), gpu=gpu):
        with _held({what: 1}, None, say, f"a node with a {what}"):  # an autoscaler starts one
            pass
    lost: set[str] = set()
    served = 0
    for kind in kinds(_nodes(), gpu=gpu):
        while node := kinds(_nodes(), gpu=gpu, without=lost).get(kind):
            try:
                with _device(node, gpu, cpus_per_run, say) as device:
                    yield device
                    is_lost = device.is_lost
            except LostNodeError:
                is_lost = True
            if not is_lost:
                served += 1
                break
            say(f"a node with a {what} was lost during a probe, which does not count")
            lost.add(node)
    if not served:
        raise InputError(
            f"every node with a {what} was lost during the probes; repeat the command once there is "
            "one, or give numbers instead of auto"
        )


@contextlib.contextmanager
def _device(node: str, gpu: bool, cpus_per_run: int, say: Callable[[str], None]) -> Iterator[HeldDevice]:
    """Hold a device of a node for the ``with`` block. Raises LostNodeError if the node is gone."""
    entry = next((entry for entry in _nodes() if entry["NodeID"] == node and entry["Alive"]), None)
    if entry is None:
        raise LostNodeError
    resources = entry["Resources"]
    cpus = int(resources.get("CPU", 0))
    slots = max(1, int(cpus / resources["GPU"] / cpus_per_run)) if gpu else cpus
    bundle = {"GPU": 1, "CPU": min(cpus, cpus_per_run)} if gpu else {"CPU": cpus}
    waiting = "a whole GPU" if gpu else f"all {cpus} CPUs of a node"
    with _held(bundle, node, say, waiting) as group:
        ((name, memory),) = _get([_on(ray.remote(describe), group, gpu=gpu).remote(gpu)], node)
        room = f"room for {slots}" if gpu else f"{cpus} cores"
        yield HeldDevice(group, f"{name}, {room}", memory, gpu, slots, node)


def _get(tasks: Sequence[Any], node: str) -> list[Any]:
    """The values of tasks on a node. Raises LostNodeError if they fail because the node is lost."""
    while True:
        # Tasks that wait for resources of a dead node would never end.
        _, open_ = ray.wait(list(tasks), num_returns=len(tasks), timeout=_LOOK_SECONDS)
        if not open_:
            break
        if not _is_alive(node):
            raise LostNodeError
    try:
        return list(ray.get(list(tasks)))
    except (ray.exceptions.NodeDiedError, ray.exceptions.ActorUnschedulableError):
        raise LostNodeError from None
    except ray.exceptions.RayActorError as error:
        if error.preempted or _has_died(node, error):
            raise LostNodeError from None
        raise


def _has_died(node: str, error: ray.exceptions.RayActorError) -> bool:
    """Whether an actor was lost with its node. Ray may notice the death of the node later."""
    unclear = isinstance(error, ray.exceptions.ActorUnavailableError)
    until = time.monotonic() + (_NOTICE_SECONDS if unclear else 0.0)
    while _is_alive(node):
        if time.monotonic() >= until:
            return False
        time.sleep(1.0)
    return True


def _is_alive(node: str) -> bool:
    return any(entry["NodeID"] == node and entry["Alive"] for entry in _nodes())


class RayDevice(Device):
    """A held device on which probes of one cell run, until :meth:`close`."""

    def __init__(self, held: HeldDevice, config: RunConfig, corpus: ray.ObjectRef[Corpus]) -> None:
        self.name, self.memory = held.name, held.memory
        self._held, self._config, self._corpus = held, config, corpus
        self._actors: list[Any] = []

    def counts(self) -> Iterator[int]:
        """Yield 1, 2, 3, 4, 6, 8, … on a GPU; on CPUs, numbers that give each process 2^k cores, or all."""
        slots = self._held.slots
        if self._held.gpu:
            yield from (n for n in (1, 2, 3, 4, 6, 8, 10, 12, MOST_ON_A_GPU) if n <= slots)
            return
        threads = sorted({slots, *(2**k for k in range(slots.bit_length()) if 2**k <= slots)}, reverse=True)
        yield from dict.fromkeys(slots // t for t in threads)

    def measure(self, processes: int) -> list[Sample]:
        """See :meth:`sweeps.packing.choose.Device.measure`. Raises LostNodeError if the node is lost."""
        make = _on(ray.remote(_Actor), self._held.group, gpu=self._held.gpu)
        self._actors += [make.remote() for _ in range(processes - len(self._actors))]
        device = "cuda" if self._held.gpu else "cpu"
        threads = 1 if self._held.gpu else self._held.slots // processes
        try:
            node = self._held.node
            _get([a.load.remote(self._config, self._corpus, device, threads) for a in self._actors], node)
            # All at once, after the last of them has warmed up.
            samples: list[Sample] = _get([a.measure.remote(SECONDS) for a in self._actors], node)
        except ray.exceptions.RayActorError as error:  # Linux kills processes when memory runs out
            raise TooLargeError(f"{processes} at once ended a process ({type(error).__name__})") from None
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, TooLargeError):
                raise TooLargeError(str(error.cause)) from None
            raise
        return samples

    def close(self) -> None:
        """End the processes."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors.clear()


class _Actor:
    """A process that runs probes."""

    def load(self, config: RunConfig, corpus: Corpus, device: str, threads: int) -> None:
        from sweeps.packing.probe import Probe

        self._probe: Any = None  # frees its memory for the next one
        with _as_too_large():
            self._probe = Probe(config, corpus, device=device, threads=threads)
            self._probe.warm_up()

    def measure(self, seconds: float) -> Sample:
        with _as_too_large():
            sample: Sample = self._probe.measure(seconds)
        return sample


@contextlib.contextmanager
def _as_too_large() -> Iterator[None]:
    from lvae_core.training.failures import failure_class, one_line

    try:
        yield
    except Exception as error:
        # If not even a CUDA context fits, the only sign is CUDA's own message.
        if failure_class(error) == "out_of_memory" or "out of memory" in str(error):
            raise TooLargeError(one_line(error)) from None
        raise


def describe(gpu: bool) -> tuple[str, int]:
    """The name, and the memory in bytes, of the device of this process."""
    from lvae_core.training.provenance import processor
    from sweeps.checks.node_facts import available_memory

    if not gpu:
        return processor(), available_memory() or 2**63
    import torch

    properties = torch.cuda.get_device_properties(0)
    return properties.name, properties.total_memory


def _nodes() -> list[Mapping[str, Any]]:
    return list(ray.nodes())  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _held(
    bundle: Mapping[str, float], node: str | None, say: Callable[[str], None], what: str
) -> Iterator[PlacementGroup]:
    """Hold resources for the ``with`` block."""
    selector = [{"ray.io/node-id": node}] if node else None
    group = placement_group([dict(bundle)], bundle_label_selector=selector)
    try:
        since = time.monotonic()
        while not group.wait(_TELL_SECONDS):
            if time.monotonic() - since > _WAIT_SECONDS:
                raise InputError(
                    f"a probe waited {_WAIT_SECONDS / 60:.0f} min for {what}; give numbers instead of auto"
                )
            if node and not _is_alive(node):
                raise LostNodeError
            say(f"waiting for {what} to probe on{status_hint()}")
        yield group
    finally:
        remove_placement_group(group)


def _on(function: Any, group: PlacementGroup, *, gpu: bool) -> Any:
    """A task or an actor inside a held device, shared with all others there."""
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
    shares = 1 / (2 * MOST_ON_A_GPU) if gpu else 0
    return function.options(num_cpus=0, num_gpus=shares, scheduling_strategy=strategy)
