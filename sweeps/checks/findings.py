"""Judge the facts that a preflight has collected about the nodes of a cluster."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lvae_core.messages import first_of
from sweeps.cluster.own_ray import is_own_ray
from sweeps.planning.sizes import format_bytes
from sweeps.planning.times.list_scheduling import slots_on

State = Literal["ok", "warning", "failure"]

SCRATCH_BYTES = 2**30
"""Free space that Ray needs for its logs, and for objects that do not fit a node's memory."""

CLOCK_SECONDS = 5.0

_SHARED = "give a --storage that all nodes share, such as s3://bucket/prefix or a mounted folder"
_SAME_PACKAGES = "install the same versions on every node: pip install -c constraints.txt"


_Verdict = tuple[State, str, str]
"""State, detail and remedy."""

Row = tuple[State, str, str, str]
"""State, where, detail and remedy."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check, and what to do about it."""

    check: str
    where: str
    state: State
    detail: str
    remedy: str = ""

    @property
    def advice(self) -> str:
        """The detail and the remedy."""
        return f"{self.detail}; {self.remedy}" if self.remedy else self.detail

    @property
    def line(self) -> str:
        """The whole finding in one line."""
        return f"{self.where}: {self.advice}"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts about a node, from :func:`sweeps.checks.node_facts.examine`. None: unknown."""

    clock_off: float
    """Seconds by which its clock is certain to be ahead of the driver's."""
    storage: str | None
    """Why a run on the node could not store its results; None: it could."""
    storage_free: int | None
    scratch: str
    """Ray's session folder on the node."""
    scratch_free: int | None
    memory: int | None
    """Bytes of memory that new processes can have."""
    versions: Mapping[str, str]
    project: Mapping[str, str]
    """``digest`` of the project's source as the node imports it, and its ``place``."""
    gpu: str | None
    """Why torch cannot use the node's GPUs; None: it can, or no run would."""
    tokens: bool
    """Whether Ray on the node asks for a token."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node that could take a run."""

    id: str
    where: str
    resources: Mapping[str, float]
    facts: Facts | None = None
    no_answer: str = "was not asked"
    """Why the node has no facts."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Requirements of a launch on every node and on the storage."""

    cpus: int = 1
    gpus: float = 0.0
    corpora: Mapping[str, int] = field(default_factory=dict)
    """Dataset -> its bytes in the object store of a node."""
    storage: int = 0
    """Bytes that the run folders may need."""

    def fits(self, resources: Mapping[str, float]) -> bool:
        """Whether one run fits into ``resources``."""
        return self.cpus <= resources.get("CPU", 0) and self.gpus <= resources.get("GPU", 0)


def answered(nodes: Sequence[Node]) -> list[Finding]:
    """Check that every node has answered."""
    remedy = "see `ray status`; restart the node, or remove it from the cluster"
    if is_own_ray():
        remedy = "this machine is overloaded or low on memory: stop other programs and launch again"
    silent = [
        Finding(check="nodes", where=n.where, state="failure", detail=n.no_answer, remedy=remedy)
        for n in nodes
        if n.facts is None
    ]
    return silent or all_ok("nodes", nodes, f"answered: {len(nodes)}")


def room(everything: Sequence[Mapping[str, float]], demand: Demand, may_grow: bool) -> list[Finding]:
    """Check that some node can take a run.

    Args:
        everything: the resources of each node of the cluster.
        demand: what a run needs.
        may_grow: whether an autoscaler may add nodes.
    """
    wanted = f"{demand.cpus:g} CPUs and {demand.gpus:g} GPUs"
    fitting = sum(map(demand.fits, everything))
    if fitting:
        detail = f"{fitting} of {len(everything)} nodes can take a run of {wanted}"
        return [Finding(check="devices", where="cluster", state="ok", detail=detail)]
    largest = {name: max((r.get(name, 0) for r in everything), default=0) for name in ("CPU", "GPU")}
    detail = (
        f"no node can take a run of {wanted} "
        f"(the most on any node: {largest['CPU']:g} CPUs, {largest['GPU']:g} GPUs)"
    )
    if may_grow:
        remedy = "runs will wait until Ray's autoscaler has added a node that can"
        return [Finding(check="devices", where="cluster", state="warning", detail=detail, remedy=remedy)]
    remedy = "lower --cpus-per-run or --gpus-per-run, or add a node"
    return [Finding(check="devices", where="cluster", state="failure", detail=detail, remedy=remedy)]


