"""Repeat a summary whenever its runs have changed, until Ctrl-C."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable

from analysis.reading.collect import Runs
from analysis.reading.sources import NoRunYetError
from lvae_core.command import Interrupt
from lvae_core.errors import InputError
from lvae_core.messages import notice

Read = Callable[[], list[Runs]]


def watch_runs(
    read: Read, make: Callable[[list[Runs]], None], finish: Callable[[], None], seconds: float
) -> None:
    """Read the runs again and again, and make the summary when they have changed; returns after Ctrl-C.

    An error of the first reading is raised, unless a sweep is about to begin its first run. A later one is
    printed and the reading is repeated, because a store may be out of reach for a while.

    Args:
        read: reads all runs, of one study or more.
        make: makes the summary.
        finish: called once at the end if a summary was made.
        seconds: the pause between two readings.
    """
    before: list[Runs] = []
    waits = False
    # A library may swallow KeyboardInterrupt; the request stays.
    with contextlib.suppress(KeyboardInterrupt), Interrupt(raises_at_once=True) as interrupt:
        while not interrupt.requested:
            try:
                runs = read()
                if not before or any(
                    not now.frame.equals(then.frame) for now, then in zip(runs, before, strict=True)
                ):
                    make(runs)
                    before = runs
            except NoRunYetError:
                if not waits:
                    notice(f"{_now()}  waiting for the first run")
                waits = True
            except (InputError, OSError) as error:
                if not before:
                    raise
                print(f"{_now()}  {error}; trying again", file=sys.stderr)
            if not interrupt.requested:
                time.sleep(seconds)
    if before:
        finish()
    notice(f"{_now()}  stopped watching")


def status_line(runs: list[Runs], path: str) -> str:
    """Time, number of runs by status (of a single study) and path of the page, in one line."""
    counts = runs[0].frame["status"].value_counts() if len(runs) == 1 else None
    by_status = "" if counts is None else ", ".join(f"{n} {status}" for status, n in counts.items()) + ": "
    return f"{_now()}  {by_status}{path}"


def _now() -> str:
    return time.strftime("%H:%M:%S")
