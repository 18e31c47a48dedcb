"""How many runs the present nodes do at once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sweeps.launching.launch import _slots
from sweeps.planning.resources import Resources


def node(alive: bool = True, **resources: float) -> dict[str, object]:
    return {"Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("granted", "nodes", "limit", "slots"),
    [
        ([Resources(cpus=4)], [node(CPU=8)], 0, 2),
        ([Resources(cpus=1), Resources(cpus=4)], [node(CPU=8)], 0, 2),
        (
            [Resources(cpus=3)],
            [node(CPU=8), node(CPU=2), node(CPU=4)],
            0,
            3,
        ),  # none has two halves of a run
        ([Resources(gpus=0.25)], [node(CPU=16, GPU=1)], 0, 4),
        ([Resources(gpus=0.3333)], [node(CPU=16, GPU=2), node(CPU=16)], 0, 6),
        ([Resources(cpus=2, gpus=0.25)], [node(CPU=4, GPU=1)], 0, 2),
        ([Resources(gpus=0.6)], [node(CPU=16, GPU=4)], 0, 4),  # no run is on parts of two GPUs
        ([Resources(gpus=0.3)], [node(CPU=16, GPU=4)], 0, 12),
        ([Resources(gpus=0.4)], [node(CPU=16, GPU=2), node(CPU=3, GPU=2)], 0, 4 + 3),
        ([Resources(gpus=2.0)], [node(CPU=16, GPU=1), node(CPU=16, GPU=4)], 0, 2),
        ([Resources()], [node(CPU=8), node(alive=False, CPU=64)], 0, 8),
        ([Resources()], [node(CPU=8)], 3, 3),
        ([Resources()], [], 0, 1),  # an autoscaler starts one
    ],
)
def test_runs_fit_on_single_nodes_by_what_probes_have_granted(granted, nodes, limit, slots):
    names = [str(number) for number in range(len(granted))]
    workload = SimpleNamespace(
        runs=[SimpleNamespace(name=name) for name in names],
        resources=Resources(cpus=1, max_concurrent=limit),
        resources_of=dict(zip(names, granted, strict=True)).__getitem__,
    )
    assert _slots(workload, nodes) == slots
