"""Random command lines, and damaged studies, config files and grid files, all drawn from a seed.

A case is done in this process: its command's ``main`` is called with arguments, so torch is imported once.
Commands stop before they would start Ray or call a server.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from pathlib import Path

from analysis import summarize as summarize_module
from lvae_core import __main__ as core
from sweeps import paper_grid, runs, search

from .command_lines import CommandLines, Main
from .damage import Damage
from .outcome import Outcome, call
from .template import SEARCH


class Fuzzer:
    """Draw cases from a seed.

    Args:
        template: a folder that :func:`tests.chaos.fuzz.template.make_template` has filled.
        seed: of the cases.
    """

    def __init__(self, template: Path, seed: int) -> None:
        self._template, self._random = template, random.Random(seed)
        self._runs = sorted(
            str(p.relative_to(template)) for p in (template / "study").iterdir() if p.is_dir()
        )
        self._command_lines, self._damage = CommandLines(self._random, self._runs), Damage(self._random)

    def case(self, place: Path) -> Outcome:
        """Do the next case in the new folder ``place``."""
        shutil.copytree(self._template, place)
        draw = self._random.choices(
            [self._command_line, self._damaged_study, self._damaged_config, self._damaged_grid],
            [5, 3, 2, 2],
        )[0]
        with contextlib.chdir(place):
            try:
                return draw()
            finally:
                shutil.rmtree(place)

    def _command_line(self) -> Outcome:
        return call("arguments", *self._command_lines.draw())

    def _damaged_study(self) -> Outcome:
        if self._random.random() < 0.1:
            what = self._damage_files(Path("searched"), [1])
            return call(f"search, {what}", search.main, [*SEARCH, "--dry-run"])
        # The run folders have most of the files.
        run = self._random.choice(self._runs)
        folder = Path(run if self._random.random() < 0.85 else "study")
        what = self._damage_files(folder, [1, 1, 2])
        main, arguments = self._readers(run)
        return call(f"{folder}, {what}", main, arguments)

    def _damage_files(self, folder: Path, counts: list[int]) -> str:
        damaged = []
        for _ in range(self._random.choice(counts)):
            if files := sorted(path for path in folder.iterdir() if path.is_file()):
                file = self._random.choice(files)
                damaged.append(f"{file.name} {self._damage.file(file)}")
        return ", ".join(damaged)

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

    def _damaged_grid(self) -> Outcome:
        file = Path("grid.toml")
        if self._random.random() < 0.3:
            what = self._damage.file(file)
        else:
            text, what = self._damage.toml(file.read_text())
            file.write_text(text)
        arguments = ["--grid", str(file), "--storage", ".", "--dry-run"]
        return call(f"grid file, {what}", paper_grid.main, arguments)

    def _readers(self, run: str) -> tuple[Main, list[str]]:
        """Draw a command that reads the study or a run of it."""
        fast = ["--no-samples", "--no-cache", "--no-figures"]
        estimates: list[list[str]] = [[], ["--evaluation", "iw_samples=3"]]
        grid = ["--datasets", "words", "--seeds", "1", "--storage", ".", "--study", "study", "--dry-run"]
        return self._random.choice(
            [
                (core.main, ["generate", run, "--count", "1", "--max-length", "3"]),
                (core.main, ["evaluate", run, "--set", f"iw_samples={self._random.choice([3, 4])}"]),
                (core.main, ["run", "run.json", "--out", run]),
                (core.main, ["run", "run.json", "--set", "seed=1", "--out", run]),
                (core.main, ["run", f"{run}/config.json", "--out", "new"]),
                (summarize_module.main, ["study", *self._random.choice(estimates), *fast]),
                (paper_grid.main, grid),
                (paper_grid.main, ["--grid", "grid.toml", "--storage", ".", "--retry-failed", "--dry-run"]),
                (runs.main, ["list", "study"]),
                (runs.main, ["delete", "study", "--where", "state=failed,unreadable,done", "--yes"]),
                (runs.main, ["move", "study", "--where", "system=lstm-vae", "--to", "moved", "--yes"]),
            ]
        )
