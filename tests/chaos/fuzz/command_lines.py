"""Random command lines. None of them starts Ray, asks a server or writes outside of its case's folder."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from analysis import summarize as summarize_module
from analysis import wandb_report as report_module
from lvae_core import __main__ as core
from lvae_core.systems import SYSTEMS
from sweeps import doctor, paper_grid, runs, search, wandb_push

from .options import OPTIONS, SETTING, Values

Main = Callable[..., object]

MAINS: dict[str, Main] = {
    "sweeps/paper_grid.py": paper_grid.main,
    "sweeps/search.py": search.main,
    "sweeps/doctor.py": doctor.main,
    "sweeps/runs.py": runs.main,
    "sweeps/wandb_push.py": wandb_push.main,
    "analysis/summarize.py": summarize_module.main,
    "analysis/wandb_report.py": report_module.main,
}
"""Command -> its function; those of ``python -m lvae_core`` have one together."""

WEIGHTS = {
    "generate": 2, "run": 2, "sweeps/paper_grid.py": 3, "sweeps/search.py": 2, "sweeps/runs.py": 2,
    "analysis/wandb_report.py": 0.4,
}  # fmt: skip
"""How much more often than the others a command is drawn; a report's W&B takes two seconds to import."""

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
    *("None", "True", "[]", "{}", "null", "[", "é☃", "\udcff", "\x1b[31m", "a\nb", "=1+1", "%s", "{0}"),
    *("a" * 300, ".", "..", "/", "/dev/null", "run.json", "run.json/x", "nofile", "words", "study"),
    *("http://", "nofs://x", "s3://", "file://", "file:///", "lstm-vae", "lstm-va", "toy", "cpu", "cuda:0"),
    *("cuda:99", "meta", "2/1", "1/2", "grid.toml"),
)
"""Values for any option or argument."""

SETTINGS = (
    *("max_epochs", "seed", "hidden_size", "latent_size", "learning_rate", "dropout", "iw_samples"),
    *("batch_size", "nosuch", "encoder", "averaging", "num_samples", "precision", "kl_anneal_epochs"),
    *("dataset", "system", "state"),
)

WRITES = ("--out", "--to", "--write-grid", "--storage")
"""Options that name a place where a command writes."""

OUTSIDE = ("..", "/", "file://", "file:///")
"""Values that are such a place, but not one of the case."""


class CommandLines:
    """Draw command lines.

    Args:
        random: the source of all choices.
        runs: the run folders that arguments name.
    """

    def __init__(self, random: random.Random, runs: Sequence[str]) -> None:
        self._random, self._runs = random, runs

    def draw(self) -> tuple[Main, list[str]]:
        """Return a command's ``main`` and its arguments."""
        names = [*OPTIONS, "nosuch"]
        (name,) = self._random.choices(names, [WEIGHTS.get(name, 1.0) for name in names])
        arguments = [*self._needed(name), *self._options(OPTIONS.get(name, {}))]
        for option, value in self._defaults(name):
            if option not in arguments:
                arguments += [option, value]
        for _ in range(self._random.choice([0, 0, 0, 0, 1])):  # a word that is doubled or inserted
            at = self._random.randrange(len(arguments) + 1)
            arguments[at:at] = [self._value()]
        if self._random.random() < 0.05 and arguments:
            del arguments[self._random.randrange(len(arguments))]
        if name in MAINS:
            return MAINS[name], self._harmless(name, arguments)
        return core.main, self._harmless(name, [name, *arguments])

    def _harmless(self, name: str, arguments: list[str]) -> list[str]:
        """Let no command start Ray, send anything or write elsewhere."""
        pairs = zip(["", *arguments], arguments, strict=False)
        arguments = ["new" if option in WRITES and a in OUTSIDE else a for option, a in pairs]
        if name in ("sweeps/paper_grid.py", "sweeps/search.py"):
            # --list starts nothing either.
            calm = [] if "--list" in arguments and self._random.random() < 0.8 else ["--dry-run"]
            calm = [option for option in calm if option not in arguments]
            return [*(a for a in arguments if a != "auto"), *calm]
        if name == "sweeps/doctor.py":
            return [*arguments, "--address", "127.0.0.1:1"]
        if name == "sweeps/wandb_push.py":
            return [a for a in arguments if a != "study"]
        if name == "analysis/summarize.py":
            calm = [o for o in ("--no-figures", "--no-samples", "--no-cache") if o not in arguments]
            return [*arguments, *calm]
        return arguments

    def _needed(self, name: str) -> list[str]:
        """Draw the arguments that are no options."""
        usual: dict[str, Sequence[Sequence[str]]] = {
            "import": [
                ("words",), ("tables",), ("tables/train.csv",),
                ("words/train.txt", "words/valid.txt", "words/test.txt"),
            ],
            "recipe": [(system,) for system in SYSTEMS],
            "run": [("run.json",)],
            "evaluate": [(run,) for run in self._runs],
            "generate": [(run,) for run in self._runs],
            "sweeps/paper_grid.py": [()],
            "sweeps/search.py": [()],
            "sweeps/doctor.py": [()],
            "sweeps/runs.py": [("list", "study"), ("move", "study"), ("delete", "study")],
            "sweeps/wandb_push.py": [("nofile",)],
            "analysis/summarize.py": [("study",), ("study", "study"), *((run,) for run in self._runs)],
            "analysis/wandb_report.py": [("study",), ("study", "study")],
        }  # fmt: skip
        words = self._random.choice(usual.get(name, [("words",)]))
        return [word if self._random.random() < 0.85 else self._value() for word in words]

    def _defaults(self, name: str) -> list[tuple[str, str]]:
        """Options that most command lines have, because without them the command ends early."""
        usual = {
            "import": [("--out", "new")],
            "run": [("--out", "new")],
            "sweeps/paper_grid.py": [("--datasets", "words"), ("--seeds", "1")],
            "sweeps/search.py": [("--dataset", "words"), ("--storage", "."), ("--study", "study")],
        }
        return usual.get(name, []) if self._random.random() < 0.85 else []

    def _value(self) -> str:
        return self._random.choice([*NASTY, *self._runs])

    def _options(self, known: dict[str, Values], most: int = 4) -> list[str]:
        """Draw options; each with a value that is usual or nasty, or without one."""
        arguments = []
        for name in self._random.sample(sorted(known), min(most, len(known))):
            if self._random.random() < 0.6:
                arguments += [name, *self._values(known[name])]
        return arguments

    def _values(self, usual: Values) -> Sequence[str]:
        chance = self._random.random()
        if not usual:
            return () if chance < 0.95 else (self._value(),)
        if chance < 0.05:
            return ()
        if chance < 0.3:
            return (self._value(),)
        chosen = self._random.choice(usual)
        words = (chosen,) if isinstance(chosen, str) else chosen
        return [self._setting() if word == SETTING else word for word in words]

    def _setting(self) -> str:
        return f"{self._random.choice(SETTINGS)}={self._value()}"
