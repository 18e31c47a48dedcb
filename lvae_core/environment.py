"""The start of a command, before its libraries: are they there, output streams, a quiet end by Ctrl-C.

Commands run as scripts call it first. It must run on any Python 3, without any library.
"""

import os
import shlex
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

MIN_PYTHON = (3, 11)

_ROOT = Path(__file__).resolve().parent.parent

_OF_PACKAGES = {
    "sweeps": ("torch", "numpy", "ray", "optuna", "tyro", "rich", "pandas"),
    "analysis": ("numpy", "pandas", "pyarrow", "scipy", "matplotlib", "tyro", "rich"),
}
"""Package -> the libraries that its commands cannot do without."""


def end_quietly_on_ctrl_c() -> None:
    """Let Ctrl-C end this process with status 130 and no output, until the guard of commands takes over.

    Python would raise KeyboardInterrupt within an import: dozens of lines of traceback, or none if
    a library catches it and continues without the module. Standard streams that are closed are opened
    first, so that what follows can print.
    """
    open_closed_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, as in the background
        signal.signal(signal.SIGINT, _end)


def open_closed_streams() -> None:
    """Open the null device as each standard stream that is closed, as by ``>&-`` in a shell.

    Python has None for such a stream. Worse, the next file or socket to be opened would get its number,
    and then whatever this process and its children print.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)  # which children inherit
            if null != number:
                os.close(null)
            os.set_inheritable(number, True)
        setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def raise_on_ctrl_c() -> None:
    """Undo :func:`end_quietly_on_ctrl_c` if it was called; the main thread only."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: object, frame: object) -> None:
    os._exit(130)  # sys.exit would raise an exception within the import, too


def check_installed(package: str) -> None:
    """End a script with one line and status 2 if this Python is too old or lacks a library.

    Args:
        package: the package of the command.
    """
    lacking = [name for name in _OF_PACKAGES[package] if find_spec(name) is None]
    if sys.version_info < MIN_PYTHON:
        print("error: " + advice("is older than Python " + ".".join(map(str, MIN_PYTHON))), file=sys.stderr)
    elif lacking:
        print("error: " + advice("lacks " + ", ".join(lacking)), file=sys.stderr)
    else:
        return
    sys.exit(2)


def advice(fault: str) -> str:
    """Say in one line what is wrong with this Python, and how to run the command with the right one."""
    has_environment = (_ROOT / ".venv" / "bin" / "python").exists()
    setup = "use the environment of the project" if has_environment else "run make setup once, then"
    here = Path.cwd() == _ROOT
    python = ".venv/bin/python" if here else str(_ROOT / ".venv/bin/python")
    words = sys.orig_argv[1:] if sys.version_info >= (3, 10) else sys.argv
    return f"{sys.executable} {fault}; {setup}: {shlex.join([python, *words])}"
