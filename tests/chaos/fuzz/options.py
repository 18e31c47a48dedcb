"""The options of every command, with usual values: what random command lines are made of.

A test compares the lists with docs/reference.md, so an option that is new, renamed or gone is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lvae_core.systems import SYSTEMS

Values = Sequence[str | tuple[str, ...]]
"""Usual values of an option, each one word or several; none for an option that takes no value."""

SETTING = "FIELD=VALUE"
"""A value in whose place a random setting of a config field is drawn."""

_MESSAGES: dict[str, Values] = {"--verbose": (), "--quiet": ()}
_CORE: dict[str, Values] = {**_MESSAGES, "--data-dir": ["."]}
_SET: dict[str, Values] = {"--set": [SETTING, (SETTING, SETTING), "max_epochs=1"]}

_RUNTIME: dict[str, Values] = {
    **_CORE, **_SET, "--device": ["cpu"], "--threads": ["1", "2"], "--checkpoint-minutes": ["0", "1"],
}  # fmt: skip

_LAUNCH: dict[str, Values] = {
    **_MESSAGES, **_SET, "--storage": ["."], "--study": ["study"], "--data-dir": ["."],
    "--cpus-per-run": ["1"], "--gpus-per-run": ["0", "0.5"], "--max-concurrent": ["1"],
    "--checkpoint-epochs": ["2"], "--checkpoint-minutes": ["1"],
    "--wandb": ["disabled", "offline", "online"], "--wandb-project": ["p"],
    "--wandb-entity": ["e"], "--wandb-artifacts": (), "--tensorboard": (),
    "--retry-failed": (), "--max-epochs": ["1"], "--dry-run": (),
}  # fmt: skip

OPTIONS: dict[str, dict[str, Values]] = {
    "describe": {**_CORE, "--json": ()},
    "import": {
        **_MESSAGES, "--out": ["new"], "--column": ["1", "2", "text"],
        "--columns": ["2"], "--header": (), "--delimiter": [";", "tab"],
        "--unknown-word": ["a"], "--remove": ["b"], "--max-length": ["3", "512"],
        "--max-length-policy": ["refuse", "cut"],
        "--split": [("0.8", "0.1", "0.1"), ("8", "1", "1"), ("1", "0", "0")], "--seed": ["3"],
    },
    "recipe": {
        **_CORE, **_SET, "--dataset": ["toy", "words"], "--setting": ["standard", "inputless"],
        "--num-samples": ["2"], "--seed": ["3"], "--protocol": ["matched", "original"],
    },
    "run": {
        **_RUNTIME, "--out": ["new"], "--checkpoint-epochs": ["1"], "--parent": (), "--tensorboard": (),
    },
    "evaluate": {**_RUNTIME, "--part": ["1/2"]},
    "generate": {
        **_CORE, "--decode": ["greedy", "sample", "beam"], "--temperature": ["1", "0.5"],
        "--beam-width": ["2"], "--max-length": ["5"], "--count": ["1", "2"], "--seed": ["1"],
        "--sentence": ["a b", "zzz"], "--between": [("a", "b c")], "--json": (),
    },
    "sweeps/paper_grid.py": {
        **_LAUNCH, "--preset": ["None", "paper", "all", "demo"], "--grid": ["grid.toml", "."],
        "--datasets": ["toy", "words", ("toy", "words")], "--systems": [*SYSTEMS, ("lstm-lm", "cnn-vae")],
        "--settings": ["standard", "inputless"], "--num-samples": ["2", ("1", "2")],
        "--seeds": ["1", "0..1", "1,3"], "--declare-seeds": ["1", "2"], "--protocol": ["original"],
        "--zip": [SETTING, (SETTING, SETTING)], "--write-grid": ["new.toml"],
        "--devices": ["1", ("1", "8")], "--price-per-hour": ["2"], "--list": (),
    },
    "sweeps/search.py": {
        **_LAUNCH, "--preset": ["paper", "demo"], "--dataset": ["words", "toy"], "--system": [*SYSTEMS],
        "--setting": ["standard", "inputless"], "--num-samples": ["2"], "--trials": ["3", "5"],
        "--space": ["learning_rate=0.3..3:log", "latent_size=2,3", "dropout=0..0.5"],
        "--at-once": ["1", "2"], "--sampler": ["tpe", "random"], "--rungs": ["1", ("1", "2")],
        "--rule": ["rounds", "asha"],
        "--keep": ["2"], "--objective": ["nll", "kl", "seconds", ("nll", "kl")], "--seed": ["3"],
        "--best": ["1", "2"], "--seeds": ["0", "1", "6"], "--out": ["new"],
    },
    "sweeps/doctor.py": {
        **_MESSAGES, "--storage": ["."], "--study": ["study"], "--datasets": ["toy", "words"],
        "--data-dir": ["."], "--cluster": ["run.json", "grid.toml"], "--cpus-per-run": ["1"],
        "--gpus-per-run": ["1"], "--timeout": ["5"],
    },
    "sweeps/runs.py": {
        **_MESSAGES, "--where": ["seed=0", "state=failed", ("system=lstm-vae", "seed=0,1"), SETTING],
        "--to": ["elsewhere", "study"], "--names": (), "--yes": (),
    },
    "sweeps/wandb_push.py": {
        **_MESSAGES, "--project": ["p"], "--entity": ["e"], "--offline": (), "--again": (),
        "--artifacts": (),
    },
    "analysis/summarize.py": {
        **_MESSAGES, "--out": ["new"], "--compare": [("study", "study"), ("study", "words")],
        "--every": ["5"], "--data-dir": ["."], "--evaluation": ["iw_samples=3", SETTING],
        "--baseline": ["lstm-lm", SETTING],
        "--latex": ["plain", "siunitx"], "--published": ["published.csv", "run.json"],
        "--no-figures": (), "--no-samples": (), "--no-cache": (), "--no-watch": (),
    },
    "analysis/wandb_report.py": {
        **_MESSAGES, "--project": ["p"], "--entity": ["e"], "--title": ["a title"],
        "--baseline": ["lstm-lm", SETTING], "--published": ["published.csv", "run.json"],
    },
}  # fmt: skip
"""Heading in docs/reference.md -> the options that are drawn."""

_SLOW = "the case would take seconds; tests/analysis has this option"

NEVER_DRAWN: Mapping[str, Mapping[str, str]] = {
    "download": dict.fromkeys(_CORE, "it asks a server"),
    "sweeps/paper_grid.py": {"--address": "it would connect to a cluster for `auto`"},
    "sweeps/search.py": {"--address": "it would connect to a cluster for `auto`"},
    "sweeps/doctor.py": {"--address": "every case has the same one, so that none starts Ray"},
    "sweeps/wandb_push.py": {"--follow": "it ends with Ctrl-C only"},
    "analysis/summarize.py": {
        "--watch": "it ends with Ctrl-C only", "--figures": _SLOW, "--samples": _SLOW,
        "--cache": "it writes into the user's cache",
    },
}  # fmt: skip
"""Heading -> the options that no case has, and why."""
