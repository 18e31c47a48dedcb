"""How many share a device, on simulated ones whose best is known by construction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from sweeps.packing import Choice, Sample, TooLargeError, choose
from sweeps.work import Amount

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


def test_as_many_as_keep_it_busy():
    device = Simulated(busy=0.25)
    choice = choose(device, TOKENS)
    assert (choice.processes, choice.alone) == (4, pytest.approx(4.0))
    assert choice.train_rate == 1000.0
    # Six do no more together than four; nothing beyond was tried.
    assert device.tried == [1, 2, 3, 4, 6]
    assert choice.seconds(TOKENS) == pytest.approx(1e6 / 1000 + 1e4 / 100)


def test_a_busy_device_is_not_shared():
    assert choose(Simulated(busy=1.0), TOKENS).processes == 1


@pytest.mark.parametrize(
    ("memory_each", "processes"), [(4, 8), (10, 6), (20, 3), (33, 2), (36, 1), (79, 1)]
)
def test_no_more_than_the_memory_holds_with_its_margin(memory_each, processes):
    # 95% of 80 GiB, shared by runs that may each take 15% more than they did: 20 GiB -> 76 / 23 = 3.3
    device = Simulated(memory_each=memory_each * GIB, busy=0.125)
    choice = choose(device, TOKENS)
    assert choice.processes == processes
    assert choice.memory == pytest.approx(1.15 * memory_each * GIB)
    assert max(device.tried) == processes or (processes == 8 and device.tried[-1] == 16)


def test_no_more_than_there_is_room_for():
    assert choose(Simulated(busy=0.01, limit=3), TOKENS).processes == 3


def test_what_runs_out_of_memory_all_the_same_is_left_at_less():
    assert choose(Simulated(busy=0.05, refuses_from=4), TOKENS).processes == 3


def test_one_that_does_not_fit_is_said():
    with pytest.raises(TooLargeError):
        choose(Simulated(memory_each=81 * GIB), TOKENS)


def test_a_choice_survives_its_file_and_nonsense_does_not():
    choice = choose(Simulated(), TOKENS)
    assert Choice.from_dict(choice.to_dict()) == choice
    for change in ({"processes": 0}, {"train_rate": -1.0}, {"train_rate": float("nan")}):
        with pytest.raises(ValueError, match="not a choice"):
            Choice.from_dict(choice.to_dict() | change)
    with pytest.raises(TypeError):
        Choice.from_dict(choice.to_dict() | {"other": 1})
