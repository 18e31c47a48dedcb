"""A run in its actor, without Ray: what becomes of the errors that end it."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace

import pytest
import torch
from ray.exceptions import RayTaskError

from lvae_core.training.failures import DeviceLostError
from sweeps.launching import trainable
from sweeps.launching.trainable import (
    LOST_DEVICE_SECONDS,
    OTHER_CODE_SECONDS,
    OtherCodeError,
    RunTrainable,
)
from sweeps.launching.trouble import lost_actors


class Folder:
    """A run folder that keeps in memory what is written to it."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str, str]] = []

    def write_failure(self, kind: str, message: str, traceback: str, *, file: str) -> None:
        self.failures.append((kind, message, traceback))


def actor_whose_run_raises(error: Exception) -> RunTrainable:
    def work():
        raise error
        yield

    actor = object.__new__(RunTrainable)
    vars(actor).update(
        _iterator=work(), _last_report=None, _pause_after=math.inf, _metrics=None, _part=None,
        _evaluation="", _may_grow=False, _folder=Folder(), _messages=SimpleNamespace(take=list),
    )  # fmt: skip
    return actor


def test_a_gpu_that_fails_is_kept_for_a_while_and_the_run_goes_to_another(monkeypatch):
    kept: list[float] = []
    monkeypatch.setattr(trainable.time, "sleep", kept.append)
    monkeypatch.setattr(trainable.platform, "node", lambda: "host7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    actor = actor_whose_run_raises(
        torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered\nCompile with …")
    )
    with pytest.raises(DeviceLostError) as caught:
        actor.step()
    # The driver, which reads it, leaves torch unloaded.
    assert str(pickle.loads(pickle.dumps(caught.value))) == (
        "GPU 3 of host7 failed (AcceleratorError: CUDA error: uncorrectable ECC error encountered)"
    )
    assert kept == [LOST_DEVICE_SECONDS]
    assert actor._folder.failures == []


def test_an_error_of_the_run_is_recorded_and_reported(monkeypatch):
    monkeypatch.setattr(trainable.time, "sleep", lambda seconds: pytest.fail("waits"))
    actor = actor_whose_run_raises(torch.AcceleratorError("CUDA error: device-side assert triggered"))
    report = actor.step()
    assert (report["phase"], report["failure"]["class"]) == ("failed", "code")
    ((kind, message, _),) = actor._folder.failures
    assert (kind, message) == ("code", "AcceleratorError: CUDA error: device-side assert triggered")


@pytest.mark.parametrize("may_grow", [True, False])
def test_a_run_that_is_to_get_a_larger_share_of_a_gpu_has_not_failed_yet(may_grow):
    """If the launch is stopped before, the next one starts it as any other run that is left."""
    actor = actor_whose_run_raises(MemoryError())
    actor._may_grow = may_grow
    report = actor.step()
    assert (report["phase"], report["failure"]["class"]) == ("failed", "out_of_memory")
    assert len(actor._folder.failures) == (not may_grow)


def actor_on(node: str, monkeypatch: pytest.MonkeyPatch, *, digest: str) -> RunTrainable:
    """An actor on a node whose source has this digest; the launch checked node "early" and has "aa…"."""
    context = SimpleNamespace(get_node_id=lambda: node)
    monkeypatch.setattr(trainable.ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(trainable.ray.util, "get_node_ip_address", lambda: "10.0.0.7")
    monkeypatch.setattr(trainable, "project", lambda: {"digest": digest, "place": "/code/lvae_core"})
    monkeypatch.setattr(RunTrainable, "_begin", lambda self, name: self.__dict__.update(begun=name))
    monkeypatch.setattr(RunTrainable, "_advance", lambda self: {"phase": "train"})
    actor = object.__new__(RunTrainable)
    job = SimpleNamespace(nodes=frozenset({"early"}), digest="aa" * 32)
    actor.setup({"run": "a"}, job=job)  # type: ignore[arg-type]
    return actor


@pytest.mark.parametrize(("node", "digest"), [("early", "bb" * 32), ("late", "aa" * 32)])
def test_a_node_that_was_checked_or_has_the_code_of_the_launch_computes(node, digest, monkeypatch):
    actor = actor_on(node, monkeypatch, digest=digest)
    assert vars(actor)["begun"] == "a"
    assert actor.step() == {"phase": "train", "warnings": []}
    actor._messages.close()


def test_a_node_that_joins_with_other_code_is_named_at_once_and_begins_no_run(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(trainable.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(trainable.time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    actor = actor_on("late", monkeypatch, digest="bb" * 32)
    first = actor.step()
    (line,) = first["warnings"]
    assert line.startswith("node 10.0.0.7 has joined with an lvae_core and sweeps that differ from those")
    assert "(source digest bbbbbbbb in /code/lvae_core; the launch has aaaaaaaa)" in line
    assert line.endswith("; bring its checkout to the same commit, or remove the node")

    # It keeps its place for a while. Then the run is not to blame, and may go to another node.
    def keep() -> None:
        for _ in range(10_000):
            assert actor.step() == first | {"warnings": []}

    with pytest.raises(OtherCodeError) as caught:
        keep()
    assert now[0] - 100.0 >= OTHER_CODE_SECONDS
    error = RayTaskError("step", "Traceback", pickle.loads(pickle.dumps(caught.value)), pid=1, ip="::1")
    monkeypatch.setattr(lost_actors, "latest_error", lambda trial: error)
    loss = lost_actors.why_lost(SimpleNamespace())  # type: ignore[arg-type]
    assert (loss.kind, loss.message) == ("infrastructure", line)
    assert "begun" not in vars(actor)
    actor.finish()  # at Ctrl-C, it has nothing to save
    assert actor.step()["phase"] == "stopped"
    actor.cleanup()
