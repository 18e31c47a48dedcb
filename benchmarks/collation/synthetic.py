"""Run folders of runs that were never trained: real files with invented numbers."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lvae_core.config import RunConfig
from lvae_core.identity import NUMERICS_VERSION, fingerprint
from lvae_core.run_folder.digests import seal, seal_rows
from lvae_core.run_folder.names import run_name
from lvae_core.systems import recipe

EPOCHS = 30
_SEEDS = 5
_SYSTEMS = (
    ("lstm-lm", 1),
    ("lstm-vae", 1),
    ("lstm-vae", 5),
    ("lstm-vae", 10),
    ("lstm-vae-avg", 5),
    ("lstm-vae-avg", 10),
)
_DATA = {"ptb": "a" * 64, "yahoo": "b" * 64}
_VERSIONS = {
    "lvae": "0.1.0",
    "numerics": NUMERICS_VERSION,
    "python": "3.11",
    "torch": "2.13",
    "numpy": "2.4",
}


def configs(runs: int) -> Iterator[RunConfig]:
    """Repeat the paper's grid of 120 runs, each time with another learning rate."""
    cells = list(itertools.product(_DATA, _SYSTEMS, ("standard", "inputless"), range(_SEEDS)))
    for number in range(runs):
        dataset, (system, L), setting, seed = cells[number % len(cells)]
        config = recipe(system, dataset=dataset, setting=setting, num_samples=L, seed=seed)
        yield replace(config, learning_rate=1.0 + number // len(cells) / 1024)


def write_runs(study: Path, runs: int) -> None:
    """Write finished run folders without checkpoints; the files are not synced to disk."""
    rng = np.random.default_rng(0)
    for config in configs(runs):
        identity = fingerprint(config, _DATA[config.dataset])
        folder = study / run_name(config, identity)
        folder.mkdir(parents=True)
        metrics = seal_rows(metrics_of(config, rng))
        attempt = {
            "started": "2026-11-25T00:00:00+00:00",
            "commit": "0" * 40,
            "dirty": False,
            "versions": _VERSIONS,
            "host": "node-17",
            "platform": "Linux-6.1.0-x86_64-with-glibc2.36",
            "device": "cpu",
            "threads": 1,
        }
        files = {
            "config.json": {"fingerprint": identity, "config": config.to_dict()},
            "provenance.json": {"attempts": [attempt]},
            "result.json": {
                "fingerprint": identity,
                "config": config.to_dict(),
                "data_sha256": _DATA[config.dataset],
                "metrics_sha256": hashlib.sha256(metrics).hexdigest(),
                "estimates": estimates_of(config, rng),
                "tokens": 82430,
                "sentences": 3761,
                "parameters": 10_000_000,
                "best_epoch": EPOCHS,
                "epochs": EPOCHS,
                "steps": 39450,
                "train_seconds": float(rng.uniform(3000, 4000)),
                "evaluate_seconds": float(rng.uniform(300, 400)),
            },
        }
        for name, value in files.items():
            (folder / name).write_bytes(seal(value))
        (folder / "metrics.jsonl").write_bytes(metrics)


def metrics_of(config: RunConfig, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Invent the rows of a learning curve."""
    names = ["train_loss", "train_nll", "valid_nll", "valid_ppl", "best_ppl"]
    names += ["kl_weight", "train_kl", "valid_kl"] if config.encoder != "none" else []
    return [
        {"epoch": epoch, "step": 1315 * epoch, "learning_rate": config.learning_rate}
        | {name: float(rng.normal(100, 10)) for name in names}
        for epoch in range(1, EPOCHS + 1)
    ]


def estimates_of(config: RunConfig, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Invent the estimates of a result."""
    if config.encoder == "none":
        return {name: {"value": float(rng.normal(100, 1))} for name in ("nll", "ppl")}
    kinds = ["elbo", "iw"] + (["joint", "iw_joint"] if config.averaging == "hidden" else [])
    names = [f"{metric}_{kind}" for kind in kinds for metric in ("nll", "ppl")]
    sampled = {
        name: {"value": float(rng.normal(100, 1)), "stderr": float(rng.uniform(0.01, 0.03))}
        for name in [*names, "kl", "mi"]
    }
    return {**sampled, "au": {"value": 12.0}}
