"""The check that this Python has the libraries of a command, before the command imports them.

Commands run as scripts call it first. It must run on any Python 3, without any library.
"""

import shlex
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
