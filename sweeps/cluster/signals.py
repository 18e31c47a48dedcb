"""Signals that must not take effect while something is done that cannot be done in halves."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any] | signal.Handlers


@contextlib.contextmanager
def _handlers(replacements: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Replace handlers in the ``with`` block, if this is the main thread; no other thread can."""
    is_main = threading.current_thread() is threading.main_thread()
    before = {n: signal.signal(n, handler) for n, handler in replacements.items()} if is_main else {}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def hangup_ignored() -> AbstractContextManager[None]:
    """Let processes that are started in the ``with`` block survive the end of the terminal.

    The launch itself handles it: its runs save their state before it stops Ray.
    """
    return _handlers({signal.SIGHUP: signal.SIG_IGN})


@contextlib.contextmanager
def signals_deferred(seconds: float = math.inf) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP take effect at the end of the ``with`` block.

    Args:
        seconds: after these, a signal takes effect at once.
    """
    came: list[int] = []
    end = time.monotonic() + seconds
    former = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def handle(number: int, frame: FrameType | None) -> None:
        handler = former[signal.Signals(number)]
        if time.monotonic() > end and callable(handler):
            handler(number, frame)
        else:
            came.append(number)

    try:
        with _handlers({n: handle for n, handler in former.items() if callable(handler)}):
            yield
    finally:
        for number in came:
            signal.raise_signal(number)
