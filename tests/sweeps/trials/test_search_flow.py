"""The whole search command on a small text, with its runs in this process: files, output, exit status."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import sweeps.search
import sweeps.sweep
from analysis.figures.elements import finish
from analysis.stats.verdicts import RULE
from lvae_core.data.corpus import load
from lvae_core.run_folder.digests import unseal
from lvae_core.run_folder.names import RunName
from lvae_core.run_folder.planned_runs import read_planned_runs
from lvae_core.run_folder.search_record import BEST_SUFFIX
from lvae_core.run_folder.study import Study
from lvae_core.training.failures import DivergedError, failure_of
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.paper_grid import main as grid
from sweeps.search import main

from ...logs import expect_log
from ...options import changed

SUMMARIZE = Path(__file__).parents[3] / "analysis" / "summarize.py"

COMMAND = [
    *("--dataset", "text", "--space", "learning_rate=0.2..2:log", "--trials", "4", "--at-once", "4"),
    *("--seeds", "3", "--max-epochs", "2", "--best", "2"),
    *("--set", "embedding_size=4", "--set", "hidden_size=8", "--set", "latent_size=2"),
    *("--set", "iw_samples=7", "--set", "batch_size=8", "--set", "kl_anneal_epochs=1"),
]


RECIPE_ALONE = changed(COMMAND, "--trials", "1", "--best", "1")


def with_space(space: str) -> list[str]:
    """The command with another space."""
    place = COMMAND.index("--space")
    return [*COMMAND[: place + 1], space, *COMMAND[place + 2 :]]


SMALL = [
    *("--seeds", "2", "--settings", "standard", "inputless"),
    *("--set", "embedding_size=4", "hidden_size=8", "batch_size=8", "max_epochs=1"),
]
"""Four runs of the grid's command."""


