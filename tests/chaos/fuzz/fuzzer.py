"""Random command lines, damaged run folders and damaged config files, all drawn from a seed.

A case is done in this process: its command's ``main`` is called with arguments, so torch is imported once.
Commands stop before they would start Ray or call a server.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from analysis import summarize as summarize_module
from lvae_core import __main__ as core
from lvae_core.systems import recipe
from sweeps import paper_grid

from ..small_run import write_corpus
from .command_lines import CommandLines
from .damage import Damage
from .outcome import Outcome, call

RUN = "study/" + "words__lstm-vae__standard__L1__seed0__"
"""Start of the name of the run folder in every case's folder."""


def make_template(folder: Path) -> None:
    """Write a corpus, a config and a finished run, which every case gets a copy of."""
    (folder / "words").mkdir(parents=True)
    write_corpus(folder / "words")
    config = recipe("lstm-vae", dataset="words").to_dict() | {
        "embedding_size": 2, "hidden_size": 3, "latent_size": 2, "batch_size": 8, "max_epochs": 1,
        "iw_samples": 2, "mi_samples": 2, "eval_batch_size": 8,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(config))
    with contextlib.chdir(folder):
        done = call("setup", core.main, ["run", "run.json", "--out", "study/made", "--quiet"])
    assert done.status == 0, done.output
    identity = json.loads((folder / "study" / "made" / "result.json").read_text())["fingerprint"]
    (folder / "study" / "made").rename(folder / f"{RUN}{identity[:8]}")


class Fuzzer:
    """Draw cases from a seed.

    Args:
        template: a folder that :func:`make_template` has filled.
        seed: of the cases.
    """

    def __init__(self, template: Path, seed: int) -> None:
        self._template, self._random = template, random.Random(seed)
        (self._run,) = (str(p.relative_to(template)) for p in template.glob(f"{RUN}*"))
        self._command_lines, self._damage = CommandLines(self._random, self._run), Damage(self._random)

    def case(self, place: Path) -> Outcome:
        """Do the next case in the new folder ``place``."""
        shutil.copytree(self._template, place)
        draw = self._random.choices(
            [self._command_line, self._damaged_run, self._damaged_config], [5, 3, 2]
        )[0]
        with contextlib.chdir(place):
            try:
                return draw()
            finally:
                shutil.rmtree(place)

    def _command_line(self) -> Outcome:
        return call("arguments", *self._command_lines.draw())

    def _damaged_run(self) -> Outcome:
        damaged = []
        for _ in range(self._random.choice([1, 1, 2])):
            file = self._random.choice(sorted(p for p in Path(self._run).iterdir() if p.is_file()))
            damaged.append(f"{file.name} {self._damage.file(file)}")
        main, arguments = self._readers()
        return call(f"run folder, {', '.join(damaged)}", main, arguments)

    def _damaged_config(self) -> Outcome:
        file = Path("run.json")
        if self._random.random() < 0.3:
            what = self._damage.file(file)
        else:
            value = json.loads(file.read_text())
            what = self._damage.change(value)
            text = json.dumps(value)
            file.write_text(text if self._random.random() < 0.9 else text.replace('"', "'"))
        return call(f"config file, {what}", core.main, ["run", "run.json", "--out", "new"])

    def _readers(self) -> tuple[Callable[..., object], list[str]]:
        fast = ["--no-samples", "--no-cache", "--no-figures"]
        grid = ["--datasets", "words", "--seeds", "1", "--storage", ".", "--study", "study", "--dry-run"]
        return self._random.choice(
            [
                (core.main, ["generate", self._run, "--count", "1", "--max-length", "3"]),
                (core.main, ["evaluate", self._run, "--set", "iw_samples=3"]),
                (core.main, ["run", "run.json", "--out", self._run]),
                (core.main, ["run", f"{self._run}/config.json", "--out", "new"]),
                (summarize_module.main, ["study", *fast]),
                (paper_grid.main, grid),
            ]
        )
