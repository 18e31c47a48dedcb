"""Threads of runs that have begun, with --cpus-per-run auto."""

from __future__ import annotations

import pytest

from lvae_core.data.corpus import load
from lvae_core.errors import InputError
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.packing import auto
from sweeps.packing.devices import HeldDevice
from sweeps.planning.probe_results import ProbeResult
from sweeps.planning.run_lookup import make_plan
from sweeps.planning.workload import Workload

TOY = load("toy")


def workload(study: Study, threads: int) -> Workload:
    """A run to do, which has begun with so many threads."""
    config = recipe("lstm-lm", dataset="toy")
    data = {"toy": TOY.data_sha256}
    (run,) = make_plan([config], data, study, evaluate=True).runs
    folder = study.run(run.name)
    folder.write_config(config, run.key)
    folder.write_json("provenance.json", {"attempts": [{"threads": threads}]})
    return Workload(plan=make_plan([config], data, study, evaluate=True), corpora={"toy": TOY}, study=study)


@pytest.fixture(autouse=True)
def _node_of_four_cores(monkeypatch):
    device = HeldDevice(group=None, name="cpu, 4 cores", memory=2**33, gpu=False, slots=4)
    found = ProbeResult(4, 1, 1.0, 1.0, 1.0)
    monkeypatch.setattr(auto, "_probe_all", lambda cells, *_: {key: [(device, found)] for key in cells})


def test_a_run_keeps_the_threads_it_has_begun_with(tmp_path):
    work = workload(Study(str(tmp_path)), threads=3)
    assert [granted.cpus for granted in auto.pack(work, print).values()] == [3]


def test_more_threads_than_any_node_has_cores_are_refused_at_once(tmp_path):
    work = workload(Study(str(tmp_path)), threads=32)
    with pytest.raises(
        InputError, match=r"has begun with 32 threads, .* more than 4 cores; give the --address"
    ):
        auto.pack(work, print)
