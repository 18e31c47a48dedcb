"""Start the project's commands as processes without the seconds that their imports take.

``[*python(), "-m", "lvae_core", ...]`` behaves like ``[sys.executable, "-m", "lvae_core", ...]``: output,
exit status, signals, environment and working folder are those of a process of its own. It is forked from a
server that has imported the libraries, one for each process of pytest. A test of imports, of the
interpreter's own options, of a Ray that asks for a token (Ray reads its variables when it is imported), or
one that kills its process must use ``sys.executable``.
"""

from __future__ import annotations

import atexit
import functools
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


@functools.cache
def python() -> tuple[str, ...]:
    """The beginning of a command line that runs Python code in a fork."""
    folder = tempfile.TemporaryDirectory(prefix="lvae-tests-", ignore_cleanup_errors=True)
    place = f"{folder.name}/socket"
    server = subprocess.Popen(
        [sys.executable, str(HERE / "server.py"), place],
        cwd=HERE.parents[1],
        stdin=subprocess.PIPE,  # nothing is written: its end tells the server that this process has ended
        stdout=subprocess.PIPE,
    )

    def end() -> None:
        server.kill()
        server.wait()
        folder.cleanup()

    atexit.register(end)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return (sys.executable, "-I", "-S", str(HERE / "client.py"), place)
