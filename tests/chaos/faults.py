"""Storage that really fails, as fixtures for every test: an S3 server, disks, and the error EIO.

``tests/conftest.py`` imports these fixtures, so a test names one as an argument and imports nothing.
"""

import errno
import http.client
import logging
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .s3proxy import Proxy

KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    # No settings of the user, and no request to the metadata service of a cloud.
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
NOT_OURS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE")


@dataclass(frozen=True)
class S3:
    """An empty bucket for one test, on a real S3 server on loopback."""

    url: str
    """``s3://<bucket>``."""
    environment: dict[str, str]
    """Variables that point a process to the server; already set in this one."""
    proxy: Proxy
    """The proxy before the server: it injects faults and logs requests."""


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Proxy]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    proxy = Proxy(*server.get_host_and_port())
    yield proxy
    proxy.close()
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch) -> Iterator[S3]:
    """An empty bucket; all faults end with the test."""
    environment = {**KEYS, "AWS_ENDPOINT_URL": s3_server.url}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in NOT_OURS:
        monkeypatch.delenv(name, raising=False)
    bucket = f"bucket-{uuid.uuid4().hex}"
    server = http.client.HTTPConnection(*s3_server.behind)
    server.request("PUT", f"/{bucket}")
    assert server.getresponse().status == 200
    server.close()
    s3_server.forget()
    yield S3(f"s3://{bucket}", environment, s3_server)
    s3_server.calm()


class Disk:
    """A separate file system, really mounted, that can be unmounted, full or read-only."""

    def __init__(self, place: Path, size: str) -> None:
        self.folder = place / "disk"
        """The mount point; an empty folder while nothing is mounted."""
        self._inside = place / "disk-itself"
        self.folder.mkdir()
        self._inside.mkdir()
        try:
            _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self._inside)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"mounting is not allowed here: {error.stderr.strip()}")
        self.plug()

    def plug(self) -> None:
        """Mount the disk with its former content."""
        _run("mount", "--bind", self._inside, self.folder)

    def pull(self) -> None:
        """Unmount the disk, even while it is in use."""
        _run("umount", "--lazy", self.folder)

    def lock(self) -> None:
        """Make the disk read-only."""
        _run("mount", "-o", "remount,bind,ro", self.folder)

    def unlock(self) -> None:
        _run("mount", "-o", "remount,bind,rw", self.folder)

    def close(self) -> None:
        if os.path.ismount(self.folder):
            self.pull()
        _run("umount", "--lazy", self._inside)


def _run(*command: str | Path) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    """A disk of 1 MiB."""
    disk = Disk(tmp_path, "1m")
    yield disk
    disk.close()


@pytest.fixture(scope="session")
def eio_library(tmp_path_factory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = tmp_path_factory.mktemp("eio") / "eio.so"
    source = Path(__file__).with_name("eio.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True
    )
    return library


@pytest.fixture
def eio(eio_library) -> Callable[..., dict[str, str]]:
    """A function that returns environment variables with which a process gets the error EIO.

    Its arguments: ``below``, the folder of the affected files; ``calls``, some of read, write, fsync;
    ``times``, how many of these calls fail in each process, -1 for all; ``only_while``, a file: calls fail
    only while it exists;
    ``number``, of another error.
    """

    def environment(
        below: Path,
        calls: str = "write",
        times: int = -1,
        only_while: Path | None = None,
        number: int = errno.EIO,
    ) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(eio_library),
            "EIO_BELOW": str(below.resolve()),
            "EIO_CALLS": calls,
            "EIO_TIMES": str(times),
            "EIO_WHILE": str(only_while or ""),
            "EIO_NUMBER": str(number),
        }

    return environment
