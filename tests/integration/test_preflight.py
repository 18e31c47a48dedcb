"""The preflight on real clusters of several nodes: a problem of one node is found, and no run starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..commands import python
from .nodes import ROOT, Cluster, cluster, is_alive, wait_until

pytestmark = pytest.mark.slow  # tests/sweeps/checks/test_preflight.py has fast tests of every check

DOCTOR = ROOT / "sweeps" / "doctor.py"
GRID = ROOT / "sweeps" / "paper_grid.py"
WITHOUT_SEEDS = [
    "--datasets",
    "toy",
    "--systems",
    "lstm-lm",
    "--settings",
    "standard",
    "--set",
    "max_epochs=1",
]
TOY = [*WITHOUT_SEEDS, "--seeds", "1"]


def changed_checkout(folder: Path) -> Path:
    """Copy the packages of this checkout and change one line."""
    for package in ("lvae_core", "sweeps"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "lvae_core" / "training" / "trainer.py").open("a") as file:
        file.write("# changed\n")
    return folder


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory) -> Iterator[tuple[Cluster, int]]:
    """A head, a node with two cores, another checkout and working directory, and that node's raylet."""
    with cluster() as nodes:
        folder = tmp_path_factory.mktemp("another")
        raylet = nodes.add(
            cpus=2, cwd=folder, environment={"PYTHONPATH": str(changed_checkout(folder / "code"))}
        )
        yield nodes, raylet


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("error: ")]


def table_text(done: subprocess.CompletedProcess[str], check: str, column: int = 3) -> str:
    """Return a column of the doctor's table for a check, without blanks: the table wraps anywhere."""
    text, in_check = "", False
    for line in done.stdout.splitlines():
        if "│" in line:
            cells = line.strip("│").split("│")
            in_check = cells[0].strip() == check if cells[0].strip() else in_check
            text += cells[column] if in_check else ""
    return "".join(text.split())


def table_has(done: subprocess.CompletedProcess[str], check: str, words: str) -> bool:
    """Whether the doctor's table has these words for a check."""
    return "".join(words.split()) in table_text(done, check)


