"""The preflight on real clusters of several nodes: what is wrong with one is found, and nothing starts."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .nodes import ROOT, Cluster, alive, cluster, until

DOCTOR = ROOT / "sweeps" / "doctor.py"
GRID = ROOT / "sweeps" / "paper_grid.py"
TOY = [
    *("--datasets", "toy", "--systems", "lstm-lm", "--settings", "standard", "--seeds", "1"),
    *("--set", "max_epochs=1"),
]


def another_checkout(folder: Path) -> Path:
    """The packages of this checkout, one line of them changed."""
    for package in ("lvae_core", "sweeps"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "lvae_core" / "training" / "trainer.py").open("a") as file:
        file.write("# changed\n")
    return folder


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory) -> Iterator[tuple[Cluster, int]]:
    """A head, and a node of two cores with another checkout and another working directory; its raylet."""
    with cluster() as nodes:
        folder = tmp_path_factory.mktemp("another")
        raylet = nodes.add(
            cpus=2, cwd=folder, environment={"PYTHONPATH": str(another_checkout(folder / "code"))}
        )
        yield nodes, raylet


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("error: ")]


def told(done: subprocess.CompletedProcess[str], check: str, column: int = 3) -> str:
    """A column of what the doctor's table says of a check; blanks are left out, for it folds anywhere."""
    text, on = "", False
    for line in done.stdout.splitlines():
        if "│" in line:
            cells = line.strip("│").split("│")
            on = cells[0].strip() == check if cells[0].strip() else on
            text += cells[column] if on else ""
    return "".join(text.split())


def says(done: subprocess.CompletedProcess[str], check: str, words: str) -> bool:
    """Whether the doctor's table has it."""
    return "".join(words.split()) in told(done, check)


def is_fine(done: subprocess.CompletedProcess[str], check: str) -> bool:
    """Whether the doctor's table has nothing but ok for a check."""
    return set(told(done, check, 2).split("ok")) == {""}


