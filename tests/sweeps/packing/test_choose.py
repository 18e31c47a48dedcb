"""Number of runs per device, on simulated devices whose best number is known by construction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from lvae_core.model.counts import Amount
from sweeps.packing.auto import _gpu_share, _threads
from sweeps.packing.choose import Sample, TooLargeError, choose
from sweeps.packing.devices import HeldDevice, kinds
from sweeps.planning.probe_results import ProbeResult
from sweeps.planning.resources import Resources

GIB = 2**30
TOKENS = Amount(train=1e6, evaluate=1e4)


@dataclass
class Simulated:
    """Each process needs ``memory_each``, and computes ``busy`` of the time that it has the device alone;
    together they cannot do more than the device can."""

    memory: int = 80 * GIB
    memory_each: int = 4 * GIB
    busy: float = 0.25
    limit: int = 16
    name: str = "simulated"
    refuses_from: int = 10**9
    tried: list[int] = field(default_factory=list)

    def counts(self) -> Iterator[int]:
        yield from (n for n in (1, 2, 3, 4, 6, 8, 16) if n <= self.limit)

    def measure(self, processes: int) -> list[Sample]:
        self.tried.append(processes)
        if processes >= self.refuses_from or processes * self.memory_each > self.memory:
            raise TooLargeError("out of memory")
        rate = 1000.0 * min(1.0, 1 / (self.busy * processes))
        return [Sample(self.memory_each, rate, rate / 10)] * processes


def test_as_many_runs_as_keep_the_device_busy_share_it():
    device = Simulated(busy=0.25)
    choice = choose(device, TOKENS)
    assert (choice.processes, choice.alone) == (4, pytest.approx(4.0))
    assert choice.train_rate == 1000.0
    # Six have no higher throughput than four; larger numbers were not tried.
    assert device.tried == [1, 2, 3, 4, 6]
    assert choice.seconds(TOKENS) == pytest.approx(1e6 / 1000 + 1e4 / 100)


def test_a_busy_device_is_not_shared():
    assert choose(Simulated(busy=1.0), TOKENS).processes == 1


@pytest.mark.parametrize(
    ("memory_each", "processes"), [(4, 8), (10, 6), (20, 3), (33, 2), (36, 1), (79, 1)]
)
def test_no_more_runs_than_fit_the_memory_with_its_margin(memory_each, processes):
    # 95% of 80 GiB, shared by runs that may each take 15% more than they did: 20 GiB -> 76 / 23 = 3.3
    device = Simulated(memory_each=memory_each * GIB, busy=0.125)
    choice = choose(device, TOKENS)
    assert choice.processes == processes
    assert choice.memory == pytest.approx(1.15 * memory_each * GIB)
    assert max(device.tried) == processes or (processes == 8 and device.tried[-1] == 16)


def test_no_more_runs_than_the_device_has_slots():
    assert choose(Simulated(busy=0.01, limit=3), TOKENS).processes == 3


def test_after_running_out_of_memory_the_last_smaller_number_is_kept():
    assert choose(Simulated(busy=0.05, refuses_from=4), TOKENS).processes == 3


def test_a_run_that_does_not_fit_is_reported():
    with pytest.raises(TooLargeError):
        choose(Simulated(memory_each=81 * GIB), TOKENS)


def test_a_result_is_restored_from_its_file_and_invalid_values_are_refused():
    choice = choose(Simulated(), TOKENS)
    assert ProbeResult.from_dict(choice.to_dict()) == choice
    for change in ({"processes": 0}, {"train_rate": -1.0}, {"train_rate": float("nan")}):
        with pytest.raises(ValueError, match="not the result of a probe"):
            ProbeResult.from_dict(choice.to_dict() | change)
    with pytest.raises(TypeError):
        ProbeResult.from_dict(choice.to_dict() | {"other": 1})


def node(number: int, alive: bool = True, **resources: float) -> dict[str, object]:
    return {"NodeID": f"n{number}", "Alive": alive, "Resources": {"node:10.0.0.1": 1.0, **resources}}


def test_one_node_of_each_kind_is_probed():
    h100, t4 = {"accelerator_type:H100": 1.0}, {"accelerator_type:T4": 1.0}
    nodes = [
        node(0, CPU=0),
        node(1, CPU=16, GPU=8, **h100),
        node(2, CPU=16, GPU=8, **h100),
        node(3, CPU=4, GPU=1, **t4),
        node(4, alive=False, CPU=96, GPU=1),
        node(5, CPU=16),
        node(6, CPU=16, GPU=4, **h100),  # which leaves twice as many cores to each
    ]
    assert list(kinds(nodes, gpu=True).values()) == ["n1", "n3", "n6"]
    assert list(kinds(nodes, gpu=False).values()) == ["n1", "n3"]  # 16 and 4 cores
    assert kinds(nodes[:1], gpu=True) == kinds(nodes[:1], gpu=False) == {}
    # Another node of the same kind takes the place of a lost one.
    assert list(kinds(nodes, gpu=True, without={"n1", "n3"}).values()) == ["n2", "n6"]


def place(slots: int) -> HeldDevice:
    return HeldDevice(group=None, name="", memory=0, gpu=False, slots=slots)  # type: ignore[arg-type]


def test_if_kinds_differ_runs_get_what_suits_the_one_with_least_room():
    def choice(processes: int) -> ProbeResult:
        return ProbeResult(processes, 1, 1.0, 1.0, 1.0)

    whole = Resources(gpus=1.0)
    shares = [
        _gpu_share([(place(16), choice(n)), (place(16), choice(8))], whole, 16).gpus
        for n in (1, 2, 3, 6, 7, 12)
    ]
    assert shares == [1.0, 0.5, 0.3333, 0.1666, 0.1428, 0.125]
    few = [_gpu_share([(place(16), choice(8))], whole, most).gpus for most in (1, 2, 9)]
    assert few == [1.0, 0.5, 0.125]  # Ray fills one GPU before it takes the next
    assert _threads([(place(16), choice(16)), (place(4), choice(2))], Resources()).cpus == 2
    assert _threads([(place(16), choice(2)), (place(4), choice(4))], Resources()).cpus == 4
