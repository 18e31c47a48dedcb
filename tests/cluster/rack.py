"""A rack for ``clusters/rack.yaml``: test hosts, a laptop with the checkout, and an S3 store for all."""

from __future__ import annotations

import http.client
import logging
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .hosts import Host, Network, network

ROOT = Path(__file__).parents[2]
FILE = "clusters/rack.yaml"
BUCKET = "results"
_CHECKOUT = (
    *(".git", ".gitignore", "lvae_core", "sweeps", "analysis", "clusters", "cluster.yaml"),
    *("pyproject.toml", "constraints.txt", "README.md", "LICENSE"),
)


class Rack:
    """Test hosts: ``head``, ``workers`` (the last one is switched off), and ``laptop``."""

    def __init__(self, net: Network) -> None:
        self.head, *self.workers = (net.add(number) for number in (1, 2, 3))
        self.laptop = net.add(100)
        self.shared = net.folder / "shared"
        """A folder that every host sees."""
        self.shared.mkdir()
        self.endpoint = f"{net.address}:{_free_port(net.address)}"
        started = [self.head, self.workers[0], self.laptop]
        for host in started:
            host.start()
        _install(self.laptop)
        for host in (self.head, *self.workers):
            shutil.copytree(self.laptop.home, host.home, symlinks=True, dirs_exist_ok=True, ignore=_PYTHON)
        for host in (self.head, *self.workers, self.laptop):
            self._give_store(host)
        _check_out(self.laptop, net.key)
        self.edit_file(head_ip=self.head.address, worker_ips=[worker.address for worker in self.workers])

    @property
    def hosts(self) -> list[Host]:
        """All hosts."""
        return [self.head, *self.workers, self.laptop]

    @property
    def token(self) -> str:
        """The token of the cluster."""
        return (self.laptop.home / ".ray" / "auth_token").read_text().strip()

    def edit_file(self, *, head_ip: str, worker_ips: list[str]) -> None:
        """Edit ``rack.yaml`` as a user must."""
        place = self.laptop.home / "lvae" / FILE
        text = place.read_text()
        for old, new in (
            ("head_ip: 192.0.2.10", f"head_ip: {head_ip}"),
            ("worker_ips: [192.0.2.11, 192.0.2.12]", f"worker_ips: [{', '.join(worker_ips)}]"),
            ("ssh_user: lvae", "ssh_user: root"),
        ):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        place.write_text(text)

    def on_laptop(self, command: str, *, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command on the laptop, in the checkout, as docs/cluster.md says."""
        setup = "cd ~/lvae && . .venv/bin/activate && . clusters/laptop.sh"
        return self.laptop.run(f"{setup} && {command}", seconds=seconds)

    def on_head(self, command: str, *, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command on the head, as after `ray attach`."""
        return self.head.run(f". ~/.bashrc && cd ~/lvae && {command}", seconds=seconds)

    def _give_store(self, host: Host) -> None:
        """Configure the host for the S3 server. On AWS a node's role does this."""
        folder = host.home / ".aws"
        folder.mkdir()
        (folder / "config").write_text(
            f"[default]\nregion = us-east-1\nendpoint_url = http://{self.endpoint}\n"
        )
        (folder / "credentials").write_text(
            "[default]\naws_access_key_id = test\naws_secret_access_key = test\n"
        )


@contextmanager
def rack() -> Iterator[Rack]:
    """Provide a :class:`Rack` and an S3 server during the ``with`` block."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with network() as net:
        machines = Rack(net)
        host, port = machines.endpoint.split(":")
        server = ThreadedMotoServer(ip_address=host, port=int(port), verbose=False)
        server.start()
        try:
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            connection.request("PUT", f"/{BUCKET}")
            assert connection.getresponse().status == 200
            connection.close()
            yield machines
        finally:
            server.stop()


_PYTHON = shutil.ignore_patterns(".pyenv")


def _install(host: Host) -> None:
    """Create the environment that an earlier ``ray up`` would have left on the host's disk.

    The host cannot download packages, so it uses those of this Python, except the project itself. pip finds
    the versions of ``constraints.txt`` installed, and installs the project from the checkout.
    """
    done = host.run(f"mkdir -p ~/lvae && {sys.base_prefix}/bin/python3 -m venv ~/lvae/.venv", seconds=120)
    assert done.returncode == 0, done.stderr
    (packages,) = (host.home / "lvae" / ".venv" / "lib").glob("python*/site-packages")
    for old in ("setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth"):
        for path in packages.glob(f"{old}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    site_packages = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "shared.pth").write_text("".join(f"{path}\n" for path in site_packages))
    ray = host.home / "lvae" / ".venv" / "bin" / "ray"
    ray.write_text("#!/root/lvae/.venv/bin/python\nfrom ray.scripts.scripts import main\n\nmain()\n")
    ray.chmod(0o755)
    conf = host.home / ".config" / "pip" / "pip.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("[global]\nno-index = true\nno-build-isolation = false\n")


def _check_out(laptop: Host, key: Path) -> None:
    """Copy the checkout and the user's key to the laptop, and install the project there."""
    command = ["rsync", "-a", "--exclude=__pycache__", *(str(ROOT / name) for name in _CHECKOUT)]
    subprocess.run([*command, f"{laptop.home}/lvae"], check=True, timeout=120)
    ssh = laptop.home / ".ssh"
    ssh.mkdir(mode=0o700)
    shutil.copy(key, ssh / "id_ed25519")
    done = laptop.run("cd ~/lvae && .venv/bin/pip install --quiet -c constraints.txt -e '.[cluster]'")
    assert done.returncode == 0, done.stderr


def _free_port(address: str) -> int:
    import socket

    with socket.socket() as free:
        free.bind((address, 0))
        return int(free.getsockname()[1])


def wrong_token() -> str:
    """Return a token that no cluster accepts."""
    return secrets.token_hex(32)
