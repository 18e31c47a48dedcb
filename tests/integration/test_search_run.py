"""A search on a real Ray: neither a paused trial nor an interrupted search changes any result."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lvae_core.data.corpus import load
from lvae_core.run_folder.names import RunName
from lvae_core.run_folder.study import Study
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute

from ..commands import python
from .nodes import wait_until

SCRIPT = Path(__file__).parents[2] / "sweeps" / "search.py"
SUMMARIZE = Path(__file__).parents[2] / "analysis" / "summarize.py"
COMMAND = [
    *("--dataset", "toy", "--space", "learning_rate=0.2..2:log", "--trials", "4", "--at-once", "4"),
    *("--rungs", "1", "--keep", "2", "--seeds", "2", "--max-epochs", "3"),
    *("--set", "kl_anneal_epochs=2", "--set", "iw_samples=6", "--max-concurrent", "1"),
]


def run_search(place: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [*python(), "-W", "error", str(SCRIPT), *COMMAND, *more]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=240, check=False)


def runs_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if RunName.parse(path.name))


def reproducible_content(folder: Path) -> dict[str, bytes | dict]:
    """Return the content of run folders that must be equal to the last bit."""
    found: dict[str, bytes | dict] = {}
    for run in runs_of(folder):
        found[f"{run.name} metrics"] = (run / "metrics.jsonl").read_bytes()
        if (run / "result.json").exists():
            result = json.loads((run / "result.json").read_text())
            for changing in ("train_seconds", "evaluate_seconds", "sha256"):
                del result[changing]
            found[run.name] = result
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, str]:
    """The folder and the output of an undisturbed search."""
    place = tmp_path_factory.mktemp("undisturbed")
    done = run_search(place)
    assert done.stderr == ""
    assert done.returncode == 0
    return place, done.stdout


def test_a_search_reports_its_trials_its_best_point_and_a_comparison_on_fresh_seeds(undisturbed):
    place, out = undisturbed
    trials = runs_of(place / "runs/search")
    epochs = [len((run / "metrics.jsonl").read_text().splitlines()) for run in trials]
    assert sorted(epochs) == [1, 1, 3, 3]  # two of four continue
    assert sum((run / "result.json").exists() for run in trials) == 2
    fresh = [RunName.parse(run.name) for run in runs_of(place / "runs/search-best")]
    assert sorted(run.seed for run in fresh) == [1, 1, 2, 2]

    (best,) = re.findall(r"^lowest validation perplexity: trial \d, --set learning_rate=(.*)$", out, re.M)
    perplexities = {}
    for run in trials:
        if (run / "result.json").exists():
            rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            config = json.loads((run / "config.json").read_text())["config"]
            perplexities[config["learning_rate"]] = min(row["valid_ppl"] for row in rows)
    assert float(best) == min(perplexities, key=lambda rate: perplexities[rate])
    rows = (place / "summary/search/search.csv").read_text().splitlines()
    assert rows[0] == "trial,state,epochs,valid_ppl,learning_rate,run"
    assert sorted(row.rpartition(",")[2] for row in rows[1:]) == [run.name for run in trials]
    assert (place / "summary/search/search.png").read_bytes().startswith(b"\x89PNG")
    assert "On fresh seeds" in out
    assert re.search(r"^the recipe +\d", out, re.M)
    assert out.splitlines()[-1] == f"next: python {SUMMARIZE} runs/search-best"
    before, _, after = out.partition("lowest validation perplexity: ")
    assert "test ppl" not in before, "trials are selected without the test split"
    assert "the recipe, seed 1: done" in after


def test_pausing_at_a_rung_changes_no_result(undisturbed, tmp_path):
    place, _ = undisturbed
    study = Study(str(place / "runs/search"))
    toy, alone = load("toy"), Study(str(tmp_path))
    compared = 0
    for name in study.run_names():
        if study.run(name).has("result.json"):
            config, _ = study.run(name).read_config()
            for _ in execute(config, toy, alone.run(name), Runtime(threads=1)):
                pass
            compared += 1
    assert compared == 2
    found = reproducible_content(place / "runs/search")
    assert {name: found[name] for name in reproducible_content(tmp_path)} == reproducible_content(tmp_path)


def test_a_second_launch_starts_nothing(undisturbed):
    place, out = undisturbed
    before = {path: path.stat().st_mtime_ns for path in (place / "runs").rglob("*") if path.is_file()}
    again = run_search(place)
    assert (again.returncode, again.stderr) == (0, "")
    assert "nothing to start: 4 of 4 runs are done" in again.stdout
    assert again.stdout.partition("On fresh seeds")[2] == out.partition("On fresh seeds")[2]
    after = {path: path.stat().st_mtime_ns for path in (place / "runs").rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.slow  # tests/sweeps/trials/test_search.py has a fast test of this
def test_an_interrupted_search_ends_with_the_same_results(undisturbed, tmp_path):
    place, out = undisturbed
    command = [sys.executable, "-W", "error", str(SCRIPT), *COMMAND]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        wait_until(lambda: len(runs_of(tmp_path / "runs/search")) > 2)
        process.send_signal(signal.SIGINT)
        seen = process.stdout.readlines()
        assert process.wait(timeout=240) == 130
    again = f"interrupted; resume with: python {SCRIPT} {shlex.join(COMMAND)}"
    assert seen[-1].strip() == again
    assert not (tmp_path / "runs/search-best").exists()
    done = run_search(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for study in ("search", "search-best"):
        assert reproducible_content(tmp_path / "runs" / study) == reproducible_content(
            place / "runs" / study
        )
    assert done.stdout.partition("On fresh seeds")[2] == out.partition("On fresh seeds")[2]
