"""No training step of any system makes the CPU wait for a GPU.

On a CPU nothing waits, so two watchers look for what would: ``Waits`` for operations whose result the CPU
must read, and ``HostTensor`` for numbers that numpy drew on the CPU and that reach the model by another way
than ``send``. On a machine with a GPU, CUDA itself refuses to wait.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from lvae_core.data import batches
from lvae_core.data.batches import collate, send
from lvae_core.model.layers.precision import compute_in
from lvae_core.systems import SYSTEMS
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.optimisation import aggressive
from lvae_core.training.optimisation.parts import STEPS, make_learner
from lvae_core.training.optimisation.step import Moment
from lvae_core.training.runtime import Runtime

from ... import tiny
from ..runs import CORPUS

pytestmark = pytest.mark.filterwarnings("ignore:Synchronization debug mode")

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
READS = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "_unique2", "equal"}
"""Operations whose result, or its size, the CPU must have before it can go on."""
BY_INDEX = {"index", "index_put", "index_put_", "_index_put_impl_"}


class Waits(TorchDispatchMode):
    """Collects operations that would make the CPU wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in READS:
            self.seen.append(name)
        # What a mask selects has a size that only the device knows.
        if name in BY_INDEX and any(i is not None and i.dtype is torch.bool for i in args[1]):
            self.seen.append(f"{name} by a mask")
        if name == "lift_fresh" and args[0].dim() > 0:  # a single number is passed along, not copied
            self.seen.append("a tensor of Python numbers")
        return func(*args, **(kwargs or {}))


class HostTensor(torch.Tensor):
    """A tensor that would lie on the CPU while the model is on a GPU; it notes how it gets there."""

    seen: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.Tensor.to, torch.Tensor.copy_):
            moves = any(
                isinstance(a, str | torch.device | torch.Tensor) for a in (*args[1:], *kwargs.values())
            )
            if moves and not kwargs.get("non_blocking"):
                cls.seen.append(f"{func.__name__} waits for a copy")
            if moves:
                return func(*map(plain, args), **kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            given = [a for a in args if isinstance(a, torch.Tensor) and a.dim() > 0]
        if func is not torch.Tensor.__getitem__ and any(not isinstance(a, HostTensor) for a in given):
            cls.seen.append(f"{func.__name__} mixes CPU and GPU")
        return super().__torch_function__(func, types, args, kwargs)


def plain(value: Any) -> Any:
    with torch._C.DisableTorchFunctionSubclass():
        return value.as_subclass(torch.Tensor) if isinstance(value, HostTensor) else value


@contextmanager
def watched() -> Iterator[list[str]]:
    """Let what numpy makes lie on the host, and the rest on the device; yield what would wait."""
    from_numpy, make_batch = torch.from_numpy, batches.make_batch

    def on_host(array: np.ndarray) -> torch.Tensor:
        with _disable_current_modes():
            return from_numpy(array).as_subclass(HostTensor)

    def make(words: torch.Tensor, lengths: torch.Tensor, indices: np.ndarray) -> batches.Batch:
        with _disable_current_modes():  # all of its work is on the CPU
            made = make_batch(plain(words), plain(lengths), indices)
        parts = (part.as_subclass(HostTensor) for part in (made.words, made.lengths, made.positions))
        return batches.Batch(*parts, indices)

    with (
        Waits() as waits,
        mock.patch.object(torch, "from_numpy", on_host),
        mock.patch.object(batches, "make_batch", make),
    ):
        HostTensor.seen = waits.seen
        yield waits.seen


def take_steps(system: str, setting: str, precision: str, device: str) -> list[str]:
    """Take one step to set everything up and return what would wait in the second, batches included."""
    cnn = {"cnn_channels": 4, "cnn_external": 7, "cnn_dilations": "1,2"} if system.startswith("cnn") else {}
    config = tiny.config(system, setting=setting, batch_size=4, **cnn)
    set_arithmetic(config, Runtime(device=device))
    learner = make_learner(config, CORPUS, device)
    compute_in(learner.model, precision)
    step, memory = STEPS[config.step](), dict[str, Any]()

    def take(number: int) -> None:
        batch = collate(CORPUS.train, np.arange(4)).to(device)
        step.take(learner, batch, Moment(number, 0.5, 0.1), memory)

    take(0)
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
        try:
            take(1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return []
    with watched() as seen:
        take(1)
    return seen


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch):
    monkeypatch.setattr("lvae_core.model.layers.softmax.READING_SYNCS", {"cpu": True, "cuda": True})


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("setting", tiny.SETTINGS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_step_of_any_system_never_waits_for_the_device(system, setting, precision, device, monkeypatch):
    monkeypatch.setattr(aggressive, "MAX_UPDATES", 3)  # fewer than it takes to look at their mean loss
    assert take_steps(system, setting, precision, device) == []


def test_an_aggressive_step_reads_its_loss_once_per_fifteen_updates(monkeypatch):
    monkeypatch.setattr(aggressive, "MAX_UPDATES", 2 * aggressive.CHECK_EVERY - 1)
    assert take_steps("lstm-vae-ain", "standard", "float32", "cpu") == ["_local_scalar_dense"]


@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        (lambda x: float(x.sum()), "_local_scalar_dense"),
        (lambda x: x.nonzero(), "nonzero"),
        (lambda x: x[x > 0], "index by a mask"),
        (lambda x: x.masked_fill_(x > 0, 1.0).index_put_((x > 0,), x[0]), "index_put_ by a mask"),
        (lambda x: x + torch.tensor([1.0, 2.0]), "a tensor of Python numbers"),
        (lambda x: x + x.new_tensor([1.0, 2.0]), "a tensor of Python numbers"),
        (lambda x: torch.from_numpy(np.ones(2, np.float32)).to(x), "to waits for a copy"),
        (lambda x: torch.from_numpy(np.ones(2)).to("cpu"), "to waits for a copy"),
        (lambda x: x + torch.from_numpy(np.ones(2, np.float32)), "add mixes CPU and GPU"),
    ],
)
def test_the_watchers_see_what_waits(wait, expected):
    with watched() as seen:
        wait(torch.ones(2))
    assert expected in seen


def test_the_watchers_pass_a_copy_that_does_not_wait():
    with watched() as seen:
        x = torch.ones(2) + send(torch.from_numpy(np.ones((3, 2)))[1].float(), "cpu")
    assert not isinstance(x, HostTensor)
    assert seen == []
