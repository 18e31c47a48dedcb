"""A whole search in this process: real runs, trained in milliseconds, without Ray."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from lvae_core.run_folder.study import Study
from lvae_core.training.failures import DivergedError, failure_of
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.launching.progress.display import Display
from sweeps.planning.plan import PlannedRun
from sweeps.trials.asha import AshaSearch
from sweeps.trials.proposals import Trial
from sweeps.trials.rules import Rules
from sweeps.trials.search import Search
from sweeps.trials.space import parse_space

from ...lvae_core import tiny

CORPUS = tiny.corpus(train=24, valid=6)
BASE = tiny.config(
    num_samples=1, max_epochs=4, kl_anneal_epochs=2.0, batch_size=4, iw_samples=2, iw_exact_samples=0
)
SPACE = ("learning_rate=0.05..2:log", "hidden_size=4..6")
RULES = Rules(trials=8, at_once=4)
HALVING = Rules(trials=8, at_once=4, rungs=(1, 2), keep=2)
_DONE = TemporaryDirectory()
"""Searches that have ended, by their rules and options."""
ASHA = replace(HALVING, rule="asha", at_once=3)
SHARED = ("lr_schedule=plateau,every", "patience=1..6")
"""Points with ``every`` share a run, because only ``plateau`` reads the patience: seven runs in all."""


@dataclass
class Launcher:
    """Do runs one after the other; after ``stop_after`` of them, be interrupted half-way in the next."""

    study: Study
    stop_after: float = math.inf
    refuse: set[str] = field(default_factory=set)
    """Names of runs that fail, or their labels, such as ``trial 2``."""
    refuse_at_end: set[str] = field(default_factory=set)
    """Those that fail after the last rung."""
    did: list[str] = field(default_factory=list)

    def __call__(
        self, runs: Sequence[PlannedRun], display: Display, pause_after: Mapping[str, int] | None = None
    ) -> bool:
        for run in runs:
            display.board.start(run.name)
            if len(self.did) >= self.stop_after:
                attempt = execute(run.config, CORPUS, self.study.run(run.name), Runtime(progress_seconds=0))
                next(attempt)
                attempt.close()
                return False
            self.did.append(run.name)
            self._do(run, display, (pause_after or {}).get(run.name))
        return True

    def _do(self, run: PlannedRun, display: Display, pause_after: int | None) -> None:
        folder = self.study.run(run.name)
        try:
            refused = self.refuse | (self.refuse_at_end if pause_after is None else set())
            if refused & {run.name, display.board.label(run.name)}:
                raise RuntimeError("refused")
            attempt = execute(run.config, CORPUS, folder, Runtime())
            for progress in attempt:
                if pause_after and progress.metrics and progress.epoch == pause_after:
                    attempt.close()
                    folder.clear_failure()
                    display.board.report(run.name, {"phase": "paused", "metrics": progress.metrics})
                    return
        except (DivergedError, RuntimeError) as error:
            failure = failure_of(error)
            folder.write_failure(*failure)
            found = {"class": failure.kind, "message": failure.message}
            display.board.report(run.name, {"phase": "failed", "failure": found})
            return
        result = folder.read_json("result.json") or {}
        display.board.report(run.name, {"phase": "done", **result})


def search(root: Path, rules: Rules = RULES, space: Sequence[str] = SPACE, **options) -> Search:
    base = replace(BASE, **options.pop("fields", {}))
    study = Study(str(root))
    kind = AshaSearch if rules.rule == "asha" else Search
    return kind(base, parse_space(space, base), rules, {"toy": CORPUS}, study, **options)


def continue_search(found: Search, **options) -> tuple[Launcher, bool]:
    launcher = Launcher(found.study, **options)
    with open(os.devnull, "w") as nowhere:
        display = Display(found.board, Console(file=nowhere))
        return launcher, found.run(lambda: launcher, display)


def finished(root: Path, rules: Rules = RULES, **options) -> Search:
    """A search that has ended. In an empty folder it is a copy of the first one like it."""
    is_new = not root.exists() or not any(root.iterdir())
    done = Path(_DONE.name, hashlib.sha256(repr((rules, options)).encode()).hexdigest())
    if is_new and done.exists():
        shutil.copytree(done, root, dirs_exist_ok=True)
    found = search(root, rules, **options)
    assert continue_search(found)[1]
    if is_new and not done.exists():
        shutil.copytree(root, done)
    return found


def rows(root: Path, found: Search, trial: Trial) -> list[dict]:
    file = root / found.runs.name(trial.values) / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def result(root: Path, found: Search, trial: Trial) -> dict:
    return json.loads((root / found.runs.name(trial.values) / "result.json").read_text())


def same(a: dict, b: dict) -> bool:
    changing = {"train_seconds", "evaluate_seconds", "sha256"}
    return {k: v for k, v in a.items() if k not in changing} == {
        k: v for k, v in b.items() if k not in changing
    }