def storage(nodes: Sequence[Node], url: str) -> list[Finding]:
    """Check that every node stores results where the driver finds them."""

    def judge(facts: Facts) -> _Verdict | None:
        return None if facts.storage is None else ("failure", facts.storage, _SHARED)

    return _per_node("storage", nodes, f"{url}: read and written from there", judge)


def versions(nodes: Sequence[Node], driver: Mapping[str, str], digest: str) -> list[Finding]:
    """Check that every node runs the same code.

    Args:
        nodes: the nodes, with their facts.
        driver: the versions on the driver. It computes nothing, so torch must only agree among the nodes.
        digest: the digest of the driver's project source.
    """
    torches = Counter(node.facts.versions.get("torch", "none") for node in nodes if node.facts)
    expected = {**driver, **({"torch": torches.most_common(1)[0][0]} if torches else {})}
    found: list[Row] = []
    for node in nodes:
        if node.facts is None:
            continue
        for name, version in expected.items():
            other = node.facts.versions.get(name, "none")
            if other != version:
                place = "on other nodes" if name == "torch" else "here"
                detail, remedy = f"{name} {other}, but {version} {place}", _SAME_PACKAGES
                found.append(("failure", node.where, detail, remedy))
        theirs, place = node.facts.project.get("digest", ""), node.facts.project.get("place", "")
        if theirs != digest:
            what = f"source digest {theirs[:8]} in {place}" if theirs else place
            detail = f"its lvae_core and sweeps differ from those here ({what}; here {digest[:8]})"
            found.append(("failure", node.where, detail, "bring its checkout to the same commit"))
    fine = ", ".join(f"{name} {version}" for name, version in expected.items())
    return findings_of("versions", found) or all_ok("versions", nodes, f"{fine}, source {digest[:8]}")


def gpus(nodes: Sequence[Node], demand: Demand) -> list[Finding]:
    """Check that torch can use the GPUs that Ray counts, and that a node's CPUs suffice for all of them."""
    if not demand.gpus:
        return []
    found: list[Row] = []
    for node in nodes:
        if node.facts and node.facts.gpu:
            detail = f"torch cannot use its GPUs ({node.facts.gpu})"
            remedy = "install a torch that fits its driver (https://pytorch.org), or give no --gpus-per-run"
            found.append(("failure", node.where, detail, remedy))
        elif idle := _idle_gpus(node.resources, demand):
            detail = f"its CPUs suffice for so few runs at once that {idle} of its GPUs will be idle"
            found.append(("warning", node.where, detail, "raise --gpus-per-run, or lower --cpus-per-run"))
    return findings_of("GPUs", found) or all_ok("GPUs", nodes, "torch can use them")


def _idle_gpus(resources: Mapping[str, float], demand: Demand) -> int:
    """The number of GPUs of a node that no run can be on for lack of CPUs: Ray fills one after another."""
    on_each = max(1, slots_on(1, demand.gpus))
    used = slots_on(resources.get("CPU", 0), demand.cpus) / on_each * max(1.0, demand.gpus)
    return max(0, int(resources.get("GPU", 0)) - math.ceil(used))