@pytest.fixture(autouse=True)
def text(tmp_path, monkeypatch) -> Path:
    """A dataset below the current folder, and a Ray that is this process."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "text").mkdir()
    for split, count in (("train", 60), ("valid", 12), ("test", 12)):
        lines = [" ".join(rng.choice(list("abcdef"), rng.integers(2, 7))) for _ in range(count)]
        (tmp_path / "text" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    for module in (sweeps.search, sweeps.sweep):
        monkeypatch.setattr(module, "on_ray", in_this_process)
    return tmp_path


@pytest.fixture
def saved() -> None:
    """Asked for by a test that reads the figures."""


@pytest.fixture(autouse=True)
def unread_figures_stay_unsaved(request, monkeypatch):
    """Saving its figures would take half of the time of a search that is this small."""
    if "saved" not in request.fixturenames:
        monkeypatch.setattr(finish, "save", lambda figure: ("", b""))


FAILING: set[tuple[str, int]] = set()
"""Study and seed of runs that fail."""


CONNECTED: list[str] = []
"""The studies for which Ray was asked for, and when it was closed for one."""

LABELS: list[str] = []
"""The labels of the variants of the runs that were launched."""


@contextlib.contextmanager
def in_this_process(options, workload, say):
    study = workload.study

    def launch(runs, display, pause_after=None):
        for run in runs:
            display.board.start(run.name)
            LABELS.append(display.board.variant_labels[run.variant])
            folder = study.run(run.name)
            try:
                if (Path(study.url).name, run.config.seed) in FAILING:
                    raise RuntimeError("refused")
                for _ in execute(run.config, load(run.config.dataset), folder, Runtime()):
                    pass
            except (DivergedError, RuntimeError) as error:
                failure = failure_of(error)
                folder.write_failure(*failure)
                found = {"class": failure.kind, "message": failure.message}
                display.board.report(run.name, {"phase": "failed", "failure": found})
            else:
                display.board.report(run.name, {"phase": "done", **(folder.read_json("result.json") or {})})
        return True

    CONNECTED.append(Path(study.url).name)
    yield launch
    CONNECTED.append("closed")


@pytest.fixture(autouse=True)
def nothing_fails():
    FAILING.clear()
    CONNECTED.clear()
    LABELS.clear()
    yield
    FAILING.clear()


def results(folder: Path) -> dict[str, dict]:
    return {
        run.name: json.loads((run / "result.json").read_text())
        for run in sorted(folder.glob("*"))
        if RunName.parse(run.name) and (run / "result.json").exists()
    }


def test_a_study_knows_what_its_launch_plans_until_the_launch_has_ended(text, monkeypatch):
    seen = []

    @contextlib.contextmanager
    def stopped(options, workload, say):
        with in_this_process(options, workload, say) as launch:
            yield lambda runs, display: launch(runs[:1], display) and False

    def planned(*, stop: bool) -> int:
        with monkeypatch.context() as patch:
            if stop:
                patch.setattr(sweeps.sweep, "on_ray", stopped)
            seen.append(grid(["--datasets", "text", "--systems", "lstm-lm", *SMALL]))
        return len(read_planned_runs(Study(str(text / "runs" / "paper"))))

    assert planned(stop=True) == 4
    FAILING.add(("paper", 1))
    assert planned(stop=False) == 0
    assert seen == [130, 1]


def test_trials_are_evaluated_cheaply_and_reruns_in_full(text):
    assert main(COMMAND) == 0
    # Ray is closed only after both, so it is started once.
    assert CONNECTED == ["search", "search-best", "closed", "closed"]
    assert LABELS[:4] == [f"trial {number}" for number in range(4)]
    assert {"the recipe"} < set(LABELS[4:]) <= {"the recipe", *LABELS[:4]}
    trials, fresh = results(text / "runs/search"), results(text / "runs/search-best")
    assert {(r["config"]["iw_samples"], r["config"]["seed"]) for r in trials.values()} == {(2, 0)}
    # The recipe and the best two, or one of them if the recipe is the other.
    points = {r["config"]["learning_rate"] for r in fresh.values()}
    assert len(points) in (2, 3)
    assert 1.0 in points
    assert {(r["config"]["iw_samples"], r["config"]["seed"]) for r in fresh.values()} == {
        (7, seed) for seed in (1, 2, 3)
    }
    assert len(fresh) == 3 * len(points)
    lowest = {
        r["config"]["learning_rate"]: min(
            json.loads(line)["valid_ppl"]
            for line in (text / "runs/search" / name / "metrics.jsonl").read_text().splitlines()
        )
        for name, r in trials.items()
    }
    best = sorted(lowest, key=lambda rate: lowest[rate])[:2]
    assert points == {1.0, *best}


def test_the_comparison_is_of_bounds_over_common_seeds(text, capsys):
    """Means, differences, intervals and p-values as scipy and all flips of signs have them."""
    assert main([*COMMAND, "--system", "lstm-vae-avg", "--num-samples", "3"]) == 0
    out = capsys.readouterr().out
    fresh = results(text / "runs/search-best")
    table = out.partition("On fresh seeds")[2]
    assert "The rule behind the verdicts: docs/report.md" in table
    assert RULE[:40] not in out
    by_rate: dict[float, dict[int, dict[str, float]]] = {}
    for result in fresh.values():
        config = result["config"]
        values = {name: entry["value"] for name, entry in result["estimates"].items()}
        by_rate.setdefault(config["learning_rate"], {})[config["seed"]] = values

    # Of the two that are bounds where states are averaged, the other has too few draws to be reliable.
    bound = "nll_joint"
    assert f"NLL: {bound}" in table
    recipe = [by_rate[1.0][seed][bound] for seed in (1, 2, 3)]
    line = re.search(r"^the recipe +([\d.]+)±([\d.]+) *$", table, re.M)
    assert [float(x) for x in line.groups()] == pytest.approx(
        [np.mean(recipe), np.std(recipe, ddof=1)], abs=0.0051
    )
    meanings = re.findall(r"trial (\d+): learning_rate=([\d.]+)", table)
    assert meanings
    compared = []
    for place, shown in meanings:
        (rate,) = [r for r in by_rate if f"{r:.4g}" == shown]
        own = [by_rate[rate][seed][bound] for seed in (1, 2, 3)]
        compared.append((place, own, stats.ttest_rel(own, recipe)))
    for place, own, test in compared:
        signed = r"([+-]?[\d.]+)"
        pattern = rf"^trial {place} +([\d.]+)±[\d.]+ +{signed} +\[{signed}, {signed}\] +3 +([\d.]+)"
        found = re.search(pattern, table, re.M)
        assert found, table
        mean, difference, low, high, flip = map(float, found.groups())
        differences = np.subtract(own, recipe)
        assert (mean, difference) == pytest.approx((np.mean(own), differences.mean()), abs=0.0051)
        interval = test.confidence_interval()
        assert (low, high) == pytest.approx((interval.low, interval.high), abs=0.0051)
        sums = [abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=3)]
        p = np.mean([s >= abs(differences.sum()) - 1e-12 for s in sums])
        if len(compared) == 1:
            assert flip == pytest.approx(p, abs=0.005)
        else:  # Holm's correction lowers none
            assert p - 0.005 <= flip <= 1


@pytest.mark.parametrize("seeds", ["3", "0"])
def test_a_search_that_reruns_nothing_still_names_the_command_for_its_report(seeds, capsys):
    assert main(changed(RECIPE_ALONE, "--seeds", seeds)) == 0
    out = capsys.readouterr().out
    assert ("nothing to rerun on fresh seeds" in out) == (seeds == "3")
    assert out.splitlines()[-1] == f"next: python {SUMMARIZE} runs/search"


def test_a_launch_says_of_its_seeds_only_that_they_are_too_few_and_points_to_the_rule(capsys):
    assert main(RECIPE_ALONE) == 0
    out = capsys.readouterr().out
    assert "no significant difference is possible: the smallest p of the test on 3 fresh seeds" in out
    assert main(changed(RECIPE_ALONE, "--seeds", "6")) == 0
    out = capsys.readouterr().out
    assert "significant difference" not in out
    assert main([*COMMAND, "--dry-run"]) == 0
    assert "no number of seeds gives a verdict" in capsys.readouterr().out


def test_an_interrupted_search_says_how_far_its_saved_trials_are(monkeypatch, capsys):
    @contextlib.contextmanager
    def interrupted(options, workload, say):
        def launch(runs, display, pause_after=None):
            for run in runs[:2]:
                display.board.start(run.name)
                attempt = execute(
                    run.config,
                    load(run.config.dataset),
                    workload.study.run(run.name),
                    Runtime(progress_seconds=0),
                )
                next(progress for progress in attempt if run is runs[0] or progress.metrics)
                attempt.close()
                display.board.report(run.name, {"phase": "stopped"})
            return False

        yield launch

    monkeypatch.setattr(sweeps.search, "on_ray", interrupted)
    assert main(COMMAND) == 130
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "2 runs saved: 0 and 1 of 2 epochs"
    assert lines[-1].startswith("interrupted; resume with: ")


@pytest.mark.slow
def test_fewer_seeds_than_before_are_fewer_in_the_table(text, capsys):
    assert main(COMMAND) == 0
    capsys.readouterr()
    assert main(changed(COMMAND, "--seeds", "2")) == 0
    out = capsys.readouterr().out
    assert "the smallest p of the sign-flip test with 2 seeds is 0.5" in out
    assert "3 seeds" not in out


def cells(out: str, start: str) -> list[str]:
    (line,) = [line for line in out.splitlines() if start in line]
    return [cell.strip() for cell in line.strip("│ ").split("│")][1:]


def test_a_dry_run_says_what_a_verdict_needs_before_anything_is_spent(text, capsys):
    command = [argument for argument in COMMAND if argument not in ("--seeds", "3")]
    assert main([*command, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert (
        "a significant difference is possible: the smallest p of the test on 7 fresh seeds is 0.031" in out
    )
    assert "no number of seeds gives a verdict on the models" in out  # of an LSTM-VAE
    cheap = "note: trials have iw_samples=2, because their test estimates are not used"
    assert f"{cheap}; the comparison on fresh seeds has iw_samples=7" in out.splitlines()
    assert cells(out, "trials  ")[0] == "4"
    # The recipe and the best two.
    assert cells(out, "runs on fresh seeds")[0] == "21"
    # Nothing has run yet: the times rest on counted operations and a short measurement.
    assert cells(out, "trials  ")[1].startswith("about ")
    assert cells(out, "runs on fresh seeds")[1].startswith("about ")
    assert "about: rough times" in out
    assert main([*command, "--dry-run", "--address", "10.0.0.1:6379"]) == 0
    remote = capsys.readouterr().out
    assert main([*(word.replace("=7", "=2") for word in command), "--dry-run"]) == 0
    assert "trials have" not in capsys.readouterr().out
    assert main([*command, "--seeds", "0", "--dry-run"]) == 0
    assert cheap in capsys.readouterr().out.splitlines()
    assert cells(remote, "trials  ")[1:] == ["–", "–"]
    assert "times are unknown: the machines of a cluster" in remote
    assert "0.00" not in out
    assert not (text / "runs").exists()


def test_another_recipe_of_a_finished_search_is_the_one_that_a_report_calls_so(text):
    command = changed(COMMAND, "--seeds", "1", "--best", "1")
    assert main(command) == 0
    assert main([*command, "--set", "learning_rate=0.75"]) == 0
    (study,) = (path.parent for path in text.glob("runs/*/.search.json"))
    assert unseal((study / ".search.json").read_bytes())["recipe"] == {"learning_rate": 0.75}
    retrained = Path(f"{study}{BEST_SUFFIX}").glob("*/config.json")
    assert 0.75 in [json.loads(file.read_text())["config"]["learning_rate"] for file in retrained]


def test_a_dry_run_of_a_finished_search_counts_only_what_is_left(text, capsys):
    assert main(changed(COMMAND, "--seeds", "1", "--best", "1")) == 0
    capsys.readouterr()
    assert main(changed(COMMAND, "--seeds", "2", "--best", "1", "--dry-run")) == 0
    out = capsys.readouterr().out
    assert cells(out, "trials  ")[0] == "0"
    assert cells(out, "runs on fresh seeds")[0] == "2"
    assert cells(out, "runs on fresh seeds")[1].endswith(" s")
    assert (
        "no significant difference is possible: the smallest p of the test on 2 fresh seeds is 0.5" in out
    )
    # A fifth trial may win: then its two seeds are left, and the second seed of the recipe.
    assert main(changed(COMMAND, "--trials", "5", "--seeds", "2", "--best", "1", "--dry-run")) == 0
    out = capsys.readouterr().out
    assert cells(out, "trials  ")[0] == "1"
    assert cells(out, "trials  ")[1].endswith(" s")
    assert cells(out, "runs on fresh seeds")[0] == "3"


def test_a_dry_run_counts_the_runs_that_a_launch_evaluates_again(text, capsys):
    assert main(changed(COMMAND, "--seeds", "1", "--best", "1")) == 0
    out = capsys.readouterr().out
    assert "to evaluate again" not in out
    more = [word.replace("iw_samples=7", "iw_samples=9") for word in COMMAND]
    assert main(changed(more, "--seeds", "2", "--best", "1", "--dry-run")) == 0
    out = capsys.readouterr().out
    assert cells(out, "runs on fresh seeds")[0] == "2"
    number, seconds, hours = cells(out, "to evaluate again")
    assert number == "2"
    assert seconds.endswith(" s")
    assert hours
    assert cells(out, "│ all")[0] == "4"


@pytest.mark.slow
def test_a_dry_run_counts_the_retries_of_trials_and_of_runs_on_fresh_seeds(text, capsys):
    once = changed(COMMAND, "--best", "1")
    FAILING.add(("search-best", 2))
    assert main(once) == 1
    with (text / "summary/search/search.csv").open(newline="") as file:
        worst = max(csv.DictReader(file), key=lambda row: float(row["valid_ppl"]))["run"]
    folder = Study(str(text / "runs/search")).run(worst)
    (text / "runs/search" / worst / "result.json").unlink()
    folder.write_failure("diverged", "the loss is nan", "")
    capsys.readouterr()

    def left(*more: str) -> tuple[str, str, str]:
        assert main([*once, *more, "--dry-run"]) == 0
        out = capsys.readouterr().out
        return cells(out, "trials  ")[0], cells(out, "runs on fresh seeds")[0], out

    assert left()[:2] == ("0", "0")
    trials, fresh, out = left("--retry-failed")
    assert trials == "1"
    # At most: the recipe's failed run, and three of the trial if it becomes the best.
    assert fresh == "4"
    assert "1 of 3 runs to retry diverged" in out
    assert re.search(r"│ diverged +│", out)  # the table shows trials as they are


def test_a_search_continued_without_a_space_keeps_its_own(text, capsys):
    assert main(changed(COMMAND, "--seeds", "0", "--trials", "2")) == 0
    place = COMMAND.index("--space")
    without = [*COMMAND[:place], *COMMAND[place + 2 :]]
    assert main(changed(without, "--seeds", "0", "--trials", "3")) == 0
    assert "learning_rate" in capsys.readouterr().out
    assert len(results(text / "runs/search")) == 3


def test_a_search_over_the_rule_of_patience_is_continued(text):
    """Its runs have both rules. Neither is the study's, which a run of an earlier version would have."""
    command = changed(
        with_space("patience_rule=in_all,in_a_row"), "--trials", "2", "--seeds", "0", "--best", "1"
    )
    assert main(changed(command, "--trials", "1")) == 0
    assert main(command) == 0
    assert main([*command, "--dry-run"]) == 0
    rules = {result["config"]["patience_rule"] for result in results(text / "runs/search").values()}
    assert rules == {"in_all", "in_a_row"}


