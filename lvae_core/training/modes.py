"""Keep torch's modes of a run apart from those of the program around it.

A notebook may compute in float64, under autocast or without gradients, and may allow TF32. A run counts on
the modes of a fresh process and sets some of them. Each side finds its own again when it continues.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple, TypeVar

import torch

from lvae_core.training.arithmetic import float32_operations

T = TypeVar("T")


class _Switch(NamedTuple):
    """A setting of the whole process."""

    read: Callable[[], Any]
    write: Callable[[Any], object]

    @staticmethod
    def of(place: Any, name: str) -> _Switch:
        return _Switch(functools.partial(getattr, place, name), functools.partial(setattr, place, name))

    def value(self) -> Any:
        """The value; None if torch has no such switch, or newer ones contradict it (from torch 2.9 on)."""
        try:
            return self.read()
        except (AttributeError, RuntimeError):
            return None


def _switches() -> tuple[_Switch, ...]:
    """Those that a run sets or counts on. If one changes another, the other one comes later."""
    backends, cuda = torch.backends, torch.backends.cuda.matmul
    return (
        _Switch(torch.get_default_dtype, torch.set_default_dtype),
        _Switch(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
        _Switch.of(torch.utils.deterministic, "fill_uninitialized_memory"),
        _Switch.of(cuda, "allow_bf16_reduced_precision_reduction"),
        _Switch(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        _Switch.of(cuda, "allow_tf32"),
        _Switch.of(backends.cudnn, "allow_tf32"),
        *(_Switch.of(operation, "fp32_precision") for operation in float32_operations()),
    )


_SWITCHES = _switches()


def _read() -> list[Any]:
    return [switch.value() for switch in _SWITCHES]


def _write(values: list[Any]) -> None:
    for switch, value in zip(_SWITCHES, values, strict=True):
        if value is not None and switch.value() != value:
            switch.write(value)


class _Around:
    """The settings of the program around the runs, while at least one thread computes in those of a run."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.values: list[Any] = []


_around = _Around()


class Modes:
    """The modes of one run, from one :meth:`own` block to the next."""

    def __init__(self) -> None:
        self._values: list[Any] | None = None
        self._threads: int | None = None

    @contextlib.contextmanager
    def own(self) -> Iterator[None]:
        """Compute in the modes of the run: in those of a fresh process, and later in what the run has set.

        After the block the modes are the caller's again. While another thread is in such a block, the
        settings of the process stay those of the runs.
        """
        threads = torch.get_num_threads()
        with contextlib.ExitStack() as stack:
            for mode in _modes_of_the_thread():
                stack.enter_context(mode)
            with _around.lock:
                if _around.inside == 0:
                    _around.values = _read()
                _around.inside += 1
                if self._values:
                    _write(self._values)
                else:
                    torch.set_default_dtype(torch.float32)
            _set_threads(self._threads or threads)
            try:
                yield
            finally:
                self._threads = torch.get_num_threads()
                _set_threads(threads)
                with _around.lock:
                    self._values = _read()
                    _around.inside -= 1
                    if _around.inside == 0:
                        _write(_around.values)


def in_own_modes(start: Callable[[], Generator[T, None, None]]) -> Generator[T, None, None]:
    """Iterate over ``start()`` in its own :class:`Modes`; at each yield the caller has its modes back."""
    modes = Modes()
    with modes.own():
        work = start()
    try:
        while True:
            with modes.own():
                try:
                    item = next(work)
                except StopIteration:
                    return
            yield item
    finally:
        with modes.own():
            work.close()


def _modes_of_the_thread() -> Iterator[contextlib.AbstractContextManager[Any]]:
    """Undo those that the caller may be in; a mode that is entered slows every call of torch inside it."""
    if torch.is_inference_mode_enabled():
        yield torch.inference_mode(False)
    if not torch.is_grad_enabled():
        yield torch.enable_grad()
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            yield torch.autocast(device, enabled=False)
    if torch.get_default_device().type != "cpu":
        yield torch.device("cpu")


def _set_threads(count: int) -> None:
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