def is_fine(done: subprocess.CompletedProcess[str], check: str) -> bool:
    """Whether the doctor's table has only "ok" for a check."""
    return set(table_text(done, check, 2).split("ok")) == {""}


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param({"RAY_AUTH_TOKEN": "0" * 64}, id="another"),
        pytest.param({}, id="none"),
    ],
)
def test_a_launch_without_the_right_token_is_refused_in_one_line(two_nodes, tokens, tmp_path):
    nodes, _ = two_nodes
    kept = {name: value for name, value in nodes.environment.items() if name != "RAY_AUTH_TOKEN"}
    done = subprocess.run(
        [sys.executable, str(GRID), *TOY, "--address", nodes.address],
        capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path,
        env={**kept, **tokens, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: --address {nodes.address}: Ray refuses the connection; ")
    assert not list(tmp_path.rglob("config.json"))


def test_a_node_with_another_checkout_stops_the_launch(two_nodes, tmp_path):
    nodes, _ = two_nodes
    done = nodes.run(GRID, *TOY, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = errors(done)
    assert re.match(
        r"error: node \S+ \([0-9a-f]{8}\): its lvae_core and sweeps differ from those here \(source", line
    )
    assert line.endswith("; bring its checkout to the same commit")
    assert "Traceback" not in done.stdout + done.stderr
    # Nothing was scheduled, and the probe files were removed.
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_node_that_does_not_see_the_storage_is_named(two_nodes, tmp_path):
    nodes, _ = two_nodes
    # This path means a different folder for each process: its working directory.
    storage = "/proc/self/cwd/results"
    done = nodes.run(DOCTOR, "--storage", storage, "--cpus-per-run", "2", cwd=tmp_path)
    assert done.returncode == 2
    assert table_has(done, "storage", f"does not see {storage}; give a --storage that all nodes share")
    assert table_text(done, "storage", 2) == "failure"
    assert table_has(done, "devices", "1 of 2 nodes can take a run of 2 CPUs")
    assert f"fix what has failed, then: python {DOCTOR} --storage" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_silent_node_is_named_and_the_others_are_examined(two_nodes, tmp_path):
    nodes, raylet = two_nodes
    os.kill(raylet, signal.SIGSTOP)
    try:
        done = nodes.run(DOCTOR, "--datasets", "toy", "--timeout", "5", cwd=tmp_path)
    finally:
        os.kill(raylet, signal.SIGCONT)
    assert done.returncode == 2
    assert table_text(done, "nodes", 2) == "failure"
    assert table_has(done, "nodes", "did not answer within 5 s; see `ray status`")
    for check in ("storage", "versions", "disk", "clock", "security"):
        assert is_fine(done, check), check
    assert table_has(done, "security", "tokens required")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_too_large_for_every_node_is_a_failure(two_nodes, tmp_path):
    nodes, _ = two_nodes
    # There are three cores in total, but at most two on one node.
    done = nodes.run(DOCTOR, "--cpus-per-run", "3", cwd=tmp_path)
    assert done.returncode == 2
    assert table_text(done, "devices", 2) == "failure"
    assert table_has(done, "devices", "no node can take a run of 3 CPUs and 0 GPUs")
    assert table_has(done, "devices", "the most on any node: 2 CPUs, 0 GPUs")


def test_the_doctors_local_ray_leaves_nothing_behind(tmp_path):
    # A folder for Ray's sessions, because its sockets need short paths.
    scratch = Path(tempfile.mkdtemp(prefix="lvae-", dir="/tmp"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [*python(), str(DOCTOR), "--datasets", "toy", "--study", "new"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path,
            env={**environment, "RAY_TMPDIR": str(scratch)},
        )  # fmt: skip
        assert list(scratch.iterdir()) == []
    finally:
        shutil.rmtree(scratch)
    assert (done.returncode, done.stderr) == (0, "")
    for check in ("runs", "devices", "nodes", "storage", "versions", "data", "disk", "clock", "security"):
        assert is_fine(done, check), check
    assert done.stdout.splitlines()[-1] == f"next: python {GRID} --study new --datasets toy"
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


def in_mount_namespace(script: str, *arguments: str) -> list[str]:
    """Return a command prefix that gives a process separate mounts, like another machine."""
    inside = f'{script} && exec "$@"'
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    prefix = ["unshare", "--mount", *root, "sh", "-c", inside, "sh"]
    try:
        subprocess.run([*prefix, *(arguments or ("true",))], check=True, capture_output=True, timeout=240)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mount namespaces are not allowed here: {error}")
    return prefix


def as_seen_by(pid: int, path: Path) -> Path:
    """Return a path as a process in another mount namespace sees it."""
    return Path(f"/proc/{pid}/root{path}")


def test_nodes_that_do_not_share_the_storage_or_cannot_write_to_it_are_named(tmp_path):
    share = tmp_path / "share"
    share.mkdir()
    without_share = in_mount_namespace(f"mount -t tmpfs none {share}")
    read_only = in_mount_namespace(f"mount --bind {share} {share} && mount -o remount,ro,bind {share}")
    with cluster() as nodes:
        raylet = nodes.add(inside=without_share)
        nodes.add(inside=read_only)
        done = nodes.run(DOCTOR, "--storage", str(share), "--study", "s", cwd=tmp_path)
        assert done.returncode == 2
        assert table_has(done, "storage", f"does not see {share}/s")
        assert table_has(done, "storage", f"cannot write to {share}/s (Read-only file system)")
        assert table_has(done, "nodes", "answered: 3")
        assert list(share.iterdir()) == []
        assert list(as_seen_by(raylet, share).iterdir()) == []


def test_a_node_whose_files_stay_on_the_node_is_named(tmp_path):
    # The node reads the driver's files, but writes to a separate overlay layer.
    share, layer = tmp_path / "share", tmp_path / "layer"
    for folder in (share, layer):
        folder.mkdir()
    mount = (
        f"mount -t tmpfs none {layer} && mkdir {layer}/up {layer}/work && "
        f"mount -t overlay overlay -o lowerdir={share},upperdir={layer}/up,workdir={layer}/work {share}"
    )
    inside = in_mount_namespace(mount)
    with cluster() as nodes:
        raylet = nodes.add(inside=inside)
        done = nodes.run(DOCTOR, "--storage", str(share), cwd=tmp_path)
        assert done.returncode == 2
        assert table_has(done, "storage", f"writes to {share}, but this machine does not see the file")
        assert list(as_seen_by(raylet, share).iterdir()) == []


def test_a_dead_node_is_named_until_ray_removes_it_from_the_cluster(two_nodes, tmp_path):
    nodes, raylet = two_nodes
    os.kill(raylet, signal.SIGKILL)
    assert wait_until(lambda: not is_alive(raylet))
    done = nodes.run(DOCTOR, "--timeout", "60", cwd=tmp_path)
    if done.returncode == 2:  # Ray has not noticed yet
        assert table_has(done, "nodes", "left the cluster") or table_has(done, "nodes", "did not answer")
        done = nodes.run(DOCTOR, "--timeout", "60", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert table_has(done, "nodes", "answered: 1")


def test_a_sweep_runs_if_all_nodes_have_the_same_code_and_storage(tmp_path):
    with cluster() as nodes:
        nodes.add()
        done = nodes.run(GRID, *WITHOUT_SEEDS, "--seeds", "2", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(list(tmp_path.rglob("result.json"))) == 2
        assert list(tmp_path.rglob(".probe*")) == []


def test_a_node_whose_gpus_only_ray_knows_of_is_named(tmp_path):
    """Ray counts what it is told; the torch of this machine says why it cannot use any of it."""
    with cluster() as nodes:
        nodes.add(cpus=2, gpus=2)
        done = nodes.run(DOCTOR, "--gpus-per-run", "1", cwd=tmp_path)
        assert done.returncode == 2, done.stdout
        assert table_has(done, "GPUs", "torch cannot use its GPUs")
        done = nodes.run(DOCTOR, cwd=tmp_path)
        assert done.returncode == 0, done.stdout


def test_a_node_that_joins_with_other_code_is_named_and_computes_nothing(tmp_path):
    """The user removes it, as the line says, and its run goes to the others."""
    output = tmp_path / "output"
    seconds = ["--seeds", "3", "--set", "max_epochs=300", "patience=300"]  # of a run, at least ten
    with cluster(head_cpus=1) as nodes, output.open("w") as out:
        command = [sys.executable, str(GRID), *WITHOUT_SEEDS[:-2], *seconds, "--address", nodes.address]
        launch = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=tmp_path, env=nodes.environment
        )
        try:
            assert wait_until(lambda: any((tmp_path / "runs").rglob("metrics.jsonl")))
            code = changed_checkout(tmp_path / "code")
            raylet = nodes.add(cpus=1, cwd=tmp_path / "code", environment={"PYTHONPATH": str(code)})
            assert wait_until(lambda: "has joined with" in output.read_text() or launch.poll() is not None)
            os.kill(raylet, signal.SIGKILL)
            assert launch.wait(240) == 0, output.read_text()
        finally:
            launch.kill()
            launch.wait()
    lines = [line for line in output.read_text().splitlines() if "has joined with" in line]
    assert len(lines) == 1, output.read_text()
    assert lines[0].endswith("; bring its checkout to the same commit, or remove the node")
    provenances = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("provenance.json")]
    assert [len(provenance["attempts"]) for provenance in provenances] == [1, 1, 1]
