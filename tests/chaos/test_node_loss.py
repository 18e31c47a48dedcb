"""A node of a real cluster dies during a sweep and another joins: the runs move and resume."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from ..integration.nodes import cluster, process_tree
from .sweep_command import EPOCHS, RUNS, STEPS, Launch, Runs, closing, wait_until

EVERY = 10
"""Epochs between two checkpoints."""


def lose_nodes(storage: Path, scratch: Path, undisturbed_table: object, losses: int) -> list[float]:
    """Run the study on a head without runs and one node, which is lost and replaced ``losses`` times.

    Returns:
        The loss of each affected run, as a share of the interval between two checkpoints.
    """
    runs, lost = Runs(storage), []
    with cluster(head_cpus=0) as nodes:
        raylet = nodes.add(cpus=2)
        launch = Launch(
            storage,
            scratch,
            *("--address", nodes.address, "--checkpoint-epochs", str(EVERY)),
            environment=nodes.environment,
        )
        with closing(launch):
            expected: dict[str, int] = dict.fromkeys(undisturbed_table, 1)  # type: ignore[arg-type]
            for _ in range(losses):
                wait_until(
                    lambda r=raylet: any(runs.rows(n) > EVERY for n in runs_on_node(r, runs)), launch
                )
                here = runs_on_node(raylet, runs)
                rows = {name: runs.rows(name) for name in here}
                kill_node(raylet)
                raylet = nodes.add(cpus=2)
                for name in here:
                    expected[name] += 1
                    wait_until(lambda n=name: len(runs.attempts(n)) == expected[n], launch)
                    since = runs.attempts(name)[-1]["from_step"]
                    # A row follows the checkpoint of the epoch before, so all but the last row were safe.
                    assert since >= max(rows[name] - 1, 0) // EVERY * EVERY * STEPS
                    lost.append((rows[name] - since / STEPS) / EVERY)
            assert launch.wait() == 0, launch.output
            assert launch.output.count("its process or node was lost") == sum(expected.values()) - RUNS
    assert runs.table() == undisturbed_table
    assert {name: len(runs.attempts(name)) for name in runs.names()} == expected
    return lost


def runs_on_node(raylet: int, runs: Runs) -> set[str]:
    """Return the runs that processes of a node have claimed."""
    processes = process_tree(raylet)
    return {name for name, pid in runs.claims().items() if pid in processes}


def kill_node(raylet: int) -> None:
    """Kill all processes of a node at once, like a power failure."""
    for pid in process_tree(raylet):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_runs_of_a_lost_node_resume_on_another(tmp_path, scratch, undisturbed_table):
    assert EPOCHS > 2 * EVERY
    lost = lose_nodes(tmp_path, scratch, undisturbed_table, losses=1)
    assert lost
    print("lost, as shares of the interval between checkpoints:", *(f"{share:.2f}" for share in lost))


@pytest.mark.slow
def test_runs_resume_after_repeated_losses_of_their_node(tmp_path, scratch, undisturbed_table):
    lost = lose_nodes(tmp_path, scratch, undisturbed_table, losses=4)
    print("lost, as shares of the interval between checkpoints:", *(f"{share:.2f}" for share in lost))


@pytest.mark.slow
def test_after_a_driver_dies_the_next_one_can_use_the_cluster(tmp_path, scratch, undisturbed_table):
    runs = Runs(tmp_path)
    with cluster(head_cpus=2) as nodes:
        arguments = ("--address", nodes.address)
        first = Launch(tmp_path, scratch, *arguments, environment=nodes.environment)
        with closing(first):
            wait_until(lambda: any(runs.rows(name) > EVERY for name in runs.claims()), first)
            first.kill()
        second = Launch(tmp_path, scratch, *arguments, environment=nodes.environment)
        with closing(second):
            assert second.wait() == 0, second.output
    assert runs.table() == undisturbed_table
    assert list(scratch.iterdir()) == []


@pytest.mark.slow  # tests/sweeps/cluster/test_head.py has a fast test of this
def test_the_death_of_the_head_ends_the_launch_with_one_line(tmp_path, scratch, undisturbed_table):
    runs = Runs(tmp_path)
    with cluster(head_cpus=0) as nodes:
        nodes.add(cpus=2)
        first = Launch(tmp_path, scratch, "--address", nodes.address, environment=nodes.environment)
        with closing(first):
            wait_until(lambda: any(runs.rows(name) > EVERY for name in runs.claims()), first)
            kill_node(nodes.head)
            assert first.wait() == 2, first.output
        assert first.output.splitlines()[-1].startswith(
            f"error: --address {nodes.address}: its head has not"
        )
        assert len(runs.done()) < RUNS
    with cluster(head_cpus=2) as others:
        second = Launch(tmp_path, scratch, "--address", others.address, environment=others.environment)
        with closing(second):
            assert second.wait() == 0, second.output
    assert runs.table() == undisturbed_table


@pytest.mark.slow
def test_a_node_that_dies_during_a_probe_is_no_device_that_is_too_small(tmp_path, scratch):
    """The probe is made again on the other node of its kind, and its result is that of a whole node."""
    with cluster(head_cpus=0) as nodes:
        raylets = [nodes.add(cpus=2), nodes.add(cpus=2)]
        launch = Launch(
            tmp_path,
            scratch,
            *("--cpus-per-run", "auto", "--set", "max_epochs=1", "--address", nodes.address),
            grid=["--datasets", "toy", "--systems", "lstm-lm", "--settings", "standard", "--seeds", "2"],
            environment=nodes.environment,
        )
        with closing(launch):
            probing = None
            while probing is None:
                wait_until(lambda: any(map(has_probe, raylets)), launch)
                probing = next(filter(has_probe, raylets), None)
            kill_node(probing)
            assert launch.wait() == 0, launch.output
    assert launch.output.count("a node with a CPU was lost during a probe, which does not count") == 1
    assert launch.output.count("probe 1 of 1: ") == 1
    assert "2 cores" in launch.output
    assert len(Runs(tmp_path).done()) == 2


def has_probe(raylet: int) -> bool:
    """Whether a process of a node is an actor that probes."""
    for pid in process_tree(raylet):
        with contextlib.suppress(OSError):
            if b"_Actor" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
    return False
