"""A real probe on this machine's CPU, and the memory for tensors in a share of a GPU."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lvae_core.data.corpus import load
from lvae_core.systems import recipe
from lvae_core.training.arithmetic import CONTEXT_BYTES, memory_fraction
from sweeps.packing.probe import Probe
from sweeps.planning.resources import Resources

TOY = load("toy")
GIB = 2**30


class Ticks:
    """A clock that shows one second more each time it is read."""

    seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


@pytest.mark.parametrize("system", ["lstm-lm", "lstm-vae", "lstm-vae-avg"])
def test_rates_are_tokens_over_the_time_that_the_clock_shows(system):
    config = dataclasses.replace(recipe(system, dataset="toy", num_samples=2), iw_samples=12)
    probe = Probe(config, TOY, device="cpu", threads=1)
    probe.warm_up()
    sample = probe.measure(2.0, steps=3, now=Ticks())
    # Three steps on batches of 32 sentences; the clock is read before, after the third, and at the end.
    lengths = np.sort(TOY.train.lengths)
    least, most = 3 * 32 * lengths[0] / 2, 3 * 32 * lengths[-1] / 2
    assert least <= sample.train_rate <= most
    assert sample.train_rate * 2 == pytest.approx(round(sample.train_rate * 2))
    assert 0 < sample.evaluate_rate < TOY.test.num_tokens * 3
    # A process that has imported torch.
    assert 100 * 2**20 < sample.memory < 8 * GIB


def test_a_probe_uses_as_much_memory_as_the_longest_batches(monkeypatch):
    taken = []
    config = dataclasses.replace(recipe("lstm-vae", dataset="toy"), iw_samples=12)
    probe = Probe(config, TOY, device="cpu", threads=1)
    train = probe._train
    monkeypatch.setattr(probe, "_train", lambda indices: taken.append(indices) or train(indices))
    probe.warm_up()
    longest = np.sort(TOY.train.lengths)[-config.batch_size :]
    assert any(np.array_equal(np.sort(TOY.train.lengths[batch]), longest) for batch in taken)


@pytest.mark.parametrize("share", [0.5, 0.25, 0.125])
def test_a_share_of_a_gpu_holds_its_tensors_and_its_context(share):
    total = 80 * GIB
    fraction = memory_fraction(share, total)
    assert fraction * total + CONTEXT_BYTES == pytest.approx(share * total)
    assert memory_fraction(1.0, total) == memory_fraction(2.0, total) == 1.0
    assert 0 < memory_fraction(0.01, 4 * GIB) < 0.01  # less than a context: it will say so itself


def test_a_share_of_a_gpu_is_also_the_share_of_its_memory():
    assert (Resources(cpus=3).share, Resources(cpus=3).memory_share) == (3, 1.0)
    quarter = Resources(cpus=3, gpus=0.25)
    assert (quarter.share, quarter.memory_share) == (0.25, 0.25)
    assert quarter.enlarged().memory_share == 0.5
    assert Resources(gpus=2.0).memory_share == 1.0
