"""The README is executed, chapter by chapter, in a copy of the repository as a user gets it."""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from .commands import python

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

TINY = "--set hidden_size=8 embedding_size=4 latent_size=2 iw_samples=6 mi_samples=2 kl_anneal_epochs=1"

SCALED = {
    # Installing and training take minutes to hours. What make installs is tested in test_makefile.py.
    "make demo": "make --dry-run demo",
    "make test": "make --dry-run test",
    # 60 runs of PTB's sizes.
    "python sweeps/paper_grid.py --datasets my_corpus --seeds 3 --study mine": (
        "python sweeps/paper_grid.py --datasets my_corpus --seeds 1 --study mine --systems lstm-lm "
        f"lstm-vae --num-samples 1 --settings standard --max-epochs 1 {TINY}"
    ),
    "python sweeps/search.py --preset demo": "python sweeps/search.py --preset demo --dry-run",
    # Needs the network.
    "python -m lvae_core download ptb --data-dir data": "python -m lvae_core download --help",
    # Penn Treebank is not in the repository, and its grid takes days.
    "python sweeps/paper_grid.py --datasets ptb --dry-run": (
        "python sweeps/paper_grid.py --datasets toy --dry-run"
    ),
    "python sweeps/paper_grid.py --datasets ptb": "python sweeps/paper_grid.py --datasets toy --dry-run",
    "python sweeps/paper_grid.py --datasets ptb --preset all": (
        "python sweeps/paper_grid.py --preset all --datasets toy --dry-run"
    ),
    "python analysis/summarize.py runs/paper": "python analysis/summarize.py runs/mine --no-figures",
    "python -m lvae_core recipe lstm-vae-avg --dataset ptb --num-samples 5 > run.json": (
        "python -m lvae_core recipe lstm-vae-avg --dataset toy --num-samples 5 --set max_epochs=1 "
        "--set iw_samples=6 --set mi_samples=2 > run.json"
    ),
    "python -m lvae_core evaluate my-run --set iw_samples=5000": (
        "python -m lvae_core evaluate my-run --set iw_samples=8"
    ),
}
"""Command of the README -> the one that is run instead, smaller."""


def chapters() -> dict[str, list[str]]:
    """Heading -> its commands, without comments."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^## ", README, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        if commands := commands_of(text):
            found[heading] = commands
    return found


def commands_of(text: str) -> list[str]:
    """The indented lines of a document, without comments."""
    joined = "\n".join(re.findall(r"^    (.*)$", text, re.MULTILINE)).replace("\\\n", "")
    commands = [re.sub(r"\s+# .*$", "", line).strip() for line in joined.split("\n")]
    return [re.sub(r"\s+", " ", command) for command in commands if command]


def files_of_a_clone() -> list[str]:
    """The files that git tracks; without git, all but those that its rules would ignore.

    A new file is none of them until it is added: a commit that lacks it would give users a clone that does
    not work, which only these tests can notice.
    """
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
    ignored = [".git", *(rule.rstrip("/") for rule in (ROOT / ".gitignore").read_text().split())]
    found = []
    for folder, below, names in os.walk(ROOT):
        # A rule that begins with "/" is of the root alone.
        here = Path("/", Path(folder).relative_to(ROOT))
        below[:] = [name for name in below if not any(map((here / name).match, ignored))]
        found += [str(here / name)[1:] for name in names if not any(map((here / name).match, ignored))]
    return found


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clone")
    for name in files_of_a_clone():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    reviews = place / "reviews"
    reviews.mkdir()
    for split, count in {"train": 60, "valid": 12, "test": 12}.items():
        with (reviews / f"{split}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["stars", "text"])
            start = {"train": 0, "valid": 1000, "test": 2000}[split]
            words = ("good", "bad", "slow", "quick", "food", "staff", "place", "again")
            rows.writerows(
                [
                    k % 5,
                    " ".join(
                        words[(start + k * k + j * (k % 7 + 1)) % 8] for j in range(3 + (start + k) % 9)
                    ),
                ]
                for k in range(count)
            )
    return place


@pytest.fixture(scope="module")
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ``python`` that starts in a moment."""
    place = tmp_path_factory.mktemp("bin")
    script = place / "python"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(python())} "$@"\n')
    script.chmod(0o755)
    return place


def test_the_readme_is_short_and_shows_the_report() -> None:
    assert len(README.splitlines()) < 150
    (picture,) = re.findall(r"!\[.*?\]\((.*?\.png)\)", README)
    assert (ROOT / picture).stat().st_size < 150_000


def test_every_smaller_command_stands_for_one_in_the_readme() -> None:
    assert set(SCALED) <= {command for commands in chapters().values() for command in commands}


