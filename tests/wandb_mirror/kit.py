"""Real run folders and a real mirror process, for the tests of this folder."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lvae_core.config import RunConfig
from lvae_core.identity import fingerprint
from lvae_core.run_folder.claims import Claim, acquire
from lvae_core.run_folder.folder import RunFolder, metrics_sha256
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study

from ..wandb_server.server import Run, Server

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef" * 2 + "01234567"
PROJECT = "mirrored"
LOCKS = f"lvae-wandb-{os.getuid()}"
"""The folder of the locks that pushes share: one for a user, and empty while nothing is sent."""


def environment(home: Path, url: str, key: str | None = KEY) -> dict[str, str]:
    """The environment of a user whose W&B is at ``url``, without this machine's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    added = {
        "HOME": str(home),
        "NETRC": str(home / "netrc"),
        "WANDB_BASE_URL": url,
        "WANDB__FILE_STREAM_TRANSMIT_INTERVAL": "1",  # seconds, whole ones
        "PYTHONPATH": str(ROOT),
    }
    return {**kept, **added, **({"WANDB_API_KEY": key} if key else {})}


def rows(epochs: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows as the trainer writes them, each with different numbers."""
    return [
        {
            "epoch": epoch,
            "step": 10 * epoch,
            "learning_rate": 1.0,
            "train_loss": 100.0 / epoch + seed / 7,
            "train_nll": 90.0 / epoch,
            "valid_nll": 80.0 / epoch + seed / 3,
            "valid_ppl": 50.0 + seed + 1 / epoch,
            "best_ppl": 50.0 + seed + 1 / epoch,
            "kl_weight": min(1.0, epoch / 10),
            "train_kl": 1e-9 * epoch,
            "valid_kl": 0.25,
        }
        for epoch in range(1, epochs + 1)
    ]


def points(epochs: float, seed: int = 0, *, speed: float = 1000.0) -> list[dict[str, Any]]:
    """Two points per epoch, the second one at its end, as the trainer writes them."""
    return [
        {
            "epoch": half / 2,
            "step": 5 * half,
            "loss": 200.0 / half + seed / 7,
            "kl": 0.125 * half,
            "kl_weight": min(1.0, half / 20),
            "learning_rate": 1.0,
            "sums": [1.0 * half, 2.0, 32.0],
            "tokens_per_second": speed + half,
            "cpu_percent": 99.5,
            "memory_mib": 512.0 + half,
        }
        for half in range(1, int(2 * epochs) + 1)
    ]


def begin(study: Path, seed: int = 0, epochs: int = 0) -> RunFolder:
    """A run that has trained for some epochs."""
    config = RunConfig(dataset="toy", system="lstm-vae", num_samples=5, seed=seed)
    identity = fingerprint(config, "d" * 64)
    folder = Study(str(study)).run(run_name(config, identity))
    folder.write_config(config, identity)
    versions = {"python": "3.11.7", "torch": "2.13.0"}
    attempt = {
        "commit": "c" * 40,
        "dirty": False,
        "versions": versions,
        "host": "secret-host",
        "device": "cpu",
    }
    folder.write_json("provenance.json", {"attempts": [attempt]})
    folder.write_metrics(rows(epochs, seed))
    return folder


def complete(folder: RunFolder) -> dict[str, Any]:
    """End the run; returns its result."""
    present = folder.read_config()
    assert present is not None
    config, identity = present
    metrics = folder.read_metrics()
    result = {
        "fingerprint": identity,
        "config": config.to_dict(),
        "data_sha256": "d" * 64,
        "metrics_sha256": metrics_sha256(metrics),
        "estimates": {
            "nll_elbo": {"value": 101.25 + config.seed, "stderr": 0.125},
            "ppl_elbo": {"value": 88.5 + config.seed, "stderr": 0.5},
            "kl": {"value": 2.5, "stderr": 0.01},
            "au": {"value": 3},
        },
        **{"tokens": 400, "sentences": 60, "parameters": 1234, "best_epoch": 2},
        **{"epochs": len(metrics), "steps": 10 * len(metrics)},
        **{"train_seconds": 12.5, "evaluate_seconds": 3.25},
    }
    folder.write_json("result.json", result)
    folder.clear_failure()
    return result


def mirrored(server: Server, folder: RunFolder) -> Run:
    """The W&B run of a run folder."""
    present = folder.read_config()
    assert present is not None
    return server.runs[present[1]]


def assert_mirrored(server: Server, folder: RunFolder) -> None:
    """W&B has every row of metrics.jsonl, once and in order, and every number of result.json."""
    run = mirrored(server, folder)
    assert [row for row in run.rows() if "train/loss" not in row] == folder.read_metrics()
    within = [row for row in run.rows() if "train/loss" in row]
    assert [row["step"] for row in within] == [point["step"] for point in folder.read_steps()]
    for sent, point in zip(within, folder.read_steps(), strict=True):
        assert sent["epoch"] == point["epoch"]
        for name in ("loss", "kl", "kl_weight", "learning_rate"):
            assert sent[f"train/{name}"] == point[name]
    steps = [(row["step"], "train_loss" in row) for row in run.rows()]
    assert steps == sorted(steps)
    assert [row["_step"] for row in run.history] == list(range(len(run.history)))
    assert run.rewritten == 0
    if result := folder.read_json("result.json"):
        for name, estimate in result["estimates"].items():
            assert run.summary[f"test/{name}"] == estimate["value"]
            if "stderr" in estimate:
                assert run.summary[f"test/{name}_stderr"] == estimate["stderr"]
        assert run.states[-1] == "finished"


class Mirror:
    """`wandb_push.py STUDY --follow` as a sweep starts it."""

    def __init__(
        self, study: Path, home: Path, url: str, mode: str = "online", key: str | None = KEY
    ) -> None:
        options = [*("--project", PROJECT, "--follow"), *(["--offline"] if mode == "offline" else [])]
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "sweeps" / "wandb_push.py"), str(study), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(home, url, key),
            cwd=home,
            text=True,
        )
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], 90.0)
        assert readable, "the mirror says nothing"
        self.ready = self.process.stdout.readline().startswith(f"following {study};")

    def end(self) -> Ended:
        """End it as a sweep does, by closing its input."""
        out, progress = self.process.communicate(timeout=240)
        return Ended(out, progress, self.process.returncode)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


class Ended(NamedTuple):
    """The output and exit status of a mirror."""

    out: str
    """Its closing lines."""
    err: str
    """Progress and errors."""
    status: int

    @property
    def sent(self) -> int:
        found = re.search(r"W&B has (\d+) runs? at |W&B: (\d+) runs? written", self.out)
        return int(found[1] or found[2]) if found else 0

    @property
    def left(self) -> int:
        found = re.search(r"W&B lacks (\d+) runs?", self.out)
        assert bool(found) == bool(self.status), self
        return int(found[1]) if found else 0


class Work:
    """Processes that work on runs: claims that are held until the run or the test ends."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}

    def begin(self, *folders: RunFolder) -> None:
        for folder in folders:
            if folder.name not in self._claims:
                self._claims[folder.name] = acquire(folder, "a launch")

    def end(self, *folders: RunFolder) -> None:
        for folder in folders:
            self._claims.pop(folder.name).release()

    def end_all(self) -> None:
        for claim in self._claims.values():
            claim.release()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until a condition is true."""
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last, "it does not come true"
        time.sleep(0.05)


def directories(home: Path) -> list[Path]:
    return sorted(path for path in (home / "wandb").iterdir())


def assert_only_locks(temporary: Path) -> None:
    # The library's service outlives the push by a moment, and then removes its socket.
    until(lambda: not list(temporary.glob("wandb-*")))
    assert {str(path.relative_to(temporary)) for path in temporary.rglob("*")} <= {LOCKS}
