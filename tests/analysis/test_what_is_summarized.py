"""Studies that a summary merges, and studies of which no run has finished."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

import pytest

from analysis.formats.files import earlier_files, remove_stale, write_files
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.summarize import _command, main
from lvae_core.run_folder.claims import Holder, acquire
from lvae_core.run_folder.digests import seal
from lvae_core.run_folder.planned_runs import write_planned_runs
from lvae_core.run_folder.search_record import FILE
from lvae_core.run_folder.study import Study
from lvae_core.storage.store import Store

from .conftest import WriteRun

ROOT = Path(__file__).resolve().parents[2]


class Summarize:
    """Run the command in this process, without figures and sentences."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, stdout and stderr."""
        options = ["--no-figures", "--no-samples", "--no-cache"]
        self._monkeypatch.setattr(sys, "argv", ["summarize.py", *arguments, *options])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *self._capsys.readouterr()


@pytest.fixture
def summarize(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Summarize:
    monkeypatch.chdir(tmp_path)
    return Summarize(monkeypatch, capsys)


def make_search(tmp_path: Path, write_run: WriteRun, study: str) -> None:
    write_run("lstm-vae", dataset="toy", study=f"runs/{study}", estimates={"nll_elbo": 90.0})
    record = seal({"search": {}, "rounds": [[{"learning_rate": 1.0}]]})
    (tmp_path / "runs" / study / ".search.json").write_bytes(record)


def test_a_merge_leaves_out_the_trials_of_searches_and_says_how_to_see_them(
    tmp_path: Path, write_run: WriteRun, summarize: Summarize
) -> None:
    make_search(tmp_path, write_run, "s")
    for study, seeds in (("a", (1, 2)), ("s-best", (3,))):
        for seed in seeds:
            write_run("lstm-vae", seed=seed, dataset="toy", study=f"runs/{study}")
    status, out, _ = summarize()
    assert status == 0
    table = (tmp_path / "summary" / "a+s-best" / "table2.csv").read_text()
    assert ",100.0 100.0 100.0," in table
    text = " ".join(out.split())
    assert text.count("left out of the merge: the trials of a search (s), which were chosen by") == 1
    assert f"to see them: python {ROOT}/analysis/summarize.py {tmp_path}/runs/s" in text
    assert summarize("runs/s")[0] == 0  # asked for, they are shown


def test_a_search_alone_is_no_merge_and_several_are_refused(
    tmp_path: Path, write_run: WriteRun, summarize: Summarize
) -> None:
    make_search(tmp_path, write_run, "s")
    assert summarize()[0] == 0
    make_search(tmp_path, write_run, "t")
    assert summarize() == (
        2,
        "",
        "error: runs/: holds only trials of 2 searches, which are not merged; give one: "
        f"python {ROOT}/analysis/summarize.py runs/s\n",
    )


def test_runs_whose_process_was_killed_are_unfinished(
    tmp_path: Path, write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(status="unfinished")
    source = open_source(str(tmp_path / "study"))
    with acquire(folder, "launch"):
        assert list(collect([source]).frame["status"]) == ["running"]
        monkeypatch.setattr(Holder, "is_gone", lambda self: True)
        assert list(collect([source]).frame["status"]) == ["unfinished"]


def test_without_a_finished_run_the_next_command_is_named_and_nothing_is_written(
    tmp_path: Path, write_run: WriteRun, summarize: Summarize
) -> None:
    write_run(status="unfinished", study="runs/a")
    write_run(seed=1, status="failed", study="runs/a")
    status, out, _ = summarize("runs/a")
    assert status == 1
    lines = out.splitlines()
    assert lines[0] == "a: no run has finished (1 failed, 1 unfinished), so there is no report"
    assert lines[1].endswith(": diverged, attempt 1: the loss is nan in epoch 2")
    assert "lower learning_rate" in lines[2]
    assert f"next: python {ROOT}/sweeps/runs.py list {tmp_path}/runs/a" in lines
    assert not (tmp_path / "summary").exists()


def test_quiet_prints_only_where_the_files_are(
    tmp_path: Path, write_run: WriteRun, summarize: Summarize
) -> None:
    write_run(dataset="toy", study="runs/a")
    assert summarize("runs/a", "--quiet") == (
        0,
        "Tables as Markdown, LaTeX and CSV: summary/a\nReport: summary/a/report.md\n"
        "Web page: summary/a/report.html\n",
        "",
    )


def test_no_figures_keeps_those_of_an_earlier_summary_and_says_so(
    tmp_path: Path, write_run: WriteRun, summarize: Summarize, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(dataset="toy", study="runs/a")
    assert summarize("runs/a")[2] == ""
    figures = {f"figures/{name}.svg": "old" for name in "xy"}
    write_files(figures, "summary/a")
    remove_stale(list(figures), "summary/a", "figures/.report.json")
    _, _, told = summarize("runs/a")
    assert told.startswith("summary/a/figures: drawn by an earlier summary and kept;")
    assert told.count("\n") == 1
    assert all((tmp_path / "summary" / "a" / name).is_file() for name in figures)
    # They are still known, so that a summary that draws figures replaces them.
    assert earlier_files("summary/a", "figures/.report.json") == list(figures)


def test_a_comparison_without_common_cells_names_and_keeps_no_tables(
    tmp_path: Path, write_run: WriteRun, summarize: Summarize
) -> None:
    write_run("lstm-lm", dataset="toy", study="runs/a")
    twin = write_run("lstm-lm", dataset="toy", study="runs/b")
    place = "summary/a-vs-b"
    tables = {f"compare.{suffix}" for suffix in ("csv", "md", "tex")}
    for common in (True, False):
        if not common:
            shutil.rmtree(str(twin))
            write_run("lstm-vae", dataset="toy", study="runs/b")
        status, out, _ = summarize("--compare", "runs/a", "runs/b", "--quiet")
        page = f"Web page: {place}/compare.html\n"
        assert (status, out) == (0, f"Tables: {place}/compare.*\n{page}" if common else page)
        found = {path.name for path in (tmp_path / place).glob("compare.*")}
        assert found == (tables if common else set()) | {"compare.html"}


def test_an_error_of_reading_is_not_said_to_be_one_of_writing(
    tmp_path: Path, write_run: WriteRun, summarize: Summarize, monkeypatch: pytest.MonkeyPatch
) -> None:
    for study in "ab":
        write_run("lstm-lm", dataset="toy", study=f"runs/{study}")
    store = type(open_source("runs/a").folders[0].store)
    usual = store.exists

    def fail(self: Store, name: str) -> bool:
        if name == FILE:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return usual(self, name)

    monkeypatch.setattr(store, "exists", fail)
    status, out, told = summarize("--out", "x")
    assert (status, out) == (2, "")
    assert told == f"error: {tmp_path}/runs/a: cannot be read ({os.strerror(errno.EIO)})\n"


def test_a_study_that_is_given_twice_is_refused(
    tmp_path: Path, write_run: WriteRun, summarize: Summarize
) -> None:
    write_run(dataset="toy", study="runs/a")
    status, out, told = summarize("runs/a", "./runs/a")
    assert (status, out) == (2, "")
    assert told == "error: ./runs/a: the same study as runs/a; give each study once\n"


def test_runs_in_progress_are_no_error(tmp_path: Path, write_run: WriteRun, summarize: Summarize) -> None:
    folder = write_run(status="unfinished", study="runs/a")
    with acquire(folder, "launch"):
        status, out, _ = summarize("runs/a")
    assert status == 0
    assert out.splitlines() == [
        "a: no run has finished (1 running), so there is no report",
        f"next: python {ROOT}/analysis/summarize.py {tmp_path}/runs/a --watch",
    ]


def test_a_launch_under_way_is_not_to_be_started_again(
    tmp_path: Path, write_run: WriteRun, summarize: Summarize
) -> None:
    folder = write_run("lstm-lm", dataset="toy", status="unfinished", study="runs/a")
    study, absent = Study(str(tmp_path / "runs" / "a")), "toy__lstm-lm__standard__L0__seed1__0000000b"
    write_planned_runs(study, [folder.name, absent])
    about = f"{study.url}: 1 of the 2 runs of its last launch does not exist yet (toy standard LSTM-LM: 1)"
    with acquire(folder, "launch"):
        assert summarize("runs/a")[1].splitlines()[1] == f"{about}; others are running."
    status, out, _ = summarize("runs/a")
    assert status == 1
    assert out.count("run the sweep's command again") == 1
    assert f"{about}; none is running; to continue, run the sweep's command again." in out


def test_an_empty_folder_is_a_study_without_a_run(tmp_path: Path, summarize: Summarize) -> None:
    (tmp_path / "runs" / "a").mkdir(parents=True)
    message = "error: runs/a: no run has begun there yet; start its sweep, or give another study\n"
    assert summarize("runs/a") == (2, "", message)
    (tmp_path / "runs" / "a" / "train.txt").write_text("a\n")
    assert "not a study: it holds no run folder" in summarize("runs/a")[2]


@pytest.mark.parametrize("every", [["--every", "5"], ["--every=5"], []])
def test_the_command_in_a_report_that_is_watched_makes_it_once(monkeypatch, every):
    monkeypatch.setattr(sys, "argv", ["summarize.py", "runs/mine", "--watch", *every, "--latex", "siunitx"])
    assert _command() == "python analysis/summarize.py runs/mine --latex siunitx"
