"""Test hosts on this machine, each with a separate address, processes, ``/tmp`` and home.

A host is a network, mount and PID namespace whose first process is an SSH server. Killing that process ends
all processes of the host at once, like a loss of power. A bridge connects the hosts and leads nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_TOOLS = ("ip", "unshare", "nsenter", "ssh-keygen", "rsync", "/usr/sbin/sshd")
_START_SECONDS = 20.0


def missing_requirement() -> str:
    """Return why this machine cannot run test hosts, or an empty string if it can."""
    if os.geteuid() != 0:
        return "needs root, for namespaces"
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent:
        return f"needs {', '.join(absent)}: apt-get install iproute2 openssh-server rsync"
    name = f"lvae-try-{secrets.token_hex(2)}"
    try:
        _sh(f"ip netns add {name}")
        _sh(f"ip netns exec {name} unshare -m -p -f --mount-proc true")
    except subprocess.CalledProcessError as error:
        return f"namespaces are not allowed here: {error.stderr.strip()}"
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    return ""


class Host:
    """A host of a :class:`Network`."""

    def __init__(self, network: Network, number: int) -> None:
        self.address = f"{network.prefix}.{number}"
        self.folder = network.folder / f"h{number}"
        self._network, self._name = network, f"{network.name}h{number}"
        for part in ("home", "tmp"):
            (self.folder / part).mkdir(parents=True)
        (self.folder / "tmp").chmod(0o1777)
        self._first: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """The home of root on the host, as a path of this machine."""
        return self.folder / "home"

    def start(self) -> None:
        """Start the host and wait until it answers by SSH."""
        name, bridge = self._name, self._network.bridge
        _sh(f"ip netns add {name}")
        _sh(f"ip link add {name} type veth peer name eth0 netns {name}")
        _sh(f"ip link set {name} master {bridge} up")
        _sh(f"ip -n {name} link set lo up")
        _sh(f"ip -n {name} address add {self.address}/24 dev eth0")
        _sh(f"ip -n {name} link set eth0 up")
        # The route ends at the bridge. Ray needs it, because it finds its address by the default route.
        _sh(f"ip -n {name} route add default via {self._network.address}")
        script = f"""
            hostname {self.folder.name}
            mount --make-rprivate /
            mount --bind {self.folder}/tmp /tmp
            mount -t tmpfs none /dev/shm
            {self._keep_python()}
            mount --rbind {self.folder}/home /root
            exec /usr/sbin/sshd -D -e -o StrictModes=no -o UsePAM=no -o PidFile=none \
                -o AuthorizedKeysFile={self._network.key}.pub -o MaxStartups=100
        """
        command = ["ip", "netns", "exec", name, "unshare", "-m", "-u", "-p", "-f"]
        command += ["--mount-proc", "--kill-child"]
        with (self.folder / "sshd.log").open("wb") as log:
            self._first = subprocess.Popen([*command, "sh", "-ec", script], stdout=log, stderr=log)
        if not wait_until(lambda: self.run("true").returncode == 0, seconds=_START_SECONDS):
            raise RuntimeError(f"{self.address}: {(self.folder / 'sshd.log').read_text()}")

    def command(self, command: str) -> list[str]:
        """Return the local command line that runs ``command`` on the host in a login shell."""
        ssh = ["ssh", "-i", str(self._network.key), "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
        ssh += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        return [*ssh, f"root@{self.address}", f"bash -lc {shlex.quote(command)}"]

    def run(self, command: str, *, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run ``command`` on the host and wait for its end."""
        return subprocess.run(
            self.command(command), capture_output=True, text=True, timeout=seconds, check=False
        )

    def kill(self) -> None:
        """Cut the power: the host falls silent without closing any connection. Its disk stays."""
        if self._first is not None:
            subprocess.run(["ip", "link", "set", self._name, "down"], check=False, capture_output=True)
            self._first.send_signal(signal.SIGKILL)
            self._first.wait(timeout=20)
            self._first = None

    def remove(self) -> None:
        """Kill the host and remove its network."""
        self.kill()
        subprocess.run(["ip", "netns", "delete", self._name], check=False, capture_output=True)

    def processes(self) -> list[str]:
        """Return the command lines of all processes of the host except SSH's; the host must be up."""
        listing = self.run("ps -eo args=")
        assert listing.returncode == 0, f"{self._name} does not answer: {listing.stderr}"
        lines = listing.stdout.splitlines()
        return [
            line for line in lines if not line.startswith(("sshd", "/usr/sbin/sshd", "bash -lc", "ps -eo"))
        ]

    def _keep_python(self) -> str:
        """Return commands that keep this Python visible if it is installed in root's hidden home."""
        place = Path(sys.base_prefix)
        if not place.is_relative_to("/root"):
            return ""
        inside = self.home / place.relative_to("/root")
        inside.mkdir(parents=True, exist_ok=True)
        return f"mount --bind {place} {inside}"


class Network:
    """A bridge and its hosts; :meth:`remove` leaves nothing behind."""

    def __init__(self) -> None:
        self.name = f"lv{secrets.token_hex(2)}"
        self.prefix = f"10.77.{secrets.randbelow(256)}"  # random, so that tests can run at the same time
        self.bridge, self.address = f"{self.name}br", f"{self.prefix}.254"
        self.folder = Path(tempfile.mkdtemp(prefix="lvae-hosts-", dir="/var/tmp"))
        self.key = self.folder / "key"
        self._hosts: list[Host] = []
        self._made_run = not Path("/run/sshd").exists()
        Path("/run/sshd").mkdir(exist_ok=True)
        _sh(f"ssh-keygen -q -t ed25519 -N '' -f {self.key}")
        _sh(f"ip link add {self.bridge} type bridge")
        _sh(f"ip address add {self.address}/24 dev {self.bridge}")
        _sh(f"ip link set {self.bridge} up")

    def add(self, number: int) -> Host:
        """Add a host with the address ``<prefix>.<number>`` without starting it."""
        host = Host(self, number)
        self._hosts.append(host)
        return host

    def remove(self) -> None:
        """Remove every host, the last first, and all folders."""
        for host in reversed(self._hosts):
            host.remove()
        subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True)
        if self._made_run:
            with contextlib.suppress(OSError):
                Path("/run/sshd").rmdir()
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Provide a :class:`Network` during the ``with`` block."""
    hosts = Network()
    try:
        yield hosts
    finally:
        hosts.remove()


def wait_until(condition: Callable[[], bool], *, seconds: float, every: float = 0.2) -> bool:
    """Wait for a condition, at most this long, and return whether it is true."""
    end = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(every)
    return held


def _sh(command: str) -> None:
    subprocess.run(shlex.split(command), check=True, capture_output=True, text=True, timeout=60)
