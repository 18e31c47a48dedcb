"""Ray clusters of several nodes on this machine, started by ``ray start`` as a user would."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
_RAY = Path(sys.executable).with_name("ray")
_PATIENCE_SECONDS = 240.0
_SMALL = [
    *("--disable-usage-stats", "--object-store-memory", "80000000"),
    *("--min-worker-port", "0", "--max-worker-port", "0"),
]


class Cluster:
    """A head, which is also a node, and the nodes added to it; :meth:`stop` ends all processes."""

    def __init__(self, head_cpus: int = 1) -> None:
        self.token = secrets.token_hex(32)
        # Ray's sockets need short paths.
        self.folder = Path(tempfile.mkdtemp(prefix="lvae-nodes-", dir="/tmp"))
        self._starts: list[subprocess.Popen[bytes]] = []
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self._start(
            *("--head", "--port", str(port), "--include-dashboard", "false"),
            *("--temp-dir", str(self.folder), "--num-cpus", str(head_cpus)),
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that may use the cluster."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        # Otherwise the tests beside this one would leave its runs 3% of a core.
        equal = {"RAY_worker_niceness": "0"}
        return {**kept, **equal, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}

    @property
    def head(self) -> int:
        """The process number of the `ray start` that started the head."""
        return self._starts[0].pid

    def add(
        self,
        *,
        cpus: int = 1,
        gpus: int = 0,
        cwd: Path | None = None,
        inside: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Add a node.

        Args:
            cpus: number of CPUs of the node.
            gpus: number of GPUs that Ray is told of, whatever the machine has.
            cwd: working directory of its processes.
            inside: command to put before `ray start`.
            environment: environment variables of its processes.

        Returns:
            The process number of its raylet.
        """
        start = self._start(
            *("--address", self.address, "--dashboard-agent-listen-port", "0", "--num-cpus", str(cpus)),
            *(("--num-gpus", str(gpus)) if gpus else ()),
            cwd=cwd,
            inside=inside,
            environment=environment or {},
        )
        (raylet,) = (pid for pid in process_tree(start.pid) if program_of(pid) == "raylet")
        return raylet

    def run(self, script: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a script that joins the cluster, in a new process."""
        command = [sys.executable, str(script), *arguments, "--address", self.address]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=240, check=False, cwd=cwd, env=self.environment
        )

    def stop(self) -> None:
        """Kill every process, the head's last."""
        pids = [pid for start in reversed(self._starts) for pid in process_tree(start.pid)]
        for number in (signal.SIGCONT, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        for start in self._starts:
            start.wait(timeout=240)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(
        self,
        *options: str,
        cwd: Path | None = None,
        inside: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        log = self.folder / f"start-{len(self._starts)}.log"
        with log.open("wb") as out:
            start = subprocess.Popen(
                [*inside, str(_RAY), "start", *options, *_SMALL, "--block"],
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd or self.folder,
                env={**self.environment, **(environment or {})},
            )
        self._starts.append(start)
        answered = wait_until(lambda: "Ray runtime started" in log.read_text() or start.poll() is not None)
        if not answered or start.poll() is not None:
            self.stop()
            raise RuntimeError(f"a node did not start: {log.read_text()}")
        return start


@contextlib.contextmanager
def cluster(head_cpus: int = 1) -> Iterator[Cluster]:
    """Provide a :class:`Cluster` during the ``with`` block."""
    nodes = Cluster(head_cpus)
    try:
        yield nodes
    finally:
        nodes.stop()


def wait_until(condition: Callable[[], bool]) -> bool:
    """Wait for a condition, as long as the busiest machine may need, and return whether it is true."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def process_tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def program_of(pid: int) -> str:
    """Return the program that a process runs, or an empty string if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether a process is still running; a zombie is not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
