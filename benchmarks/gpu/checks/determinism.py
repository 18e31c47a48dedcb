"""A run that is killed and resumed has the bits of one that is not, and what deterministic algorithms cost.

The runs are processes of ``python -m lvae_core run``; the kill is SIGKILL.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from speed.cases import Case, cases

from gpu.checks.subjects import TINY
from gpu.clock import Clock
from gpu.records import Record, Settings, check, note, run_part
from lvae_core.config import RunConfig
from lvae_core.data.text_files import SPLITS
from lvae_core.run_folder.folder import reproducible
from lvae_core.run_folder.study import open_study
from lvae_core.systems import recipe

RUNS = (("lstm-vae-avg", 5, "float32"), ("lstm-vae", 1, "bfloat16"), ("cnn-vae", 1, "float32"))
KILLED_AFTER = 2
"""Epochs."""
POLL_SECONDS = 0.005


def work(settings: Settings) -> Iterator[Record]:
    """Kill and resume runs of some systems, then time steps with and without deterministic algorithms."""
    for system, samples, precision in RUNS:
        name = f"{system}, L = {samples}, {precision}: killed and resumed"
        if settings.wants(name):
            yield check(name, lambda a=system, b=samples, c=precision: resumes(a, b, c, settings))
    case = cases(quick=False)["ptb/lstm-vae-avg/L10/standard"]
    name = "price of deterministic algorithms"
    if settings.wants(name):
        yield price(name, case.tiny() if settings.tiny else case, settings)


def price(name: str, case: Case, settings: Settings) -> Record:
    """Time a step in both ways."""
    clock = Clock(settings.device, 0.1 if settings.tiny else 1.0, 0.1 if settings.tiny else 1.0)
    speeds = [
        clock.time(case, "ours float32", deterministic=wanted).tokens_per_second for wanted in (True, False)
    ]
    text = f"{case.name}: {speeds[0]:,.0f} tokens/s with, {speeds[1]:,.0f} without"
    return note(name, text, with_deterministic=speeds[0], without=speeds[1])


def resumes(system: str, samples: int, precision: str, settings: Settings) -> str:
    """Run once to the end; run again, kill, resume; compare every number."""
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as place:
        folder = Path(place)
        write_text(folder / "text", settings)
        config = config_of(system, samples, precision, folder / "text", settings)
        (folder / "run.json").write_text(json.dumps(config.to_dict()))
        with start(folder, "whole", settings) as whole:
            with start(folder, "killed", settings) as killed:
                epochs = wait_for_epochs(killed, folder / "killed")
                killed.kill()
            assert not (folder / "killed" / "result.json").exists(), "it ended before it was killed"
            finish(whole)
        with start(folder, "killed", settings) as resumed:
            finish(resumed)
        study = open_study(str(folder))
        outcomes = [
            (study.run(name).read_metrics(), reproducible(study.run(name).read_json("result.json") or {}))
            for name in ("whole", "killed")
        ]
    assert len(outcomes[0][0]) > epochs, "nothing was left to resume"
    assert outcomes[0][0] == outcomes[1][0], "the learning curves differ"
    assert outcomes[0][1] == outcomes[1][1], "the estimates differ"
    return f"the same bits in {len(outcomes[0][0])} epochs and all estimates, killed after epoch {epochs}"


def config_of(system: str, samples: int, precision: str, text: Path, settings: Settings) -> RunConfig:
    """The config of the run: Penn Treebank's sizes on a GPU, tiny ones in a trial."""
    config = recipe(system, dataset=str(text), num_samples=samples)
    changes: dict[str, Any] = {
        "precision": precision,
        "max_epochs": 8,
        "patience": 1000,
        "iw_samples": 30,
        "mi_samples": 2,
    }
    if settings.tiny:
        D = TINY["embedding_size"]
        changes |= {**TINY, "batch_size": 2, "max_epochs": 12, "iw_exact_samples": 6}
        changes |= {"cnn_channels": D, "cnn_external": D + 3, "cnn_dilations": "1,2"}
    return replace(config, **changes)


def write_text(folder: Path, settings: Settings) -> None:
    """Write a corpus of random words: epochs of about a second on a GPU, of milliseconds in a trial."""
    folder.mkdir()
    V, longest, count = (30, 5, 40) if settings.tiny else (5000, 30, 3200)
    generator = np.random.default_rng(0)
    frequency = 1 / np.arange(1, V)
    for split, part in zip(SPLITS, (1, 8, 8), strict=True):
        lines = []
        for _ in range(count // part):
            words = generator.choice(
                V - 1, size=generator.integers(2, longest), p=frequency / frequency.sum()
            )
            lines.append(" ".join(f"w{word}" for word in words))
        if split == "train":
            lines.append(" ".join(f"w{word}" for word in range(V - 1)[:400]))
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")


def start(folder: Path, name: str, settings: Settings) -> subprocess.Popen[str]:
    """Start a run, or resume it."""
    command = [
        sys.executable,
        "-m",
        "lvae_core",
        "run",
        str(folder / "run.json"),
        "--out",
        str(folder / name),
    ]
    return subprocess.Popen(
        [*command, "--device", settings.device],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epochs(process: subprocess.Popen[str], run: Path) -> int:
    """Wait until the run has written some epochs; return how many."""
    metrics = run / "metrics.jsonl"
    while process.poll() is None:
        if metrics.exists() and (epochs := metrics.read_text().count("\n")) >= KILLED_AFTER:
            return epochs
        time.sleep(POLL_SECONDS)
    finish(process)
    raise AssertionError("it ended before it was killed")


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a run to end. Raises AssertionError with its last line unless it succeeded."""
    _, errors = process.communicate()
    last = (errors.strip().splitlines() or [""])[-1]
    assert process.returncode == 0, f"status {process.returncode}: {last}"


if __name__ == "__main__":
    sys.exit(run_part(work))
