"""A run of a few dozen steps over a dozen words, for tests that kill it or damage its files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvae_core.systems import recipe

SEED = 2019

FILES = {
    *("config.json", "provenance.json", "metrics.jsonl", "steps.jsonl"),
    *("checkpoint.pt", "checkpoint.previous.pt"),
    "result.json",
}
"""The files that a finished run leaves in its folder."""


@dataclass
class SmallRun:
    """A run of a few dozen gradient steps with a checkpoint after every step."""

    zygote: Any
    folder: Path

    def arguments(self, out: Path) -> list[str]:
        options = ["--checkpoint-minutes", "0"]
        return ["run", str(self.folder / "run.json"), "--out", str(out), *options]

    def run(self, out: Path, **order: Any) -> int:
        return self.zygote.run(*self.arguments(out), log=self.folder / f"{out.name}.log", **order)

    def log(self, out: Path) -> str:
        return (self.folder / f"{out.name}.log").read_text()


def outcome(folder: Path) -> tuple[bytes, str]:
    """Return the numbers of a run that must be equal to the last bit."""
    result = json.loads((folder / "result.json").read_text())
    for timing in ("train_seconds", "evaluate_seconds", "sha256"):
        del result[timing]
    return (folder / "metrics.jsonl").read_bytes(), json.dumps(result)


def write_corpus(folder: Path) -> None:
    """Write three splits of random sentences over a dozen words."""
    generator = np.random.default_rng(SEED)
    for split, count in (("train", 16), ("valid", 7), ("test", 6)):
        sentences = [
            generator.choice(list("abcdefghijkl"), size=n) for n in generator.integers(1, 9, size=count)
        ]
        (folder / f"{split}.txt").write_text("".join(" ".join(words) + "\n" for words in sentences))


def make_small_run(zygote: Any, folder: Path) -> SmallRun:
    """Write the corpus and the config of the run into an empty folder."""
    (folder / "words").mkdir()
    write_corpus(folder / "words")
    config = recipe("lstm-vae-avg", dataset=str(folder / "words"), num_samples=2).to_dict() | {
        "embedding_size": 4, "hidden_size": 6, "latent_size": 2, "batch_size": 6, "max_epochs": 2,
        "iw_samples": 4, "mi_samples": 2, "eval_batch_size": 3, "learning_rate": 3.0,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(config))
    return SmallRun(zygote, folder)
