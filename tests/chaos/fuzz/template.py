"""The files that every case gets a copy of: a study with every kind of file, data, a config and a grid."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import tyro

from lvae_core import __main__ as core
from lvae_core.data.corpus import load
from lvae_core.identity import fingerprint
from lvae_core.run_folder import claims
from lvae_core.run_folder.declared_seeds import declare_seeds
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.planned_runs import write_planned_runs
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.trials.options import Options
from sweeps.trials.search import Search
from sweeps.trials.space import parse_space

from ..small_run import write_corpus
from .outcome import call

SIZES = {
    "embedding_size": 2, "hidden_size": 3, "latent_size": 2, "batch_size": 8, "max_epochs": 2,
    "iw_samples": 2, "mi_samples": 2, "eval_batch_size": 8,
}  # fmt: skip

GRID = """\
study = "study"
protocol = "matched"
datasets = ["words"]
settings = ["standard"]
seeds = "0..1"
set.max_epochs = 2
set.hidden_size = [3, 4]
zip = [{embedding_size = [2, 3], latent_size = [2, 3]}]

[systems]
lstm-vae = [1, 2]
lstm-lm = {settings = ["standard", "inputless"], not_on = ["toy"]}

[[also]]
datasets = ["words"]
systems.lstm-iwae = [2]
seeds = [0, 3]
set = {max_epochs = 1}
"""

PUBLISHED = """\
dataset,source,cited_as,system,num_samples,setting,metric,mean,std,runs
words,hu2026,Hu et al. 2026,LSTM-VAE,1,standard,nll,10.4,0.2,3
words,hu2026,Hu et al. 2026,LSTM-VAE,1,standard,kl,1.2,,
"""

SPACE = "learning_rate=0.3..3:log"

SEARCH = (
    *("--dataset", "words", "--storage", ".", "--study", "searched", "--space", SPACE),
    *("--trials", "3", "--at-once", "2", "--seeds", "0", "--max-epochs", "1"),
)
"""Arguments of the command for the search of the template, whose first round has been proposed."""


def make_template(folder: Path) -> None:
    """Write data, a config, a grid, a search and a study.

    The study has a finished run with a further evaluation, a failed run with a claim whose process is gone,
    the number of seeds that it has declared, and the runs that its last launch has planned.
    """
    for place in ("words", "tables"):
        (folder / place).mkdir(parents=True)
    write_corpus(folder / "words")
    for split in ("train", "valid", "test"):
        lines = (folder / "words" / f"{split}.txt").read_text().splitlines()
        rows = "".join(f"{number},{line}\n" for number, line in enumerate(lines))
        (folder / "tables" / f"{split}.csv").write_text(f"number,text\n{rows}")
    (folder / "grid.toml").write_text(GRID)
    (folder / "published.csv").write_text(PUBLISHED)
    with contextlib.chdir(folder):
        _make_study()
        _make_search()


def _make_study() -> None:
    config = replace(recipe("lstm-vae", dataset="words"), **SIZES)
    Path("run.json").write_text(json.dumps(config.to_dict()))
    identities = [fingerprint(replace(config, seed=seed), load("words").data_sha256) for seed in range(2)]
    done, failed = (
        run_name(replace(config, seed=seed), identity) for seed, identity in enumerate(identities)
    )
    often = ["--checkpoint-minutes", "0", "--quiet"]
    for arguments in (
        ["run", "run.json", "--out", f"study/{done}", *often],
        ["evaluate", f"study/{done}", "--set", "iw_samples=3", *often],
    ):
        outcome = call("setup", core.main, arguments)
        assert outcome.status == 0, outcome.output
    study = Study("study")
    shutil.copytree(f"study/{done}", f"study/{failed}")
    run = study.run(failed)
    run.write_config(replace(config, seed=1), identities[1])
    for name in ("result.json", *(file.name for file in Path(f"study/{failed}").glob("evaluation-*"))):
        Path(f"study/{failed}/{name}").unlink()
    run.write_failure("code", "ValueError: no", "Traceback\n  here\n")
    gone = replace(claims.Holder.current("a launch that has died"), started="1")
    run.write_json("claim-1.json", {**asdict(gone), "beat": 3})
    write_planned_runs(study, [done, failed])
    declare_seeds(study, 2)


def _make_search() -> None:
    options = tyro.cli(Options, args=SEARCH)
    base = options.base()
    corpora, study = {"words": load("words")}, Study("searched")
    search = Search(base, parse_space((SPACE,), base), options.rules(), corpora, study, retry_failed=False)
    search.history.add([{"learning_rate": 1.0}, {"learning_rate": 0.5}])
