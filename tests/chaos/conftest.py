"""What every test of this folder has at hand."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .place import Place, make_place
from .short_grid import undisturbed_storage  # noqa: F401 (a fixture for all)
from .sweep_command import Runs, Table, run_by_run


class Zygote:
    """Does runs in fresh processes that start at once; see ``zygote.py``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *arguments: str, log: Path, **order: Any) -> int:
        """Begin a run; its process number."""
        self._write({"arguments": arguments, "log": str(log), **order})
        return int(self._read())

    def wait(self) -> int:
        """How the run that was started last has ended: its exit status, or minus a signal."""
        return int(self._read())

    def run(self, *arguments: str, log: Path, **order: Any) -> int:
        """Begin a run and wait for its end."""
        self.start(*arguments, log=log, **order)
        return self.wait()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _write(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture(scope="module")
def place(zygote, tmp_path_factory) -> Place:
    return make_place(zygote, tmp_path_factory.mktemp("place"))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for what launches keep while they go on: Ray's sockets need short paths."""
    folder = Path(tempfile.mkdtemp(prefix="c-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def undisturbed_table(tmp_path_factory) -> Table:
    """What the study of ``sweep_command.py`` comes to run by run, with no Ray and nothing amiss."""
    storage = tmp_path_factory.mktemp("undisturbed")
    run_by_run(storage)
    return Runs(storage).table()
