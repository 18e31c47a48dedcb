import io
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.console import Console

from analysis.formats.markdown import markdown
from analysis.formats.summary import write_tables
from analysis.formats.terminal import print_report
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import Report, compose
from lvae_core.run_folder.folder import RunFolder

WriteRun = Callable[..., RunFolder]


def report(tmp_path: Path, *studies: str) -> Report:
    return compose(collect([open_source(str(tmp_path / study)) for study in studies or ("study",)]))


def on_terminal(told: Report) -> str:
    console = Console(file=io.StringIO(), width=100, markup=False, highlight=False, emoji=False)
    print_report(told, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_head_counts_runs_and_names_their_making_and_cost(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        folder = write_run(seed=seed, study="a", status="failed" if seed == 2 else "done")
        folder.write_json("provenance.json", {"attempts": [{"commit": "c0ffee" * 6, "dirty": seed == 0}]})
    write_run("lstm-lm", dataset="pydocs", study="b")
    write_run(seed=0, study="b")
    text = markdown(report(tmp_path, "a", "b"))
    assert f"- study `{tmp_path / 'a'}`\n- study `{tmp_path / 'b'}`\n" in text
    assert "- runs: 4 (3 done, 1 failed)\n" in text
    assert "- a run in several places counts once: 1 copies left out\n" in text
    assert "- commit: c0ffeec0ff (2 runs); c0ffeec0ff + changes (1 runs)\n" in text
    # Half an hour of training and a quarter of evaluation each.
    assert "- cost: 2.25 device-hours in 3 finished runs (PTB 1.5, pydocs 0.75)\n" in text


def test_a_short_study_is_costed_in_minutes(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", dataset="toy", result={"train_seconds": 80.0, "evaluate_seconds": 10.0})
    assert "cost: 1.5 device-minutes in 1 finished runs (toy 1.5)" in report(tmp_path).facts


def test_failed_damaged_and_missing_are_listed(tmp_path: Path, write_run: WriteRun) -> None:
    failed = write_run(seed=1, status="failed")
    broken = write_run(seed=2)
    broken.store.write(f"{broken.name}/result.json", b"{")
    told = report(tmp_path)
    for text in (markdown(told), " ".join(on_terminal(told).split())):
        assert failed.name in text
        assert "diverged, attempt 1: the loss is nan in epoch 2" in text
        assert f"{broken}/result.json: damaged" in text
        assert "PTB: no run of LSTM-LM standard, LSTM-LM inputless, LSTM-VAE L=1 inputless" in text
        assert "Yahoo: no run at all" in text


def test_the_terminal_names_ten_failures_and_the_page_all(tmp_path: Path, write_run: WriteRun) -> None:
    names = [write_run(seed=seed, status="failed").name for seed in range(12)]
    told = report(tmp_path)
    assert sum(name in on_terminal(told) for name in names) == 10
    assert "and 2 more in report.md" in on_terminal(told)
    assert all(name in markdown(told) for name in names)


def test_datasets_of_the_paper_come_first_and_each_has_its_tables(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for dataset in ("a-folder", "yahoo", "pydocs"):
        write_run(dataset=dataset, estimates={"nll_elbo": 100.0, "nll_iw": 99.0, "ppl_elbo": 9.0})
    told = report(tmp_path)
    assert [table.title.split(":")[0] for table in told.table2] == [
        "Table 2b. Yahoo", "Table 2. a-folder", "Table 2. pydocs",
    ]  # fmt: skip
    assert [table.title.split(":")[0] for table in told.table3] == [
        "Table 3. PTB, Yahoo", "Table 3. a-folder", "Table 3. pydocs",
    ]  # fmt: skip
    assert len(told.bounds) == 3


def test_a_language_model_alone_has_no_table_3(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", dataset="pydocs")
    told = report(tmp_path)
    assert told.table3 == ()
    assert "## Table 3" not in markdown(told)


def test_a_study_in_which_nothing_is_done_is_told_all_the_same(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(2):
        folder = write_run(seed=seed, dataset="pydocs", status="unfinished")
        folder.store.write(f"{folder.name}/config.json", b"?")
    text = on_terminal(report(tmp_path))
    assert "runs: 2 (2 damaged)" in text
    assert re.search(r"LSTM-VAE L=1 +damaged .*\n +\(2 of 2\)", text)


def test_a_damaged_run_of_which_nothing_is_known_is_told(tmp_path: Path, write_run: WriteRun) -> None:
    folder = write_run("lstm-lm", dataset="pydocs")
    (tmp_path / "study" / folder.name).rename(tmp_path / "study" / "mine")
    (tmp_path / "study" / "mine" / "result.json").write_text("")
    text = on_terminal(report(tmp_path))
    assert "runs: 1 (1 damaged)" in text
    assert str(tmp_path / "study" / "mine" / "result.json") in text


def test_every_file_is_written_and_a_second_time_is_the_same(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-vae-avg", 5, estimates={"nll_elbo": 97.0, "kl": 7.5, "nll_joint": 127.0, "mi": 7.0})
    write_run("lstm-vae-avg", 5, seed=1, status="failed")
    told, out = report(tmp_path), tmp_path / "out"
    assert write_tables(told, str(out)) == f"{out}/report.md"
    names = sorted(path.name for path in out.iterdir())
    tables = [
        f"{name}.{end}"
        for name in ("bounds", "comparisons", "table2", "table3")
        for end in ("csv", "md", "tex")
    ]
    assert names == sorted([*tables, "runs.csv", "report.md"])
    before = {name: (out / name).read_bytes() for name in names}
    write_tables(report(tmp_path), str(out))
    assert {name: (out / name).read_bytes() for name in names} == before
    runs = pd.read_csv(out / "runs.csv")
    assert list(runs["status"]) == ["done", "failed"]
    bounds = pd.read_csv(out / "bounds.csv").set_index("metric")
    ours = bounds[bounds["n"] > 0]
    assert ours.loc["nll_joint", ["mean", "bound"]].to_list() == [127.0, "upper bound"]
    assert {"mi", "kl"} <= set(ours.index)
    assert r"\usepackage{booktabs}" in before["table2.tex"].decode()
