"""The line about a probe: a gain that no packing gives is not reported as one."""

from __future__ import annotations

import pytest

from sweeps.packing.auto import _outcome
from sweeps.packing.devices import HeldDevice
from sweeps.planning.probe_results import ProbeResult

DEVICE = HeldDevice(group=None, name="cpu, 4 cores", memory=2**33, gpu=False, slots=4)


@pytest.mark.parametrize(("gain", "is_odd"), [(3.8, False), (7.0, False), (97.8, True)])
def test_a_gain_that_no_packing_gives_is_put_down_to_other_programs(gain: float, is_odd: bool) -> None:
    line = _outcome("toy", DEVICE, ProbeResult(4, 2**20, 100.0, 100.0, gain))
    assert f"4 at once on cpu, 4 cores, together {gain:.2f} times as fast as one alone" in line
    assert ("other programs slowed the probes: delete .probes.json of the study" in line) == is_odd
