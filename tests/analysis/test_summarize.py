"""The command line, in a child process."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.formats.files import remove_stale, write_files
from analysis.reading.sources import summary_name
from lvae_core.run_folder.folder import metrics_sha256

from ..commands import python
from .conftest import WriteRun

ROOT = Path(__file__).resolve().parents[2]


def summarize(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*python(), "-W", "error", str(ROOT / "analysis" / "summarize.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)


def test_studies_under_runs_become_a_report(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", study="runs/a")
    write_run("lstm-vae-avg", 5, study="runs/b", estimates={"nll_elbo": 97.0, "nll_joint": 127.0})
    done = summarize(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[-2:] == ["Report: summary/a+b/report.md", "Web page: summary/a+b/report.html"]
    assert (tmp_path / "summary" / "a+b" / "report.md").is_file()
    page = (tmp_path / "summary" / "a+b" / "report.html").read_text()
    # Nothing was trained, so there is no checkpoint to generate sentences from.
    systems = "LSTM-LM, standard; LSTM-VAE-AVG L=5, standard"
    assert f"none of {systems}: the run&#39;s folder has a result but no checkpoint" in page
    assert (tmp_path / "summary" / "a+b" / "figures" / "ptb-bounds.svg").is_file()
    assert "PTB, curves-standard: no finished run has a learning curve" in page
    assert max(map(len, lines)) <= 100
    assert "Table 2a. PTB" in done.stdout
    assert "‡: NLL and PPL count one KL for several samples of z" in done.stdout


def test_only_the_given_study_and_folder_are_used(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", study="runs/a")
    write_run("lstm-vae", study="mine/b")
    done = summarize(tmp_path, "mine/b", "--out", "tables", "--no-figures")
    assert done.returncode == 0
    assert "runs: 1 (1 done)" in done.stdout
    assert (tmp_path / "tables" / "table2.tex").is_file()
    assert not (tmp_path / "summary").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            (),
            f"error: no study under runs/; make one with: python {ROOT}/sweeps/paper_grid.py --preset demo",
        ),
        (("nowhere",), "error: nowhere: there is no such study; give a folder that a sweep has written"),
        (("study", "--out", "file"), "error: --out file: cannot be written"),
        (("nofs://x",), "error: nofs://x: not a storage address"),
        (("study", "--compare", "study", "study"), "error: --compare takes two studies, both after it"),
        (
            ("runs/mine", "--compare", "runs/open"),
            "error: --compare takes two studies, both after it, and no others; give --compare runs/mine "
            "runs/open",
        ),
        (
            ("--compare", "study", "./study"),
            "error: --compare study ./study: both are the same study; give two",
        ),
        (("--compare", "study"), "error: --compare study: give two studies, as in --compare runs/before"),
        (("study", "--every", "0"), "error: --every 0: must be at least 1 second"),
        (("study", "--every", "3"), "error: --every 3: only --watch reads it; add --watch, or leave"),
        (
            ("study", "--published", "a.csv", "b.csv"),
            "error: superfluous argument b.csv; give --published once per file",
        ),
        (("study", "--evaluation", "iw_sample=7"), "error: --evaluation: unknown config field 'iw_sample'"),
        (
            ("study", "--baseline", "lstm-iwae"),
            "error: --baseline lstm-iwae: no run of it has finished; choose from ",
        ),
        (("study", "--baseline", "latent_siz=4"), "error: --baseline: unknown config field 'latent_siz'"),
        (
            ("--compare", "study", "other", "--baseline", "lstm-lm"),
            "error: --baseline: the baseline of --compare is its first study; leave --baseline out",
        ),
        (
            ("--compare", "study", "other", "--published", "more.csv"),
            "error: --published: --compare shows no published numbers; leave --published out",
        ),
        (
            ("--compare", "study", "other", "--data-dir", "data"),
            "error: --data-dir: --compare generates no sentences; leave --data-dir out",
        ),
        (
            ("study", "--evaluation", "iw_samples=7"),
            "error: --evaluation iw_samples=7: no run has such an evaluation; all have iw_samples=500",
        ),
    ],
)
def test_bad_input_ends_in_one_line_and_status_2(
    tmp_path: Path, write_run: WriteRun, arguments: tuple[str, ...], complaint: str
) -> None:
    write_run()
    (tmp_path / "file").write_text("in the way")
    done = summarize(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(complaint)
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "study"]


def test_published_numbers_of_a_user_that_cannot_be_used_end_in_one_line_and_status_2(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.csv").write_text(
        "dataset,source,system,setting,metric,mean\nptb,me,VAE,standard,nll,?\n"
    )
    done = summarize(tmp_path, "--published", "mine.csv", "runs/none")
    assert done.returncode == 2
    assert done.stderr == "error: mine.csv:2: mean '?': is not a number such as 97.3\n"


def test_published_numbers_of_a_dataset_without_a_run_are_said_not_to_be_shown(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm", dataset="mycorp2")
    rows = [("mycrop", "nll", 9), ("mycrop", "ppl", 9), ("far", "nll", 9), ("MyCorp2", "nll", 9)]
    lines = [f"{dataset},me,VAE,standard,{metric},{mean}" for dataset, metric, mean in rows]
    (tmp_path / "bad.csv").write_text(
        "\n".join(["dataset,source,system,setting,metric,mean", *lines, "mycorp2,me,LM,standard,nll,9"])
    )
    done = summarize(tmp_path, "study", "--published", "bad.csv", "--no-figures", "--no-samples")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "note: bad.csv: 2 rows of mycrop are not shown, no run is of it; did you mean 'mycorp2'?",
        "note: bad.csv: 1 row of far is not shown, no run is of it",
        "note: bad.csv: 1 row of MyCorp2 is not shown, no run is of it; did you mean 'mycorp2'?",
    ]


def test_a_run_with_different_numbers_in_two_studies_ends_in_one_line_and_status_2(
    tmp_path: Path, write_run: WriteRun
) -> None:
    folder = write_run(study="a", estimates={"nll_elbo": 100.0})
    write_run(study="b", estimates={"nll_elbo": 100.5})
    done = summarize(tmp_path, "a", "b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: {folder.name}: nll_elbo is 100.0 in {tmp_path}/a/{folder.name}, "
        f"but 100.5 in {tmp_path}/b/{folder.name}; leave one of the two out\n"
    )
    assert not (tmp_path / "summary").exists()


def test_an_unknown_option_has_status_2(tmp_path: Path) -> None:
    assert summarize(tmp_path, "--colour", "red").returncode == 2


def test_a_terminal_without_the_special_characters_still_gets_the_table(
    tmp_path: Path, write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    write_run(seed=0)
    write_run(seed=1)
    done = summarize(tmp_path, "study", "--no-figures")
    assert (done.returncode, done.stderr) == (0, "")
    assert "100.0?0.0 " in done.stdout


def test_the_command_starts_without_loading_what_draws_and_no_module_loads_torch() -> None:
    files = [p.relative_to(ROOT).with_suffix("") for p in (ROOT / "analysis").rglob("*.py")]
    modules = sorted(".".join(path.parts).removesuffix(".__init__") for path in files)
    assert {"analysis.summarize", "analysis.figures.bounds"} <= set(modules)
    command, page, everything = loaded_by(["analysis.summarize"], ["analysis.formats.page.page"], modules)
    heavy = {"matplotlib", "jinja2", "torch", "ray", "sweeps", "fsspec"}
    assert command & heavy == set()
    # The page of a summary without figures does not load what draws them, either.
    assert page & heavy == {"jinja2"}
    assert everything & heavy == {"jinja2", "matplotlib"}


def loaded_by(*stages: list[str]) -> list[set[str]]:
    """The modules that one fresh interpreter has loaded after it has imported those of each stage."""
    program = "import importlib, sys\n"
    for modules in stages:
        program += f"for name in {modules!r}: importlib.import_module(name)\nprint(*sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_figures_of_an_earlier_summary_are_removed_but_the_users_files_stay(tmp_path: Path) -> None:
    out = str(tmp_path / "summary")
    figures = tmp_path / "summary" / "figures"
    files = {"figures/a.svg": "old", "figures/b.svg": "old", "figures/c.svg": "old"}
    write_files(files, out)
    remove_stale(list(files), out, "figures/.report.json")
    (figures / "b.svg").write_text("changed by the user")
    (figures / "d.svg").write_text("the user's")
    write_files({"figures/c.svg": "new"}, out)
    remove_stale(["figures/c.svg"], out, "figures/.report.json")
    assert sorted(path.name for path in figures.glob("*.svg")) == ["b.svg", "c.svg", "d.svg"]
    (figures / ".report.json").write_text('{"figures/d.svg')  # damaged
    remove_stale([], out, "figures/.report.json")
    assert (figures / "d.svg").exists()


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        (["runs/paper"], "paper"),
        ([f"{Path.cwd()}/runs/paper/"], "paper"),
        # Studies of one name elsewhere, together or one after the other, share no folder.
        (["/home/me/runs/paper/"], "me-runs-paper"),
        (["/home/you/runs/paper"], "you-runs-paper"),
        (["/home/me/runs/paper", "/home/you/runs/paper"], "me-runs-paper+you-runs-paper"),
        (["runs/paper", "/home/me/runs/paper"], "paper+me-runs-paper"),
        (["/a/mine/paper", "/b/mine/paper", "other/paper"], "a-mine-paper+b-mine-paper+other-paper"),
        (["s3://mine/runs/paper"], "mine-runs-paper"),
        (["paper"], "paper"),
        (["s3://my-results/paper"], "my-results-paper"),
        (["mine/b"], "mine-b"),
        (["runs/here", "runs/there"], "here+there"),
        (["runs/a", "runs/a"], "a"),
        ([f"runs/{letter}" for letter in "abcdef"], "a+b+c+6-studies"),
        (["runs/with space"], "with_space"),
        (["."], "study"),
    ],
)
def test_a_summary_is_named_after_its_studies(paths: list[str], name: str) -> None:
    assert summary_name(paths) == name


def test_long_names_still_make_a_folder() -> None:
    for between in ("+", "-vs-"):
        assert len(summary_name([f"runs/{letter * 300}" for letter in "abcdef"], between)) < 255


def test_a_comparison_of_studies_of_one_name_has_a_folder_that_tells_them_apart(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for place in ("here", "there"):
        write_run("lstm-lm", study=f"{place}/runs/paper")
    folder = tmp_path / "empty"
    folder.mkdir()
    studies = [f"../{place}/runs/paper" for place in ("here", "there")]
    done = summarize(folder, "--compare", *studies, "--no-figures", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in (folder / "summary").iterdir()] == ["here-runs-paper-vs-there-runs-paper"]


def test_a_second_study_never_overwrites_the_first(tmp_path: Path, write_run: WriteRun) -> None:
    for study in ("a", "b"):
        write_run("lstm-lm", study=f"runs/{study}")
        assert summarize(tmp_path, f"runs/{study}", "--no-figures", "--no-samples").returncode == 0
    for study in ("a", "b"):
        assert f"runs/{study}" in (tmp_path / "summary" / study / "report.md").read_text()


def test_studies_whose_folders_have_the_same_names_share_no_summary(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for place in ("q1", "q2"):
        write_run("lstm-lm", study=f"{place}/results/mine")
    for place in ("q1", "q2", "q1"):
        done = summarize(tmp_path, f"{place}/results/mine", "--no-figures", "--no-samples", "--quiet")
        assert done.returncode == 0
    here = sorted(path.name for path in (tmp_path / "summary").iterdir())
    assert here[0] == "results-mine"
    assert re.fullmatch(r"results-mine-[0-9a-f]{6}", here[1])
    assert len(here) == 2
    for place, name in zip(("q1", "q2"), here, strict=True):
        assert f"{place}/results/mine" in (tmp_path / "summary" / name / "report.md").read_text()


@pytest.mark.parametrize("huge_seeds", [1, 3])
def test_huge_estimates_are_named_in_a_note_and_decide_nothing(
    huge_seeds: int, tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(3):
        huge = seed < huge_seeds

        def of(usual: float, huge: bool = huge, seed: int = seed) -> float:
            return 1e308 if huge else usual + seed / 8

        write_run("lstm-lm", seed=seed, study="runs/a", estimates={"nll": of(100.0), "ppl": of(90.0)})
        latent = {"nll_elbo": (of(102.0), of(0.01)), "ppl_elbo": of(99.0), "kl": of(2.0)}
        write_run("lstm-vae", seed=seed, study="runs/a", estimates=latent)
        joint = latent | {"nll_elbo": -of(97.0) if huge else 97.0, "nll_joint": of(127.0)}
        joint |= {"nll_iw": of(95.0), "nll_iw_joint": of(120.0)}
        write_run("lstm-vae-avg", 5, seed=seed, study="runs/a", estimates=joint)
    done = summarize(tmp_path, "--no-samples", "--no-cache", "--out", "summary")
    assert (done.returncode, done.stderr) == (0, "")
    for text in (done.stdout, (tmp_path / "summary" / "report.md").read_text()):
        assert "estimates of 1e+09 and more: LSTM-LM standard (nll, ppl); LSTM-VAE L=1" in " ".join(
            text.replace("\\", "").split()
        )
        assert not re.search(r"\b(nan|inf)\b", text)
        assert not re.search(r"\d{30}", text)  # no number with all of its digits
    compared = pd.read_csv(tmp_path / "summary" / "comparisons.csv")
    ends = np.isfinite(compared[["difference_low", "difference_high"]].to_numpy(float)).all(axis=1)
    without = compared[(compared["kind"] == "published") & ~ends]
    assert len(without) >= 7
    assert set(without["verdict"]) == {"cannot tell", "no verdict"}  # no formula was published for some


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_learning_curve_is_named_like_any_damaged_file(
    damage: str, tmp_path: Path, write_run: WriteRun
) -> None:
    digest = metrics_sha256([{"epoch": 1, "valid_ppl": 90.0}])
    folder = write_run("lstm-lm", study="runs/a", result={"metrics_sha256": digest})
    if damage == "changed":
        folder.write_metrics([{"epoch": 1, "valid_ppl": 91.0}])
    done = summarize(tmp_path, "--no-samples", "--no-cache", "--out", "summary")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: ")
    assert f"{folder.name}/metrics.jsonl: " in line
    assert line.endswith("its learning curve is left out")
    for file in ("report.md", "report.html"):
        assert f"{folder.name}/metrics.jsonl: " in (tmp_path / "summary" / file).read_text(), file


def test_names_that_are_formulas_or_control_a_terminal_are_written_as_plain_text(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm", study="runs/a")
    failed = write_run("lstm-vae", study="runs/a", status="failed")
    failed.write_failure("code", "=1+1", "Traceback …")
    failed.write_json("provenance.json", {"attempts": [{"host": "h\x1b[31m", "commit": "=2+2"}]})
    done = summarize(tmp_path, "--no-figures", "--no-samples", "--no-cache", "--out", "summary")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    files = list((tmp_path / "summary").glob("*.*"))
    assert len(files) > 5
    for file in files:
        assert "\x1b" not in file.read_text(), file
        if file.suffix == ".csv":
            assert not re.search(r"(^|,)=", file.read_text(), re.MULTILINE), file
    assert ",'=1+1," in (tmp_path / "summary" / "runs.csv").read_text()
