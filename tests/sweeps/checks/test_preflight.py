"""Findings of a preflight from given facts, and the facts that a node reports."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lvae_core.errors import InputError
from lvae_core.identity import NUMERICS_VERSION
from lvae_core.messages import printed
from lvae_core.run_folder.study import Study
from sweeps.checks import findings, node_facts, preflight, security
from sweeps.checks.findings import Demand, Facts, Finding, Node
from sweeps.checks.preflight import require
from sweeps.cluster.own_ray import OWN_RAY
from sweeps.cluster.replaced import environment

from ...logs import expect_log

VERSIONS = {"Python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6", "ray": "2.60.0", "numerics": "3"}
GIB = 2**30
FACTS = Facts(
    clock_off=0.0,
    storage=None,
    storage_free=100 * GIB,
    scratch="/tmp/ray/session",
    scratch_free=20 * GIB,
    memory=8 * GIB,
    gpu=None,
    versions=VERSIONS,
    project={"digest": "ab" * 32, "place": "/code/lvae_core"},
    tokens=True,
)


def node(last: int, **changes: Any) -> Node:
    """Node 10.0.0.<last> with four cores; ``changes`` are of its facts."""
    return Node(
        id=f"id{last}",
        where=f"node 10.0.0.{last}",
        resources={"CPU": 4.0, "object_store_memory": 1.0 * GIB},
        facts=dataclasses.replace(FACTS, **changes),
    )


def lines(found: list[Finding], state: str) -> list[str]:
    return [finding.line for finding in found if finding.state == state]


def only(found: list[Finding], state: str) -> str:
    """The one line there is, and it is of that state."""
    (finding,) = found
    assert finding.state == state
    return finding.line


def test_a_node_that_does_not_see_the_storage_is_named_with_the_remedy():
    found = findings.storage([node(1), node(7, storage="does not see /home/me/runs")], "/home/me/runs")
    assert only(found, "failure") == (
        "node 10.0.0.7: does not see /home/me/runs; give a --storage that all nodes share, such as "
        "s3://bucket/prefix or a mounted folder"
    )
    assert only(findings.storage([node(1), node(7)], "/x"), "ok").startswith("nodes 10.0.0.1, 10.0.0.7: /x")


def test_a_node_that_does_not_answer_is_a_failure():
    silent = Node(
        id="x", where="node 10.0.0.3", resources={"CPU": 1}, no_answer="did not answer within 60 s"
    )
    line = only(findings.answered([node(1), silent]), "failure")
    assert line.startswith("node 10.0.0.3: did not answer within 60 s; ")
    assert "ray status" in line
    with environment(OWN_RAY):
        assert "ray status" not in only(findings.answered([node(1), silent]), "failure")
    # Nothing else is said of a node of which nothing is known.
    for check in (
        findings.storage([silent], "/x"),
        findings.versions([silent], VERSIONS, "ab" * 32),
        findings.disk([silent], Demand(storage=10**18), "/x"),
        findings.clocks([silent]),
    ):
        assert check == []


@pytest.mark.parametrize("name", ["Python", "numpy", "ray", "numerics"])
def test_a_version_other_than_the_drivers_is_named(name):
    found = findings.versions([node(1), node(2, versions={**VERSIONS, name: "0.1"})], VERSIONS, "ab" * 32)
    line = only(found, "failure")
    assert line.startswith(f"node 10.0.0.2: {name} 0.1, but {VERSIONS[name]} here; ")


def test_torch_must_agree_among_nodes_but_not_with_the_driver():
    cuda = {**VERSIONS, "torch": "2.13.0+cu130"}
    same = [node(1, versions=cuda), node(2, versions=cuda)]
    assert "torch 2.13.0+cu130" in only(findings.versions(same, VERSIONS, "ab" * 32), "ok")
    found = findings.versions([*same, node(3)], VERSIONS, "ab" * 32)
    line = only(found, "failure")
    assert line.startswith("node 10.0.0.3: torch 2.13.0, but 2.13.0+cu130 on other nodes; ")


def test_a_node_with_another_or_no_checkout_is_named():
    older = node(2, project={"digest": "cd" * 32, "place": "/old/lvae_core, /old/sweeps"})
    none = node(3, project={"digest": "", "place": "lvae_core is not installed"})
    found = findings.versions([node(1), older, none], VERSIONS, "ab" * 32)
    first, second = lines(found, "failure")
    assert "node 10.0.0.2" in first
    assert "cdcdcdcd in /old/lvae_core" in first
    assert "here abababab" in first
    assert "node 10.0.0.3" in second
    assert "lvae_core is not installed" in second


def test_a_node_whose_torch_cannot_use_its_gpus_is_named_with_the_remedy():
    line = only(
        findings.gpus([node(5, gpu="Torch not compiled with CUDA enabled")], Demand(gpus=1)), "failure"
    )
    assert line.startswith(
        "node 10.0.0.5: torch cannot use its GPUs (Torch not compiled with CUDA enabled); "
    )
    assert "install a torch that fits its driver" in line
    assert findings.gpus([node(5)], Demand()) == []


@pytest.mark.parametrize(
    ("cpus", "gpus", "each", "share", "idle"),
    [
        (16, 8, 1, 1.0, 0),
        (16, 8, 1, 0.5, 0),
        (16, 8, 1, 0.25, 4),  # 16 runs fill four GPUs
        (17, 8, 1, 0.25, 3),  # the 17th begins a fifth
        (4, 8, 1, 1.0, 4),
        (8, 4, 4, 0.5, 3),  # two runs share one
        (4, 8, 2, 2.0, 4),  # two runs with two GPUs each
    ],
)
def test_gpus_that_are_idle_for_lack_of_cpus_are_a_warning(cpus, gpus, each, share, idle):
    place = dataclasses.replace(node(5), resources={"CPU": float(cpus), "GPU": float(gpus)})
    line = only(findings.gpus([place], Demand(cpus=each, gpus=share)), "warning" if idle else "ok")
    assert (f"{idle} of its GPUs will be idle; raise --gpus-per-run" in line) == (idle > 0)


@pytest.mark.parametrize(
    ("corpora", "memory", "state", "words"),
    [
        ({"a": 10**6}, 8 * GIB, "ok", "room for corpora of 977 KiB"),
        ({"a": GIB}, 8 * GIB, "ok", "1.0 GiB"),
        ({"a": GIB + 1}, 8 * GIB, "failure", "cannot hold a corpus"),
        ({"a": GIB, "b": 1}, 8 * GIB, "warning", "cannot hold all corpora"),
        ({"a": 2**29, "b": 2**28}, 2**28, "failure", "256 MiB of memory are left for corpora of 768 MiB"),
        ({"a": GIB}, None, "ok", ""),
    ],
)
def test_room_for_the_corpora(corpora, memory, state, words):
    line = only(findings.data([node(5, memory=memory)], Demand(corpora=corpora)), state)
    assert line.startswith("node 10.0.0.5: ")
    assert words in line
    assert findings.data([node(5, memory=0)], Demand()) == []


@pytest.mark.parametrize(
    ("free", "scratch", "state", "words"),
    [
        (50 * GIB, GIB, "ok", "50.0 GiB free, at most 40.0 GiB needed"),
        (40 * GIB - 1, 20 * GIB, "failure", "40.0 GiB free in /x, but up to 40.0 GiB are needed"),
        (None, 20 * GIB, "ok", "free space not known"),
        (50 * GIB, GIB - 1, "warning", "free in /tmp/ray/session, where Ray writes"),
        (50 * GIB, None, "ok", "50.0 GiB free"),
    ],
)
def test_room_on_the_disks(free, scratch, state, words):
    found = findings.disk(
        [node(5, storage_free=free, scratch_free=scratch)], Demand(storage=40 * GIB), "/x"
    )
    line = only(found, state)
    assert line.startswith("node 10.0.0.5: ")
    assert words in line


@pytest.mark.parametrize(
    ("cpus", "gpus", "state"),
    [(4, 0.0, "ok"), (5, 0.0, "failure"), (2, 1.0, "ok"), (3, 0.25, "failure"), (1, 2.0, "failure")],
)
def test_a_run_must_fit_on_one_node_not_on_all_together(cpus, gpus, state):
    cluster: list[dict[str, float]] = [{"CPU": 4.0}, {"CPU": 2.0, "GPU": 1.0}, {"GPU": 1.0}]
    demand = Demand(cpus=cpus, gpus=gpus)
    line = only(findings.room(cluster, demand, may_grow=False), state)
    if state == "failure":
        assert "--gpus-per-run" in line
        assert "4 CPUs, 1 GPUs" in line
        waiting = only(findings.room(cluster, demand, may_grow=True), "warning")
        assert "autoscaler" in waiting
    assert only(findings.room([], demand, may_grow=False), "failure")


@pytest.mark.parametrize(
    ("off", "state", "words"),
    [
        (5.0, "ok", ""),
        (-5.0, "ok", ""),
        (312.4, "warning", "312 s ahead of"),
        (-7.0, "warning", "7 s behind"),
    ],
)
def test_a_clock_that_differs_is_a_warning(off, state, words):
    assert words in only(findings.clocks([node(1), node(2, clock_off=off)]), state)


def test_a_cluster_without_tokens_gives_one_warning():
    found = security.security([node(1, tokens=False), node(2, tokens=False)], None, [], {})
    line = only(found, "warning")
    assert "asks for no token" in line
    assert "RAY_AUTH_MODE=token" in line


@pytest.mark.parametrize(
    ("dashboard", "state"),
    [
        (None, "ok"),
        ("127.0.0.1:8265", "ok"),
        ("http://127.0.0.1:8265", "ok"),
        ("localhost:8265", "ok"),
        ("[::1]:8265", "ok"),
        ("10.0.0.1:8265", "warning"),
        ("0.0.0.0:8265", "warning"),
        ("[fe80::1]:8265", "warning"),
        ("127.example.org.evil:8265", "warning"),
    ],
)
def test_a_dashboard_open_to_the_network_is_a_warning(dashboard, state):
    line = only(security.security([node(1)], dashboard, [], {}), state)
    assert state == "ok" or dashboard in line


def test_secrets_on_the_command_line():
    environ = {
        "WANDB_API_KEY": "0123456789abcdef",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
        "RAY_AUTH_TOKEN": "f" * 64,
        "RAY_AUTH_TOKEN_PATH": "/home/me/.ray/auth_token",
        "TOKENIZERS_PARALLELISM": "parallelism",
        "DB_PASSWORD": "short",
        "HOME": "/home/me/long",
    }
    fine = ["python", "paper_grid.py", "--storage", "/home/me/long", "/home/me/.ray/auth_token", "short"]
    assert security.exposed_secrets([*fine, "parallelism"], environ) == []
    bad = [*fine, "s3://key:wJalrXUtnFEMI/K7MDENG@bucket", "f" * 64]
    assert security.exposed_secrets(bad, environ) == ["AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN"]
    found = security.security([node(1)], None, bad, environ)
    first, second = lines(found, "failure")
    assert "AWS_SECRET_ACCESS_KEY" in first
    assert not any(secret in first + second for secret in environ.values() if len(secret) > 15)


def test_a_problem_of_many_nodes_is_one_line():
    found = findings.storage([node(k, storage="does not see /x") for k in range(12)], "/x")
    (finding,) = findings.merged(found)
    assert finding.where == "nodes " + ", ".join(f"10.0.0.{k}" for k in range(8)) + " and 4 more"
    different = [node(1, storage="does not see /x"), node(2, storage="cannot write to /x (full)")]
    assert len(findings.merged(findings.storage(different, "/x"))) == 2


def test_every_failure_is_listed_and_warnings_stop_nothing(capsys):
    warning, failure = (
        Finding(check="x", where=f"node {k}", state=state, detail=f"is {state}", remedy="mend it")
        for k, state in enumerate(("warning", "failure"))
    )
    fine = Finding(check="x", where="node 9", state="ok", detail="fine")
    with printed(), expect_log("lvae.checks"):
        require([fine, warning])
    out, err = capsys.readouterr()
    assert (out, err) == ("", "warning: node 0: is warning; mend it\n")
    other = dataclasses.replace(failure, where="node 2")
    with expect_log("lvae.checks"), pytest.raises(InputError) as caught:
        require([fine, failure, warning, other])
    assert str(caught.value).splitlines() == [
        "node 1: is failure; mend it",
        "node 2: is failure; mend it",
    ]


def test_a_missing_storage_folder_is_not_made(tmp_path):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    (here / ".probe").write_bytes(b"content")
    assert node_facts.storage_trouble(str(here), ".probe", b"content", ".own") is None
    assert (here / ".own").read_bytes() == b"content"
    trouble = node_facts.storage_trouble(str(elsewhere), ".probe", b"content", ".own")
    assert trouble == f"does not see {elsewhere}"
    assert not elsewhere.exists()
    other = node_facts.storage_trouble(str(here), ".probe", b"another", ".own2")
    assert other == f"reads in {here} something else than was written"
    assert not (here / ".own2").exists()


def test_a_storage_that_cannot_be_written_or_read_is_named(tmp_path):
    (tmp_path / ".probe").write_bytes(b"content")
    trouble = node_facts.storage_trouble(str(tmp_path), ".probe", b"content", ".probe/own")
    assert trouble is not None
    assert trouble.startswith(f"cannot write to {tmp_path} (")
    trouble = node_facts.storage_trouble("nosuch://place", ".probe", b"content", ".own")
    assert trouble is not None
    assert trouble.startswith("cannot read nosuch://place (")
    assert "\n" not in trouble


def test_the_projects_digest_changes_with_every_byte_and_name(tmp_path, monkeypatch):
    for package in ("lvae_core", "sweeps"):
        (tmp_path / package / "deep").mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text("")
    inner = tmp_path / "lvae_core" / "deep" / "inner.py"
    inner.write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in [name for name in sys.modules if name.partition(".")[0] in ("lvae_core", "sweeps")]:
        monkeypatch.delitem(sys.modules, module)
    first = node_facts.project()
    assert first["place"] == f"{tmp_path}/lvae_core, {tmp_path}/sweeps"
    assert re.fullmatch("[0-9a-f]{64}", first["digest"])
    (tmp_path / "lvae_core" / "notes.txt").write_text("not source")
    assert node_facts.project() == first
    digests = {first["digest"]}
    for change in (
        lambda: inner.write_text("x = 2\n"),
        lambda: inner.rename(inner.with_name("other.py")),
        lambda: (tmp_path / "sweeps" / "more.py").write_text(""),
    ):
        change()
        digests.add(node_facts.project()["digest"])
    assert len(digests) == 4


def test_versions_match_the_imported_packages_without_importing_them():
    script = (
        "import sys; from sweeps.checks import node_facts; import json\n"
        "print(json.dumps(node_facts.versions())); node_facts.project()\n"
        "print(*sorted({'torch', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    versions, loaded = done.stdout.splitlines()
    import numpy
    import ray
    import torch

    assert loaded == ""
    for expected in (torch.__version__, numpy.__version__, ray.__version__, platform.python_version()):
        assert f'"{expected}"' in versions
    assert f'"numerics": "{NUMERICS_VERSION}"' in versions


def test_free_space_is_measured_at_the_nearest_existing_folder(tmp_path):
    stat = os.statvfs(tmp_path)
    for path in (tmp_path, tmp_path / "not" / "yet"):
        free = node_facts.free_bytes(str(path))
        assert free == pytest.approx(stat.f_bavail * stat.f_frsize, abs=2**30)
    memory = node_facts.available_memory()
    assert memory is not None
    assert 0 < memory < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_the_project_is_found_where_it_is_imported_from():
    root = Path(node_facts.__file__).parents[2]
    assert node_facts.project()["place"] == f"{root}/lvae_core, {root}/sweeps"


def test_a_node_that_leaves_during_the_preflight_stops_nothing(tmp_path, monkeypatch):
    """As a spot node does. One that stays and does not answer is a failure."""
    entries = [
        {
            "NodeID": f"id{last}",
            "Alive": True,
            "NodeManagerAddress": f"10.0.0.{last}",
            "Resources": {"CPU": 4},
        }
        for last in (1, 2, 3)
    ]

    def ask(nodes: list[Node], *_: Any, **__: Any) -> list[Node]:
        entries[2]["Alive"] = False
        silent = [dataclasses.replace(asked, no_answer="did not answer within 60 s") for asked in nodes[1:]]
        return [dataclasses.replace(nodes[0], facts=FACTS), *silent]

    monkeypatch.setattr(preflight.ray, "nodes", lambda: entries)
    monkeypatch.setattr(preflight, "_ask", ask)
    monkeypatch.setattr(preflight, "dashboard_address", lambda: None)
    monkeypatch.setattr(preflight, "_examined", {})
    monkeypatch.setattr(preflight, "_here", lambda: "id1")  # which else would start a Ray
    found = preflight.preflight(Study(str(tmp_path)), Demand(cpus=1, gpus=0, corpora={}, storage=0))
    silent = [finding for finding in found if finding.check == "nodes"]
    assert only(silent, "failure").startswith("node 10.0.0.2: did not answer within 60 s")
    assert "10.0.0.3" not in "".join(finding.line for finding in found)
    (devices,) = [finding.line for finding in found if "nodes can take a run" in finding.line]
    assert "2 of 2 nodes" in devices


def test_a_node_that_joins_after_the_preflight_is_not_among_the_examined(monkeypatch, tmp_path):
    """Probes of `--gpus-per-run auto` make an autoscaler add nodes before the first run starts."""
    present = [node(1), node(2)]
    monkeypatch.setattr(preflight, "_examined", {})
    monkeypatch.setattr(preflight, "_here", lambda: "id1")
    monkeypatch.setattr(preflight, "dashboard_address", lambda: None)
    monkeypatch.setattr(preflight, "_nodes", lambda entries: list(present))
    monkeypatch.setattr(preflight, "_ask", lambda nodes, *_, **__: list(nodes))
    monkeypatch.setattr(
        preflight, "_alive", lambda: [{"NodeID": n.id, "Resources": n.resources} for n in present]
    )
    demand = Demand(cpus=1, gpus=0.0, corpora={}, storage=0)
    preflight.preflight(Study(str(tmp_path)), demand)
    present.append(node(3))
    preflight.preflight(Study(str(tmp_path)), demand)  # of the next launch of a search
    assert preflight.examined() == ({"id1", "id2"}, node_facts.project()["digest"])
