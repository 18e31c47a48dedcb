"""A launch's own Ray: its environment, which no other process sees, and what its logs say of its end."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path

# Ray's processes inherit the token from the environment, which other users cannot read; no command line
# and no file contains it. Ray remembers the first token it sees, so a process uses only one. The mode is
# unset because Ray then requires tokens; a mode that is set is read at the import of ray, too early for us.
# Ray gives its workers the priority 15, with which a run beside any busy program gets 3% of a core.
# Its C++ code waits for the raylet in steps of a second, not of 30, so that our clock is asked in between.
OWN_RAY = {
    "RAY_AUTH_MODE": None,
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_raylet_start_wait_time_s": "1",
    "RAY_worker_niceness": "0",
}
"""Environment of a process that starts Ray."""

_ERROR = re.compile(r"^\[[^]]* ([EFC]) \d+ \d+\] \(\w+\) [\w.]+:\d+: *(.+)", re.MULTILINE)
"""A line of a log of Ray's C++ code: an error, or the fatal one or failed check that ends the process."""

_LONGEST = 200
"""The most characters of a line of a log."""

_READ_BYTES = 2**17


def is_own_ray() -> bool:
    """Whether this process uses a Ray that it has started, to which nobody else has the token."""
    return os.environ.get("RAY_AUTH_TOKEN") == OWN_RAY["RAY_AUTH_TOKEN"]


def status_hint() -> str:
    """The end of a message about the cluster: where to look, unless the Ray is private."""
    return "" if is_own_ray() else "; see `ray status`"


def logged_error(folder: Path) -> str:
    """The error by which a Ray has ended, as its logs have it; empty if they have none.

    Args:
        folder: that of the launch, with a folder for each attempt to start Ray; the last one counts.
    """
    found: list[tuple[str, str]] = []
    for session in sorted(folder.glob("r*/session_2*"))[-1:]:
        for name in ("gcs_server.out", "raylet.out"):  # a raylet also says which of its agents has ended it
            with contextlib.suppress(OSError):
                found += _ERROR.findall(_end_of(session / "logs" / name))
    fatal = [line for severity, line in found if severity != "E"]
    lines = fatal or [line for _, line in found]
    return lines[-1].strip().rstrip(".")[:_LONGEST] if lines else ""


def _end_of(file: Path) -> str:
    """The last lines of a log, which may be long after hours."""
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - _READ_BYTES))
        return log.read().decode(errors="replace")
