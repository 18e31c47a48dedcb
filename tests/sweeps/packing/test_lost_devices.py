"""Probes whose node dies, as spot nodes do: nothing is concluded, and another such node is probed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from lvae_core.data.corpus import load
from lvae_core.errors import InputError
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.packing import devices
from sweeps.packing.auto import _probe_all
from sweeps.packing.choose import Sample
from sweeps.planning.probe_results import ProbeResults, key
from sweeps.planning.run_lookup import make_plan
from sweeps.planning.workload import Workload

TOY = load("toy")


@dataclass
class Cluster:
    """What this process sees of a Ray: nodes of four cores, and the outcomes of what is asked of them."""

    alive: dict[str, bool]
    failures: dict[int, Exception | str] = field(default_factory=dict)
    """Number of the call -> its error, or the node that dies during it."""
    calls: int = 0
    held: list[str] = field(default_factory=list)

    def nodes(self) -> list[Mapping[str, Any]]:
        return [
            {"NodeID": name, "Alive": alive, "Resources": {"CPU": 4.0}}
            for name, alive in self.alive.items()
        ]

    def get(self, tasks: Sequence[str]) -> list[Any]:
        self.calls += 1
        if self.calls in self.failures:
            raise self.failures.pop(self.calls)
        return [("a processor", 2**40) if task == "describe" else Sample(10**9, 1e3, 1e3) for task in tasks]

    def wait(self, tasks: Sequence[str], **_: Any) -> tuple[list[str], list[str]]:
        if isinstance(node := self.failures.get(self.calls + 1), str):
            assert self.alive[node], "it would wait for ever"
            self.alive[node] = False
            del self.failures[self.calls + 1]
            self.calls += 1
            return [], list(tasks)
        return list(tasks), []


class Task(SimpleNamespace):
    """A task or an actor: what it is called with does not matter."""

    def remote(self, *_: Any) -> Any:
        return Task(load=self, measure=self) if self.name == "actor" else self.name


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster({"first": True, "second": True})

    def group(bundles: Any, bundle_label_selector: Any) -> Any:
        cluster.held.append(bundle_label_selector[0]["ray.io/node-id"])
        return SimpleNamespace(wait=lambda seconds: True)

    monkeypatch.setattr(devices, "_nodes", cluster.nodes)
    monkeypatch.setattr(devices, "placement_group", group)
    monkeypatch.setattr(devices, "remove_placement_group", lambda group: None)
    monkeypatch.setattr(devices, "_on", lambda name, *_, **__: Task(name=name))
    monkeypatch.setattr(ray, "remote", lambda made: "describe" if made is devices.describe else "actor")
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "get", cluster.get)
    monkeypatch.setattr(ray, "wait", cluster.wait)
    monkeypatch.setattr(ray, "kill", lambda actor: None)
    monkeypatch.setattr(devices, "_NOTICE_SECONDS", 0.0)
    return cluster


def probed(study: Study) -> tuple[int, list[str]]:
    """Probe one cell; returns the number of processes, and the lines that are printed."""
    config = recipe("lstm-lm", dataset="toy")
    plan = make_plan([config], {"toy": TOY.data_sha256}, study, evaluate=True)
    lines: list[str] = []
    name = key(config, TOY.data_sha256)
    workload = Workload(plan=plan, corpora={"toy": TOY}, study=study)
    ((_, result),) = _probe_all({name: plan.runs[0]}, workload, lines.append)[name]
    assert ProbeResults(study).get("a processor, 4 cores", name) == result
    return result.processes, lines


DIED = ray.exceptions.ActorDiedError()
UNAVAILABLE = ray.exceptions.ActorUnavailableError("its node has died", None)
PREEMPTED = ray.exceptions.RayActorError(preempted=True)

# The first call describes the device, the next two load one process and measure it, the next two two.


@pytest.mark.parametrize("call", [1, 2, 5])
@pytest.mark.parametrize("failure", [PREEMPTED, ray.exceptions.NodeDiedError(""), "first"])
def test_another_node_of_the_kind_takes_the_place_of_one_that_is_lost(cluster, failure, call, tmp_path):
    whole = probed(Study(str(tmp_path / "whole")))[0]
    assert whole > 1
    assert cluster.held == ["first"]
    cluster.calls, cluster.held, cluster.failures = 0, [], {call: failure}
    processes, lines = probed(Study(str(tmp_path / "lost")))
    assert processes == whole
    assert cluster.held == ["first", "second"]
    assert lines[0] == "a node with a CPU was lost during a probe, which does not count"


@pytest.mark.parametrize("failure", [DIED, UNAVAILABLE])
def test_an_actor_that_dies_alone_is_too_large_and_one_that_dies_with_its_node_is_not(
    cluster, failure, tmp_path, monkeypatch
):
    cluster.failures = {5: failure}
    assert probed(Study(str(tmp_path / "alone")))[0] == 1
    assert cluster.held == ["first"]
    cluster.calls, cluster.held, cluster.failures = 0, [], {5: failure}

    def get(tasks: Sequence[str]) -> list[Any]:
        cluster.alive["first"] = cluster.alive["first"] and cluster.calls != 4
        return cluster.get(tasks)

    monkeypatch.setattr(ray, "get", get)
    assert probed(Study(str(tmp_path / "node")))[0] > 1
    assert cluster.held == ["first", "second"]


def test_if_every_node_is_lost_one_line_says_so_and_nothing_is_stored(cluster, tmp_path):
    cluster.failures = {3: "first", 5: "second"}
    with pytest.raises(InputError, match="every node with a CPU was lost during the probes; repeat"):
        probed(Study(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
