"""Random command lines, damaged run folders and damaged config files, all drawn from a seed.

A case is done in this process: its command's ``main`` is called with arguments, so torch is imported once.
Commands stop before they would start Ray or call a server.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from analysis import summarize as summarize_module
from lvae_core import __main__ as core
from lvae_core.run_folder.digests import seal
from lvae_core.systems import SYSTEMS, recipe
from sweeps import doctor, paper_grid, search, wandb_push

from .small_run import write_corpus

LIMIT_SECONDS = 60.0
"""Seconds that a case may take on a busy machine; most take less than one."""

RUN = "study/" + "words__lstm-vae__standard__L1__seed0__"
"""Start of the name of the run folder in every case's folder."""

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


@dataclass(frozen=True)
class Outcome:
    """What a case did."""

    case: str
    status: object
    output: str
    seconds: float
    appeared: list[str]
    """Files that the command has left, by path."""

    def complaint(self) -> str:
        """Return what is wrong with the outcome; empty if nothing is."""
        if self.status not in (0, 1, 2, 130):
            return f"status {self.status!r}"
        if "Traceback" in self.output or "error: unexpected" in self.output:
            return "a traceback or an unexpected error"
        if self.seconds > LIMIT_SECONDS:
            return f"{self.seconds:.0f} s"
        if self.status == 2 and not any(word in self.output for word in ("error: ", "fix what has failed")):
            return "status 2 without a line"
        if self.status == 2 and self.appeared:
            return f"left behind: {self.appeared}"
        return ""

    def __str__(self) -> str:
        return f"{self.complaint()}\n{self.case}\n{self.output[-2000:]}"


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


def call(case: str, main: Callable[..., object], arguments: Sequence[str]) -> Outcome:
    """Run a command in the current folder and say what it did."""
    before = paths()
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    start = time.monotonic()
    status: object
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        mock.patch.object(sys, "argv", ["command", *arguments]),
        mock.patch.object(sys, "stdin", io.StringIO("")),
    ):
        try:
            status = main() if main is summarize_module.main else main(list(arguments))
        except SystemExit as end:
            status = end.code
        except BaseException:
            status = "an exception"
            traceback.print_exc()
    seconds = time.monotonic() - start
    printed.flush()
    output = printed.buffer.getvalue().decode()  # type: ignore[attr-defined]
    return Outcome(f"{case}: {list(arguments)}", status, output, seconds, sorted(paths() - before))


def paths() -> set[str]:
    """Return the files of the current folder, without those that repair leaves."""
    found = {str(path) for path in Path().rglob("*")}
    return {path for path in found if ".damaged-" not in path and ".partial-" not in path}


class Fuzzer:
    """Draw cases from a seed.

    Args:
        template: a folder that :func:`make_template` has filled.
        seed: of the cases.
    """

    def __init__(self, template: Path, seed: int) -> None:
        self._template, self._random = template, random.Random(seed)
        (self._run,) = (str(p.relative_to(template)) for p in template.glob(f"{RUN}*"))

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

    # --- command lines ---

    def _command_line(self) -> Outcome:
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
        return call("arguments", main, self._harmless(main, arguments))

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

    # --- bytes ---

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

    def _damaged_run(self) -> Outcome:
        damaged = []
        for _ in range(self._random.choice([1, 1, 2])):
            file = self._random.choice(sorted(p for p in Path(self._run).iterdir() if p.is_file()))
            damaged.append(f"{file.name} {self._damage(file)}")
        main, arguments = self._readers()
        return call(f"run folder, {', '.join(damaged)}", main, arguments)

    def _damage(self, file: Path) -> str:
        data = file.read_bytes()
        kinds = ["cut", "flip", "insert", "empty", "gone", "folder"]
        kind = self._random.choice([*kinds, *["sealed"] * 6] if file.suffix == ".json" else kinds)
        at = self._random.randrange(len(data)) if data else 0
        if kind == "sealed":  # a valid digest over another value, as by a program of another version
            with contextlib.suppress(ValueError):  # it is damaged already, or no JSON
                value = json.loads(data)
                value.pop("sha256", None)
                text = self._change(value)
                file.write_bytes(seal(value))
                return f"sealed with {text}"
            kind = "empty"
        if kind == "gone":
            file.unlink()
        elif kind == "folder":
            file.unlink()
            file.mkdir()
        else:
            noise = self._random.randbytes(self._random.choice([1, 4, 100]))
            changed = {
                "cut": data[:at],
                "flip": data[:at] + noise + data[at + len(noise) :],
                "insert": data[:at] + noise + data[at:],
                "empty": b"",
            }
            file.write_bytes(changed[kind])
        return f"{kind} at {at}"

    def _change(self, value: dict[str, Any]) -> str:
        """Change one entry of nested JSON; returns what was changed."""
        place: Any = value
        path = []
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                return "nothing"
            key = self._random.choice(keys)
            path.append(key)
            if isinstance(place[key], dict | list) and place[key] and self._random.random() < 0.8:
                place = place[key]
                continue
            if isinstance(place, dict) and self._random.random() < 0.2:
                del place[key]
                return f"{path} deleted"
            place[key] = self._json()
            return f"{path} = {str(place[key])[:80]!r}"

    def _json(self) -> object:
        nested: object = []
        for _ in range(200):
            nested = [nested]
        return self._random.choice(
            [
                *(None, True, False, 0, 1, -1, 2.5, 1e308, -1e308, 10**30, float("nan"), float("inf")),
                *("", "x", "nan", "\x1b[31m", "\ud800", "a\x00b", "é" * 200, "../x", "2" * 64),
                *([], {}, [[]], {"x": None}, {"value": "x"}, [1, 2], nested),
            ]
        )

    def _damaged_config(self) -> Outcome:
        file = Path("run.json")
        if self._random.random() < 0.3:
            what = self._damage(file)
        else:
            value = json.loads(file.read_text())
            what = self._change(value)
            text = json.dumps(value)
            file.write_text(text if self._random.random() < 0.9 else text.replace('"', "'"))
        return call(f"config file, {what}", core.main, ["run", "run.json", "--out", "new"])
