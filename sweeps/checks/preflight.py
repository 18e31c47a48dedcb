"""Check every node before anything is scheduled, so that errors appear now instead of hours later.

A small task on each node that could take a run collects facts (:mod:`sweeps.checks.node_facts`), on all
nodes at once; :mod:`sweeps.checks.findings` judges them. Of nodes that join later, each process of a run
compares the code (:mod:`sweeps.launching.trainable`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lvae_core.errors import InputError
from lvae_core.run_folder.study import Study
from lvae_core.storage.store import Store
from sweeps.checks import findings, node_facts, security
from sweeps.checks.findings import Demand, Facts, Finding, Node
from sweeps.cluster import internals
from sweeps.cluster.internals import dashboard_address

_log = logging.getLogger("lvae.checks")

TIMEOUT = 60.0
"""Seconds for all nodes to answer. A busy node needs some of them to start one more process."""

_REMOVAL_SECONDS = 5.0

_examined: dict[str, tuple[frozenset[str], str]] = {}
"""Id of this process's node, which no other Ray has -> what :func:`examined` returns."""


def preflight(study: Study, demand: Demand, *, timeout: float = TIMEOUT) -> list[Finding]:
    """Check the connected Ray cluster and the storage of a study.

    Args:
        study: will keep the runs. Probe files are written there and removed.
        demand: what the launch needs.
        timeout: seconds that a node may take to answer; a node that takes longer counts as a failure.

    Returns:
        All findings, good and bad, in the order of a launch.
    """
    entries = _alive()
    everyone = _nodes(entries)
    # If no node can take a run, the other findings are still worth knowing.
    nodes = [node for node in everyone if demand.fits(node.resources)] or everyone
    probe = _StorageProbe(study.store)
    trouble = probe.write()
    try:
        nodes = _ask(nodes, probe, timeout, gpu=demand.gpus > 0)
    finally:
        probe.remove()
    # A node that has left meanwhile, as spot nodes do, stops nothing.
    left = {node.id for node in nodes if node.facts is None} - {entry["NodeID"] for entry in _alive()}
    nodes = [node for node in nodes if node.id not in left]
    entries = [entry for entry in entries if entry["NodeID"] not in left]
    asked = frozenset(node.id for node in nodes if node.facts)
    digest = node_facts.project()["digest"]
    _examined.setdefault(_here(), (asked, digest))
    found = findings.room([entry["Resources"] for entry in entries], demand, may_grow(demand))
    found += findings.answered(nodes)
    found += [trouble] if trouble else findings.storage(nodes, study.url)
    found += findings.versions(nodes, node_facts.versions(), digest)
    found += findings.gpus(nodes, demand)
    found += findings.data(nodes, demand)
    found += findings.disk(nodes, demand, study.url)
    found += findings.clocks(nodes)
    found += security.security(nodes, dashboard_address(), _command_line(), os.environ)
    return findings.merged(found)


def examined() -> tuple[frozenset[str], str]:
    """Return the nodes that the first preflight on this Ray has examined, and the digest of the code then.

    What a launch does later, such as probes, may add nodes; they are not among these.
    """
    return _examined.setdefault(_here(), (frozenset(), node_facts.project()["digest"]))


def require(found: Sequence[Finding]) -> None:
    """Log warnings.

    Raises:
        InputError: a finding would break runs; the message has one line for each.
    """
    for finding in found:
        if finding.state == "warning":
            _log.warning(finding.line)
    failures = [finding.line for finding in found if finding.state == "failure"]
    if failures:
        raise InputError("\n".join(failures))


@dataclass(frozen=True)
class _Request:
    """The arguments of :func:`sweeps.checks.node_facts.examine`."""

    url: str
    probe: str
    content: bytes
    own: str
    gpu: bool


