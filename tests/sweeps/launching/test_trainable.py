"""A run in its actor, without Ray: what becomes of the errors that end it."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace

import pytest
import torch

from lvae_core.training.failures import DeviceLostError
from sweeps.launching import trainable
from sweeps.launching.trainable import LOST_DEVICE_SECONDS, RunTrainable


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
        _evaluation="", _folder=Folder(), _messages=SimpleNamespace(take=list),
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
