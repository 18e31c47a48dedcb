"""Show how long something has been going on that has no other sign of life."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sweeps.launching.progress.display import console, unless_quiet
from sweeps.planning.times.durations import format_duration

LINE_SECONDS = 30.0
"""Seconds between lines if there is no terminal."""


@contextlib.contextmanager
def elapsed_shown(
    what: str, say: Callable[[str], None], out: Console | None = None, line_seconds: float = LINE_SECONDS
) -> Iterator[None]:
    """Show ``what`` with the time that has passed in the ``with`` block.

    A terminal shows them anew each second; otherwise there is a line now and then.

    Args:
        what: is going on.
        say: prints a line.
        out: where it is shown; by default standard output, unless the command is quiet.
        line_seconds: between two lines.
    """
    out = out or unless_quiet(console())
    began, over = time.monotonic(), threading.Event()

    def text() -> str:
        return f"{what}: {format_duration(time.monotonic() - began)}"

    def say_lines() -> None:
        while not over.wait(line_seconds):
            say(f"still {text()}")

    if out.is_terminal and not out.quiet:
        with Live(
            console=out,
            get_renderable=lambda: Text(text(), style="dim"),
            refresh_per_second=1,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield
        return
    thread = threading.Thread(target=say_lines, daemon=True, name="elapsed")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