class _StorageProbe:
    """A file in the store for every node to read, and a file for each node to write in return."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Readers of studies ignore names that start with a dot.
        self._name = f".probe-{secrets.token_hex(8)}"
        self._content = secrets.token_bytes(32)

    def write(self) -> Finding | None:
        """Write the file; returns a finding if that fails."""
        try:
            self._store.write(self._name, self._content)
        except Exception as error:  # object stores raise errors of many classes
            detail = f"{self._store.url} cannot be written ({node_facts.reason(error)})"
            remedy = "give another --storage"
            return Finding(
                check="storage", where="this machine", state="failure", detail=detail, remedy=remedy
            )
        return None

    def remove(self) -> None:
        """Remove the file."""
        self._delete(self._name)

    def request(self, node: Node, gpu: bool = False) -> _Request:
        """The request to ``node``: files to read and to write, and whether to test its GPUs with torch."""
        gpu = gpu and node.resources.get("GPU", 0) > 0
        return _Request(self._store.url, self._name, self._content, f"{self._name}-{node.id}", gpu)

    def is_returned(self, node: Node) -> bool:
        """Whether the file that ``node`` has written is visible here; it is then removed."""
        name = self.request(node).own
        try:
            seen = self._store.read(name) == self._content
        except Exception:
            return False
        self._delete(name)
        return seen

    def _delete(self, name: str) -> None:
        with contextlib.suppress(Exception):
            self._store.delete(name)


def _here() -> str:
    return ray.get_runtime_context().get_node_id()


def _alive() -> list[Mapping[str, Any]]:
    return [entry for entry in ray.nodes() if entry["Alive"]]  # type: ignore[no-untyped-call]


def _nodes(entries: Sequence[Mapping[str, Any]]) -> list[Node]:
    """The nodes, named by address; nodes that share one, as in tests, also by the start of their id."""
    shared = Counter(entry["NodeManagerAddress"] for entry in entries)
    return [
        Node(
            id=entry["NodeID"],
            where=f"node {entry['NodeManagerAddress']}"
            + (f" ({entry['NodeID'][:8]})" if shared[entry["NodeManagerAddress"]] > 1 else ""),
            resources=entry["Resources"],
        )
        for entry in entries
    ]


def _ask(nodes: Sequence[Node], probe: _StorageProbe, timeout: float, *, gpu: bool) -> list[Node]:
    """Ask the nodes; returns them with their facts, or with the reason why there are none."""
    start = time.time()
    with _by_value():
        examine = ray.remote(num_cpus=0, max_retries=0)(node_facts.examine)
        tasks = {_on(examine, node).remote(**vars(probe.request(node, gpu))): node for node in nodes}
    answered, end = [], time.monotonic() + timeout
    while tasks:
        ready, _ = ray.wait(list(tasks), timeout=max(end - time.monotonic(), 0.0))
        if not ready:
            break
        answered.append(_answer(tasks.pop(ready[0]), ready[0], probe, start))
    for task, node in tasks.items():
        ray.cancel(task, force=True)
        answered.append(replace(node, no_answer=f"did not answer within {timeout:g} s"))
    order = [node.id for node in nodes]
    return sorted(answered, key=lambda node: order.index(node.id))


def _answer(node: Node, task: Any, probe: _StorageProbe, start: float) -> Node:
    try:
        answer = ray.get(task)
    except ray.exceptions.RayError as error:
        return replace(node, no_answer=_cause(error))
    ahead, behind = answer["clock"] - time.time(), answer.pop("clock") - start
    facts = Facts(clock_off=max(ahead, 0.0) + min(behind, 0.0), **answer)
    if facts.storage is None and not probe.is_returned(node):
        _remove_from(node, probe)
        place = probe.request(node).url
        facts = replace(facts, storage=f"writes to {place}, but this machine does not see the file")
    return replace(node, facts=facts)


def _remove_from(node: Node, probe: _StorageProbe) -> None:
    order = probe.request(node)
    with _by_value():
        remove = ray.remote(num_cpus=0, max_retries=0)(node_facts.remove)
        task = _on(remove, node).remote(order.url, order.own)
    ray.wait([task], timeout=_REMOVAL_SECONDS)


def _on(function: Any, node: Node) -> Any:
    return function.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False))


@contextlib.contextmanager
def _by_value() -> Iterator[None]:
    """Send the code itself and not its name: a node may have another version of it, or none."""
    pickle: Any = ray.cloudpickle
    modules = (node_facts, internals)
    for module in modules:
        pickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            pickle.unregister_pickle_by_value(module)


def _cause(error: ray.exceptions.RayError) -> str:
    """The reason for no answer, in one line; Ray's own messages are tracebacks and paragraphs."""
    if isinstance(error, ray.exceptions.TaskUnschedulableError | ray.exceptions.NodeDiedError):
        return "left the cluster before it answered"
    cause = getattr(error, "cause", None) or error
    first = next((line for line in str(cause).splitlines() if line.strip()), "").strip()
    return f"could not answer ({type(cause).__name__}: {first})"


def may_grow(demand: Demand) -> bool:
    """Whether the cluster has an autoscaler that may add a node for a run.

    `ray up` leaves a list of the nodes that it may start with the head. The list is empty if the machines
    exist already. KubeRay leaves only a name.
    """
    if "RAY_CLUSTER_NAME" in os.environ:
        return True
    try:
        config = json.loads(Path("~/ray_bootstrap_config.yaml").expanduser().read_text())
        kinds = config["available_node_types"].values()
        return any(demand.fits(kind["resources"]) for kind in kinds if kind.get("max_workers", 0) > 0)
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return False


def _command_line() -> list[str]:
    """The command line of this process, as other users of the machine can see it."""
    return [*sys.orig_argv, *sys.argv]