def test_a_study_whose_runs_have_one_rule_of_patience_leaves_the_recipe_the_other(text, capsys):
    command = changed(
        with_space("patience_rule=in_all,in_a_row"), "--trials", "2", "--seeds", "0", "--best", "1"
    )
    assert main(command) == 0
    for name, result in results(text / "runs/search").items():
        if result["config"]["patience_rule"] == "in_a_row":
            shutil.rmtree(text / "runs/search" / name)
    capsys.readouterr()
    assert main([*command, "--dry-run"]) == 0
    out = capsys.readouterr()
    assert cells(out.out, "│ patience_rule ")[0] == "in_a_row"
    assert "further runs" not in out.out + out.err


def test_validation_with_many_draws_scores_the_trials_as_it_scores_the_recipe(text):
    command = [
        *changed(COMMAND, "--seeds", "0", "--trials", "1", "--best", "1"),
        "--set",
        "valid_samples=8",
    ]
    assert main([*command, "--set", "iw_exact_samples=6"]) == 0
    (trial,) = results(text / "runs/search").values()
    assert (trial["config"]["iw_samples"], trial["config"]["iw_exact_samples"]) == (2, 6)
    # Earlier versions gave such trials 0, and their searches keep it.
    former = [*command, "--study", "former"]
    assert main([*former, "--set", "iw_exact_samples=0"]) == 0
    assert main([*changed(former, "--trials", "2"), "--set", "iw_exact_samples=6"]) == 0
    trials = results(text / "runs/former").values()
    assert [trial["config"]["iw_exact_samples"] for trial in trials] == [0, 0]