def data(nodes: Sequence[Node], demand: Demand) -> list[Finding]:
    """Check that the corpora fit into every node's object store."""
    if not demand.corpora:
        return []
    total, largest = sum(demand.corpora.values()), max(demand.corpora.values(), default=0)

    def judge(node: Node) -> _Verdict | None:
        store = int(node.resources.get("object_store_memory", 0))
        more = f"start this node with --object-store-memory {max(2 * total, 128 * 2**20)}"
        if largest > store:
            detail = (
                f"its object store of {format_bytes(store)} cannot hold a corpus of {format_bytes(largest)}"
            )
            return "failure", detail, more
        memory = node.facts.memory if node.facts else None
        if memory is not None and total > memory:
            detail = f"{format_bytes(memory)} of memory are left for corpora of {format_bytes(total)}"
            return "failure", detail, "stop other processes there, or launch fewer datasets at once"
        if total > store:
            detail = (
                f"its object store of {format_bytes(store)} cannot hold all corpora, {format_bytes(total)}"
            )
            return "warning", detail, f"they will take turns; better {more}"
        return None

    found = [(v[0], n.where, v[1], v[2]) for n in nodes if (v := judge(n)) is not None]
    return findings_of("data", found) or all_ok("data", nodes, f"room for corpora of {format_bytes(total)}")


def disk(nodes: Sequence[Node], demand: Demand, url: str) -> list[Finding]:
    """Check that the disks have room for checkpoints and for Ray's files."""
    remedy = "free some space, or give another --storage"

    def judge(facts: Facts) -> _Verdict | None:
        if facts.storage_free is not None and facts.storage_free < demand.storage:
            left, need = format_bytes(facts.storage_free), format_bytes(demand.storage)
            return "failure", f"{left} free in {url}, but up to {need} are needed", remedy
        if facts.scratch_free is not None and facts.scratch_free < SCRATCH_BYTES:
            detail = f"{format_bytes(facts.scratch_free)} free in {facts.scratch}, where Ray writes"
            return "warning", detail, f"have {format_bytes(SCRATCH_BYTES)}, or start Ray with --temp-dir"
        return None

    free = [n.facts.storage_free for n in nodes if n.facts and n.facts.storage_free is not None]
    known = f"{format_bytes(min(free))} free" if free else "free space not known"
    need = f", at most {format_bytes(demand.storage)} needed" if demand.storage else ""
    return _per_node("disk", nodes, known + need, judge)


def clocks(nodes: Sequence[Node]) -> list[Finding]:
    """Check that the clocks agree, so that times in logs can be compared; no result depends on them."""

    def judge(facts: Facts) -> _Verdict | None:
        if abs(facts.clock_off) <= CLOCK_SECONDS:
            return None
        side = "ahead of" if facts.clock_off > 0 else "behind"
        detail = f"its clock is {abs(facts.clock_off):.0f} s {side} this machine's"
        return "warning", detail, "set it (NTP); the numbers are right, times in logs are not"

    return _per_node("clock", nodes, f"within {CLOCK_SECONDS:g} s", judge)


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Merge findings that differ only in their node."""
    groups: dict[Finding, list[str]] = {}
    for finding in findings:
        groups.setdefault(replace(finding, where=""), []).append(finding.where)
    return [replace(finding, where=_together(places)) for finding, places in groups.items()]


def _per_node(
    check: str, nodes: Sequence[Node], fine: str, judge: Callable[[Facts], _Verdict | None]
) -> list[Finding]:
    found = [(v[0], n.where, v[1], v[2]) for n in nodes if n.facts and (v := judge(n.facts))]
    return findings_of(check, found) or all_ok(check, nodes, fine)


def findings_of(check: str, rows: Iterable[Row]) -> list[Finding]:
    """One finding for each row."""
    return [
        Finding(check=check, where=where, state=state, detail=detail, remedy=remedy)
        for state, where, detail, remedy in rows
    ]


def all_ok(check: str, nodes: Sequence[Node], detail: str) -> list[Finding]:
    """One finding that all nodes with facts are fine."""
    places = [node.where for node in nodes if node.facts]
    return [Finding(check=check, where=_together(places), state="ok", detail=detail)] if places else []


def _together(places: Sequence[str]) -> str:
    if len(places) == 1:
        return places[0]
    names = [place.removeprefix("node ") for place in places]
    return f"nodes {first_of(names)}"
