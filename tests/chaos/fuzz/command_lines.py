"""Random command lines. None of them starts Ray or calls a server."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from analysis import summarize as summarize_module
from lvae_core import __main__ as core
from lvae_core.systems import SYSTEMS
from sweeps import doctor, paper_grid, search, wandb_push

NASTY = (
    *(
        "",
        " ",
        "x",
        "-",
        "--",
        "-1",
        "0",
        "1",
        "2",
        "3.5",
        "1e-320",
        "1e308",
        "nan",
        "inf",
        "-inf",
        "9" * 40,
    ),
    *(
        "None",
        "True",
        "[]",
        "{}",
        "null",
        "[",
        "é☃",
        "\udcff",
        "\x1b[31m",
        "a\nb",
        "=1+1",
        "%s",
        "{0}",
        "a" * 300,
    ),
    *(
        ".",
        "..",
        "/",
        "/dev/null",
        "run.json",
        "run.json/x",
        "nofile",
        "words",
        "study",
        "http://",
        "nofs://x",
    ),
    *(
        "s3://",
        "file://",
        "file:///",
        "lstm-vae",
        "lstm-va",
        "toy",
        "cpu",
        "cuda:0",
        "cuda:99",
        "meta",
        "2/1",
        "1/2",
    ),
)
"""Values for any option or argument."""

SETTINGS = (
    *(
        "max_epochs",
        "seed",
        "hidden_size",
        "latent_size",
        "learning_rate",
        "dropout",
        "iw_samples",
        "batch_size",
    ),
    *(
        "nosuch",
        "encoder",
        "averaging",
        "num_samples",
        "precision",
        "kl_anneal_epochs",
        "dataset",
        "system",
    ),
)


class CommandLines:
    """Draw command lines.

    Args:
        random: the source of all choices.
        run: the run folder that arguments name.
    """

    def __init__(self, random: random.Random, run: str) -> None:
        self._random, self._run = random, run

    def draw(self) -> tuple[Callable[..., object], list[str]]:
        """Return a command's ``main`` and its arguments."""
        make = self._random.choice(
            [
                *(self._core, self._core, self._core, self._grid, self._search),
                *(self._doctor, self._push, self._summarize),
            ]
        )
        main, arguments = make()
        for _ in range(self._random.choice([0, 0, 0, 0, 1])):  # words that are lost, doubled or inserted
            at = self._random.randrange(len(arguments) + 1)
            arguments[at:at] = [self._value()]
        if self._random.random() < 0.05 and arguments:
            del arguments[self._random.randrange(len(arguments))]
        return main, self._harmless(main, arguments)

    def _harmless(self, main: Callable[..., object], arguments: list[str]) -> list[str]:
        """Let no command start Ray or send anything."""
        if main in (paper_grid.main, search.main):
            return [*(a for a in arguments if a != "auto"), "--dry-run"]
        if main is doctor.main:
            return [*arguments, "--address", "127.0.0.1:1"]
        if main is wandb_push.main:
            return [a for a in arguments if a != "study"]
        return arguments

    def _value(self) -> str:
        return self._random.choice([*NASTY, self._run])

    def _options(self, known: dict[str, Sequence[str]], most: int = 3) -> list[str]:
        """Draw options; each with a value that is usual or nasty, or without one."""
        arguments = []
        for name in self._random.sample(sorted(known), min(most, len(known))):
            if self._random.random() < 0.6:
                usual = known[name] and self._random.random() < 0.75
                value = self._random.choice(known[name]) if usual else self._value()
                arguments += [name, value] if self._random.random() < 0.95 else [name]
        return arguments

    def _setting(self) -> str:
        return f"{self._random.choice(SETTINGS)}={self._value()}"

    def _core(self) -> tuple[Callable[..., object], list[str]]:
        usual: dict[str, Sequence[str]] = {"--verbose": (), "--quiet": ()}
        run: dict[str, Sequence[str]] = {
            **usual, "--device": ["cpu"], "--threads": ["1", "2"], "--checkpoint-minutes": ["0", "1"],
            "--data-dir": ["."], "--set": [self._setting(), self._setting()],
        }  # fmt: skip
        name = self._random.choice(
            ["describe", "recipe", "run", "evaluate", "generate", "generate", "nosuch"]
        )
        first = self._run if name in ("evaluate", "generate") else "run.json" if name == "run" else "words"
        first = first if self._random.random() < 0.7 else self._value()
        options = {
            "describe": {**usual, "--data-dir": ["."]},
            "recipe": {
                **usual, "--dataset": ["toy"], "--setting": ["inputless"], "--num-samples": ["2"],
                "--seed": ["3"], "--protocol": ["original"], "--set": run["--set"],
            },
            "run": {**run, "--checkpoint-epochs": ["1"], "--parent": (), "--out": ["new"]},
            "evaluate": {**run, "--part": ["1/2"]},
            "generate": {
                **usual, "--decode": ["greedy", "sample", "beam"], "--temperature": ["1", "0.5"],
                "--beam-width": ["2"], "--max-length": ["5"], "--count": ["1", "2"], "--seed": ["1"],
                "--sentence": ["a b", "zzz"], "--between": ["a"], "--json": (), "--data-dir": ["."],
            },
        }.get(name, run)  # fmt: skip
        if name == "recipe":
            first = self._random.choice([*SYSTEMS, self._value()])
        needed = ["--out", "new"] if name == "run" and self._random.random() < 0.8 else []
        return core.main, [name, first, *needed, *self._options(options)]

    def _launch(self) -> dict[str, Sequence[str]]:
        return {
            "--storage": ["."], "--study": ["study"], "--data-dir": ["."], "--cpus-per-run": ["1"],
            "--gpus-per-run": ["0", "0.5"], "--max-concurrent": ["1"], "--checkpoint-epochs": ["2"],
            "--checkpoint-minutes": ["1"], "--wandb": ["disabled"], "--quiet": (), "--verbose": (),
            "--set": [self._setting(), "max_epochs=1"],
        }  # fmt: skip

    def _grid(self) -> tuple[Callable[..., object], list[str]]:
        known = {
            **self._launch(), "--preset": ["demo"], "--datasets": ["toy", "words"], "--systems": [*SYSTEMS],
            "--settings": ["standard"], "--num-samples": ["2"], "--seeds": ["1", "0..1"], "--grid": ["."],
            "--max-epochs": ["1"], "--zip": [self._setting()], "--write-grid": ["new.toml"],
            "--devices": ["1"], "--price-per-hour": ["2"], "--protocol": ["original"],
        }  # fmt: skip
        return paper_grid.main, ["--datasets", "words", "--seeds", "1", *self._options(known, 5)]

    def _search(self) -> tuple[Callable[..., object], list[str]]:
        known = {
            **self._launch(), "--dataset": ["words"], "--system": ["lstm-vae"], "--trials": ["3"],
            "--space": ["learning_rate=0.3..3:log", "latent_size=2,3", "dropout=0..0.5"], "--rungs": ["1"],
            "--keep": ["2"], "--best": ["1"], "--fresh-seeds": ["1"], "--preset": ["demo"],
        }  # fmt: skip
        return search.main, self._options(known, 6)

    def _doctor(self) -> tuple[Callable[..., object], list[str]]:
        known: dict[str, Sequence[str]] = {
            "--storage": ["."], "--study": ["study"], "--datasets": ["toy"], "--data-dir": ["."],
            "--cluster": ["run.json"], "--cpus-per-run": ["1"], "--timeout": ["5"], "--gpus-per-run": ["1"],
        }  # fmt: skip
        return doctor.main, self._options(known, 4)

    def _push(self) -> tuple[Callable[..., object], list[str]]:
        known: dict[str, Sequence[str]] = {
            "--project": ["p"],
            "--entity": ["e"],
            "--offline": (),
            "--again": (),
        }
        return wandb_push.main, ["nofile", *self._options(known)]

    def _summarize(self) -> tuple[Callable[..., object], list[str]]:
        known: dict[str, Sequence[str]] = {
            "--out": ["summary"], "--every": ["5"], "--data-dir": ["."], "--evaluation": ["iw_samples=2"],
            "--published": ["run.json"], "--compare": ["study"], "--quiet": (), "--verbose": (),
        }  # fmt: skip
        fast = ["--no-figures", "--no-samples", "--no-cache"]
        return summarize_module.main, [
            self._random.choice(["study", self._value()]),
            *self._options(known),
            *fast,
        ]