def test_with_two_objectives_the_point_of_lowest_nll_on_the_front_is_compared(text, saved, capsys):
    assert main(changed(COMMAND, "--objective", "nll", "kl", "--best", "1", "--seeds", "1")) == 0
    out = capsys.readouterr().out
    assert "on the front" in out
    assert "importance of the fields: needs 10 finished trials" in out
    pictures = {
        f"search{kind}.{ending}" for kind in ("", "-front", "-parallel") for ending in ("svg", "png")
    }
    written = {path.name for path in (text / "summary/search").iterdir() if path.stat().st_size > 1000}
    assert written >= pictures
    assert not list((text / "summary/search").glob("*-importances.csv"))
    rows = (text / "summary/search/search.csv").read_text().splitlines()
    nll = {row.split(",")[0]: float(row.split(",")[4]) for row in rows[1:]}
    assert f": trial {min(nll, key=lambda number: nll[number])}," in out


def test_the_importances_of_enough_trials_are_written_beside_the_table(text, capsys):
    space = ["--space", "dropout=0..0.5"]  # besides that of the command
    small = changed(
        COMMAND, *space, "--trials", "10", "--at-once", "10", "--max-epochs", "1", "--seeds", "0"
    )
    assert main(small) == 0
    out = capsys.readouterr().out
    assert "summary/search/search-importances.csv" in out
    with (text / "summary/search/search-importances.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["field"] for row in rows} == {"learning_rate", "dropout"}
    assert {row["trials"] for row in rows} == {"10"}
    values = [float(row["importance"]) for row in rows]
    assert sum(values) == pytest.approx(1.0)
    for row, value in zip(rows, values, strict=True):
        assert re.search(rf"{row['field']} +│ +{value:.2f} │ +10 │", out)


def test_if_the_recipe_wins_nothing_is_rerun(text, capsys):
    command = changed(with_space("learning_rate=1,0.000001"), "--best", "1")
    assert main(command) == 0
    assert "the recipe has the lowest validation perplexity" in capsys.readouterr().out
    assert not (text / "runs/search-best").exists()
    assert main(changed(command, "--seeds", "0")) == 0


def test_a_trial_that_fails_is_an_exit_status_and_one_that_diverges_is_none(text, capsys):
    FAILING.add(("search", 0))
    assert main(COMMAND) == 1
    out = capsys.readouterr().out
    assert "--retry-failed retries them" in out
    assert "RuntimeError: refused" in out
    FAILING.clear()
    assert main([*COMMAND, "--retry-failed"]) == 0
    capsys.readouterr()
    wild = ["--study", "wild", "--set", "max_grad_norm=0", "--best", "1"]
    assert main(changed(with_space("learning_rate=1,1e25"), *wild)) == 0
    out = capsys.readouterr().out
    assert "diverged" in out
    assert "--retry-failed" not in out


@pytest.mark.slow
def test_a_fresh_run_that_fails_is_an_exit_status(text, capsys):
    FAILING.update({("search-best", seed) for seed in (1, 2, 3)})
    assert main(COMMAND) == 1
    assert "nothing to compare" in capsys.readouterr().out
    FAILING.remove(("search-best", 2))
    assert main([*COMMAND, "--retry-failed"]) == 1
    assert "On fresh seeds" in capsys.readouterr().out


@pytest.mark.slow
def test_a_figure_that_cannot_be_written_loses_nothing(text, capsys):
    (text / "file").write_text("in the way")
    with expect_log("lvae.trials"):
        assert main([*COMMAND, "--out", "file"]) == 0
    assert "warning: --out file: cannot be written" in capsys.readouterr().err
    assert len(results(text / "runs/search-best")) >= 6


def test_a_fresh_seed_beyond_the_limit_is_refused_before_anything_starts(text, capsys):
    assert main([*COMMAND, "--seed", "999999999999999999"]) == 2
    assert "below 10**18" in capsys.readouterr().err.splitlines()[-1]
    assert not (text / "runs").exists()


def test_a_grid_trains_no_run_among_the_trials_of_a_search(text, capsys):
    """Its report would count them, and call runs of other systems trials."""
    assert main(changed(COMMAND, "--trials", "2", "--best", "1", "--seeds", "0")) == 0
    (study,) = {path.parent for path in text.rglob(".search.json")}
    before = sorted(study.iterdir())
    capsys.readouterr()
    words = ["--datasets", "text", "--systems", "lstm-lm", "--study", study.name, *SMALL]
    for more in ([], ["--dry-run"]):
        assert grid([*words, *more]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines()[-1] == (
            f"error: runs/{study.name}: holds the trials of a search, and a grid's runs would be taken for "
            "some; give another --study"
        )
    assert sorted(study.iterdir()) == before
    assert grid([*words, "--list"]) == 0
    # To evaluate a trial again trains nothing.
    (trial, *_) = sorted(path for path in study.iterdir() if RunName.parse(path.name))
    config = unseal((trial / "config.json").read_bytes())["config"]
    same = (
        "embedding_size",
        "hidden_size",
        "latent_size",
        "batch_size",
        "kl_anneal_epochs",
        "learning_rate",
    )
    again = ["--datasets", "text", "--systems", "lstm-vae", "--num-samples", "1", "--settings", "standard"]
    again += ["--seeds", "1", "--study", study.name, "--max-epochs", "2", "--set", "iw_samples=9"]
    capsys.readouterr()
    assert grid([*again, *(f"{name}={config[name]}" for name in same), "--dry-run"]) == 0
    assert "1 run to evaluate again (iw_samples=9" in capsys.readouterr().out
