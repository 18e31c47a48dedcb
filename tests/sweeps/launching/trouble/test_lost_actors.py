"""The number of times that a run may be lost, by cause, counted by hand."""

import errno
import pickle
from types import SimpleNamespace

import pytest
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from lvae_core.training.failures import DeviceLostError, Failure
from sweeps.launching.trouble import lost_actors
from sweeps.launching.trouble.lost_actors import Loss, LostActors, why_lost
from sweeps.launching.tune_patches import LowMemoryError

NODE = Loss("infrastructure", "its process or node was lost")
MEMORY = Loss("out_of_memory", "Ray ended it because its node ran low on memory")
CODE = Loss("code", "its process could not start: ImportError: no", "Traceback…")


def test_a_run_fails_when_it_is_lost_once_more_than_allowed():
    losses = LostActors(2)
    found = []
    for _ in range(3):
        times = losses.add("a", NODE)
        found.append((times, losses.is_next_too_many("a"), losses.failure("a")))
    message = "its process or node was lost (lost 3 times)"
    assert found == [
        (1, False, None),
        (2, True, None),
        (3, True, Failure("infrastructure", message, "")),
    ]
    assert losses.failure("b") is None


def test_each_class_of_loss_has_its_own_limit():
    losses = LostActors(1)
    losses.add("a", NODE)
    losses.add("a", CODE)
    assert losses.is_next_too_many("a")
    assert losses.failure("a") is None, "neither has been exceeded"
    losses.add("a", MEMORY)
    assert losses.failure("a") is None
    losses.add("a", CODE)
    assert losses.failure("a") == Failure("code", f"{CODE.message} (lost 2 times)", "Traceback…")


def test_losses_are_counted_per_run():
    losses = LostActors(0)
    losses.add("a", NODE)
    assert losses.failure("a") is not None
    assert losses.failure("b") is None


def test_a_run_whose_disk_is_full_names_the_file_and_the_remedy(monkeypatch):
    full = pickle.loads(pickle.dumps(OSError(errno.ENOSPC, "No space left on device", "/d/checkpoint.pt")))
    error = RayTaskError("step", "Traceback", full, pid=1, ip="127.0.0.1")
    monkeypatch.setattr(lost_actors, "latest_error", lambda trial: error)
    loss = why_lost(SimpleNamespace())
    assert (loss.kind, loss.is_storage_full) == ("infrastructure", True)
    assert loss.message == (
        "its storage failed: /d/checkpoint.pt: No space left on device; free some space on its disk"
    )


def test_a_gpu_that_has_failed_is_a_loss_that_names_it(monkeypatch):
    error = RayTaskError("step", "Traceback", DeviceLostError("GPU 3 of host7 failed (…)"), pid=1, ip="::1")
    monkeypatch.setattr(lost_actors, "latest_error", lambda trial: error)
    loss = why_lost(SimpleNamespace())
    assert (loss.kind, loss.message) == ("infrastructure", "GPU 3 of host7 failed (…)")


NO_START = RayActorError(error_msg="Traceback\nImportError: no module named gone", actor_init_failed=True)
LOST_OBJECT = ObjectLostError("ab" * 28, None, "")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (LowMemoryError(""), "out_of_memory", "Ray ended it because its node ran low on memory"),
        (NO_START, "code", "its process could not start: ImportError: no module named gone"),
        (RayTaskError("step", "Traceback", KeyError("x"), pid=1, ip="::1"), "code", "KeyError: 'x'"),
        (
            RayTaskError("step", "Traceback", LOST_OBJECT, pid=1, ip="::1"),
            "infrastructure",
            "ObjectLostError",
        ),
        (RayActorError(), "infrastructure", "its process or node was lost"),
        (None, "infrastructure", "its process or node was lost"),
    ],
)
def test_a_loss_has_the_class_of_its_cause(error, kind, message, monkeypatch):
    """Only code fails again on another node, and memory may not."""
    monkeypatch.setattr(lost_actors, "latest_error", lambda trial: error)
    loss = why_lost(SimpleNamespace())
    assert loss.kind == kind
    assert message in loss.message