def execute(command: str, clone: Path, quick_python: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=clone,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("WANDB_")},
            "PATH": f"{quick_python}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(clone),
        },
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("chapter", chapters())
def test_every_command_of_a_chapter_works(chapter: str, clone: Path, quick_python: Path) -> None:
    for command in chapters()[chapter]:
        execute(SCALED.get(command, command), clone, quick_python)
    if chapter == "Your own text":
        assert (clone / "summary").is_dir()
        assert len(list(clone.glob("runs/mine/my_corpus__*/result.json"))) == 2


def test_what_wandb_writes_offline_disturbs_no_check_of_the_clone(clone: Path, quick_python: Path) -> None:
    document = (ROOT / "docs" / "wandb.md").read_text()
    (command,) = [line for line in commands_of(document) if "--wandb offline" in line]
    tiny = (
        "--datasets toy --seeds 1 --study mirrored --systems lstm-vae --num-samples 1 --settings standard "
        f"--max-epochs 1 {TINY}"
    )
    assert " … " in command
    execute(command.replace("…", tiny), clone, quick_python)
    assert len(list(clone.glob("wandb/offline-run-*/*.wandb"))) == 1
    # As in a clone, the linter passes over what git ignores.
    execute("git init --quiet && ruff check --no-cache .", clone, quick_python)


def rows_of_results(table: int) -> dict[str, list[str]]:
    """System -> the other columns of a table of the chapter on results."""
    chapter = README.partition("## Results")[2].partition("\n## ")[0]
    found = [part for part in re.split(r"\n\n", chapter) if part.startswith("| system |")][table]
    rows = [[text.strip() for text in line.strip("|").split("|")] for line in found.splitlines()[2:]]
    return {system: columns for system, *columns in rows}


def test_the_table_of_penn_treebank_follows_from_the_kept_runs_and_the_published_numbers() -> None:
    bounds = pd.read_csv(ROOT / "results" / "summary" / "ptb" / "bounds.csv")
    bounds = bounds[bounds.setting == "standard"]
    names = bounds["system"].str.upper() + bounds["num_samples"].map(lambda L: f" L={L}" if L else "")
    rows = rows_of_results(0)
    assert len(rows) >= 4
    for name, (published, _, ours, bound) in rows.items():
        of_row = {row["estimate"]: row for row in bounds[names == name].to_dict("records")}
        row = of_row.get("nll", of_row.get("nll_elbo"))
        assert row is not None
        assert published == f"{row['published_mean']:.1f}±{row['published_std']:.1f}"
        seeds = f"({row['n']} seed{'s' * (row['n'] > 1)})"
        assert ours == (f"{_one_digit(row)} {seeds}" if row["n"] else "not run to its end yet"), name
        # The tightest reliable one, by the draws of the ELBO or by importance weights.
        valid = [of_row[e] for e in ("nll", "nll_joint", "nll_iw_joint") if e in of_row]
        if "nll_joint" not in of_row:
            valid += [of_row[e] for e in ("nll_elbo", "nll_iw") if e in of_row]
        reliable = [v for v in valid if v["n"] and not v["khat_above"] > 0.05]
        best = min(reliable, key=lambda v: float(v["mean"]), default=None)
        exact = ", exact" if "nll" in of_row else ""
        assert bound == ("" if best is None else _one_digit(best) + exact), name


def test_the_table_of_topics_follows_from_the_kept_runs() -> None:
    rows = rows_of_results(1)
    bounds = pd.read_csv(ROOT / "results" / "summary" / "topics-declared" / "bounds.csv")
    bounds = bounds[bounds.estimate.str.startswith("nll") & (bounds.setting == "inputless")]
    for (system, samples), cell in bounds.groupby(["system", "num_samples"]):
        row = rows[system.upper() + (f" L={samples}" if samples else "")]
        published, valid = row
        best = cell[cell.bound != "not a bound"].sort_values("mean").iloc[0]
        assert _spread(best) in valid
        by_convention = cell[cell.estimate.isin(["nll", "nll_elbo"])].iloc[0]
        assert _spread(by_convention) in published
    assert "6.24" in README


def _one_digit(row: dict[Hashable, Any]) -> str:
    """A mean, with its standard deviation if it is of several seeds."""
    return f"{row['mean']:.1f}" + ("" if row["n"] == 1 else f"±{row['std']:.1f}")


def _spread(row: pd.Series[float]) -> str:
    """A mean and its standard deviation; a small one has three decimals."""
    digits = 1 if row["std"] >= 0.05 else 3
    return f"{row['mean']:.{digits}f}±{row['std']:.{digits}f}"
