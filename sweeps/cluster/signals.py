"""Signals that must not take effect while something is done that cannot be done in halves."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def hangup_ignored() -> Iterator[None]:
    """Let processes that are started in the ``with`` block survive the end of the terminal.

    The launch itself handles it: its runs save their state before it stops Ray.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextlib.contextmanager
def signals_deferred() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP take effect at the end of the ``with`` block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handled = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if callable(signal.getsignal(n))]
    before = {n: signal.signal(n, lambda number, frame: came.append(number)) for n in handled}
    try:
        yield
    finally:
        for handled_one, former in before.items():
            signal.signal(handled_one, former)
        for number in came:
            signal.raise_signal(number)
