"""While something is going on, a terminal shows the seconds; a file gets a line now and then."""

from __future__ import annotations

import io
import threading

from rich.console import Console

from sweeps.launching.progress.elapsed import elapsed_shown


def test_a_terminal_shows_seconds() -> None:
    lines: list[str] = []
    file = io.StringIO()
    out = Console(file=file, width=60, color_system=None, force_terminal=True)
    with elapsed_shown("starting Ray", lines.append, out, line_seconds=1e-3):
        pass
    assert "starting Ray: 0 s" in file.getvalue()
    assert lines == []


def test_without_a_terminal_there_is_a_line_now_and_then() -> None:
    lines: list[str] = []
    enough = threading.Event()

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            enough.set()

    out = Console(file=io.StringIO(), force_terminal=False)
    with elapsed_shown("starting Ray", say, out, line_seconds=1e-3):
        assert enough.wait(10)
    assert lines[:2] == ["still starting Ray: 0 s"] * 2
    said = len(lines)
    with elapsed_shown("starting Ray", say, out):
        pass
    assert len(lines) == said
    assert out.file.getvalue() == ""  # type: ignore[attr-defined]