@pytest.mark.parametrize("tokens", [{"RAY_AUTH_TOKEN": "0" * 64}, {}], ids=["another", "none"])
def test_who_has_not_the_token_is_told_so_in_one_line(two_nodes, tokens, tmp_path):
    nodes, _ = two_nodes
    kept = {name: value for name, value in nodes.environment.items() if name != "RAY_AUTH_TOKEN"}
    done = subprocess.run(
        [sys.executable, str(GRID), *TOY, "--address", nodes.address],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        env={**kept, **tokens, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: --address {nodes.address}: does not let us in; ")
    assert not list(tmp_path.rglob("config.json"))


def test_a_node_with_another_checkout_stops_the_launch(two_nodes, tmp_path):
    nodes, _ = two_nodes
    done = nodes.run(GRID, *TOY, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = errors(done)
    assert re.match(r"error: node \S+ \([0-9a-f]{8}\): not the lvae_core and sweeps of here \(source", line)
    assert line.endswith("; bring its checkout to the same commit")
    assert "Traceback" not in done.stdout + done.stderr
    # Nothing was scheduled, and the probes are gone.
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_node_that_does_not_see_the_storage_is_named(two_nodes, tmp_path):
    nodes, _ = two_nodes
    # This path leads every process into its own working directory: the driver's, the node's.
    storage = "/proc/self/cwd/results"
    done = nodes.run(DOCTOR, "--storage", storage, "--cpus-per-run", "2", cwd=tmp_path)
    assert done.returncode == 2
    assert says(done, "storage", f"does not see {storage}; give a --storage that all nodes share")
    assert told(done, "storage", 2) == "failure"
    assert says(done, "devices", "1 of 2 nodes can take a run of 2 CPUs")
    assert "mend what has failed, then: python sweeps/doctor.py --storage" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_silent_node_is_named_and_the_others_are_examined(two_nodes, tmp_path):
    nodes, raylet = two_nodes
    os.kill(raylet, signal.SIGSTOP)
    try:
        done = nodes.run(DOCTOR, "--datasets", "toy", "--timeout", "5", cwd=tmp_path)
    finally:
        os.kill(raylet, signal.SIGCONT)
    assert done.returncode == 2
    assert told(done, "nodes", 2) == "failure"
    assert says(done, "nodes", "did not answer within 5 s; see `ray status`")
    for check in ("storage", "versions", "disk", "clock", "security"):
        assert is_fine(done, check), check
    assert says(done, "security", "tokens asked for")
    assert list(tmp_path.iterdir()) == []


def test_no_node_has_room_for_a_run(two_nodes, tmp_path):
    nodes, _ = two_nodes
    # Three cores in all, but no more than two on one node.
    done = nodes.run(DOCTOR, "--cpus-per-run", "3", cwd=tmp_path)
    assert done.returncode == 2
    assert told(done, "devices", 2) == "failure"
    assert says(done, "devices", "no node can take a run of 3 CPUs and 0 GPUs")
    assert says(done, "devices", "the most are 2 CPUs, 0 GPUs")


def test_a_ray_of_its_own_leaves_nothing_behind(tmp_path):
    # Session folders and sockets of its own Ray, short enough for Ray.
    scratch = Path(f"/tmp/lvae-{os.getpid()}")
    scratch.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, str(DOCTOR), "--datasets", "toy", "--study", "new"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
            env={**environment, "RAY_TMPDIR": str(scratch)},
        )  # fmt: skip
        assert list(scratch.iterdir()) == []
    finally:
        shutil.rmtree(scratch)
    assert (done.returncode, done.stderr) == (0, "")
    for check in ("runs", "devices", "nodes", "storage", "versions", "data", "disk", "clock", "security"):
        assert is_fine(done, check), check
    assert done.stdout.splitlines()[-1] == "next: python sweeps/paper_grid.py --study new --datasets toy"
    assert list(tmp_path.iterdir()) == []
    ours = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if str(scratch).encode() in _read(path)
    ]
    assert ours == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def namespaced(script: str, *arguments: str) -> list[str]:
    """A command that has mounts of its own, as another machine has, before it becomes Ray."""
    inside = f'{script} && exec "$@"'
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    prefix = ["unshare", "--mount", *root, "sh", "-c", inside, "sh"]
    try:
        subprocess.run([*prefix, *(arguments or ("true",))], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounts of one's own are not allowed here: {error}")
    return prefix


def as_seen_by(pid: int, path: Path) -> Path:
    """A path as a process with mounts of its own finds it."""
    return Path(f"/proc/{pid}/root{path}")


@pytest.mark.slow
def test_machines_that_share_nothing_or_may_only_read(tmp_path):
    share = tmp_path / "share"
    share.mkdir()
    alone = namespaced(f"mount -t tmpfs none {share}")
    reads = namespaced(f"mount --bind {share} {share} && mount -o remount,ro,bind {share}")
    with cluster() as nodes:
        raylet = nodes.add(inside=alone)
        nodes.add(inside=reads)
        done = nodes.run(DOCTOR, "--storage", str(share), "--study", "s", cwd=tmp_path)
        assert done.returncode == 2
        assert says(done, "storage", f"does not see {share}/s")
        assert says(done, "storage", f"cannot write to {share}/s (Read-only file system)")
        assert says(done, "nodes", "answered: 3")
        assert list(share.iterdir()) == []
        assert list(as_seen_by(raylet, share).iterdir()) == []


@pytest.mark.slow
def test_files_that_stay_on_the_node(tmp_path):
    # The node reads what the driver writes, but its own files go to a layer of its own.
    share, layer = tmp_path / "share", tmp_path / "layer"
    for folder in (share, layer):
        folder.mkdir()
    mount = (
        f"mount -t tmpfs none {layer} && mkdir {layer}/up {layer}/work && "
        f"mount -t overlay overlay -o lowerdir={share},upperdir={layer}/up,workdir={layer}/work {share}"
    )
    inside = namespaced(mount)
    with cluster() as nodes:
        raylet = nodes.add(inside=inside)
        done = nodes.run(DOCTOR, "--storage", str(share), cwd=tmp_path)
        assert done.returncode == 2
        assert says(done, "storage", f"writes to {share} what this machine does not see there")
        assert list(as_seen_by(raylet, share).iterdir()) == []


@pytest.mark.slow
def test_a_node_that_has_died_is_no_more_of_the_cluster_or_is_named(two_nodes, tmp_path):
    nodes, raylet = two_nodes
    os.kill(raylet, signal.SIGKILL)
    assert until(lambda: not alive(raylet), seconds=20)
    done = nodes.run(DOCTOR, "--timeout", "60", cwd=tmp_path)
    if done.returncode == 2:  # Ray has not noticed yet
        assert says(done, "nodes", "left the cluster") or says(done, "nodes", "did not answer")
        done = nodes.run(DOCTOR, "--timeout", "60", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert says(done, "nodes", "answered: 1")


@pytest.mark.slow
def test_the_same_code_and_storage_everywhere_goes_through(tmp_path):
    with cluster() as nodes:
        nodes.add()
        done = nodes.run(GRID, *TOY, "--seeds", "2", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(list(tmp_path.rglob("result.json"))) == 2
        assert list(tmp_path.rglob(".probe*")) == []
