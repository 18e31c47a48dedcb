"""Make a summary again whenever its runs have changed, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from analysis.reading.collect import Runs
from lvae_core.errors import InputError

Read = Callable[[], list[Runs]]


def watch_runs(
    read: Read, make: Callable[[list[Runs]], None], finish: Callable[[], None], seconds: float
) -> None:
    """Read and make, again and again; returns after Ctrl-C.

    What goes wrong later than the first time is told in a line, and tried again: a store may be away for a
    while.

    Args:
        read: all runs, of one study or more.
        make: the summary; called where a run has changed.
        finish: called once at the end if anything was made.
        seconds: between two looks.
    """
    before: list[Runs] = []
    asked = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        # What is raised in the midst of a library may be lost there; that it was asked for is not.
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    usual = signal.signal(signal.SIGINT, interrupt)
    try:
        while not asked:
            try:
                runs = read()
                if not before or any(
                    not now.frame.equals(then.frame) for now, then in zip(runs, before, strict=True)
                ):
                    make(runs)
                    before = runs
            except (InputError, OSError) as error:
                if not before:
                    raise
                print(f"{_now()}  {error}; trying again", file=sys.stderr)
            if not asked:
                time.sleep(seconds)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGINT, usual)
    if before:
        finish()
    print(f"{_now()}  stopped watching", file=sys.stderr)


def status_line(runs: list[Runs], path: str) -> str:
    """One line on what there is now."""
    counts = runs[0].frame["status"].value_counts() if len(runs) == 1 else None
    told = "" if counts is None else ", ".join(f"{n} {status}" for status, n in counts.items()) + ": "
    return f"{_now()}  {told}{path}"


def _now() -> str:
    return time.strftime("%H:%M:%S")
