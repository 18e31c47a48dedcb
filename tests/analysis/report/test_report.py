import io
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib.text import Text
from rich.console import Console

from analysis.figures import kl, nll, ppl
from analysis.formats.markdown import markdown, section
from analysis.formats.summary import write_tables
from analysis.formats.terminal import print_comparison, print_report
from analysis.formats.wandb import Place, blocks_of, wr
from analysis.published.catalogue import use
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import Report, compose
from analysis.report.two_studies import compare_studies
from lvae_core.messages import numbered

from ..conftest import WriteRun


def report(tmp_path: Path, *studies: str) -> Report:
    return compose(collect([open_source(str(tmp_path / study)) for study in studies or ("study",)]))


def on_terminal(composed: Report) -> str:
    console = Console(file=io.StringIO(), width=100, markup=False, highlight=False, emoji=False)
    print_report(composed, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_head_shows_counts_origins_and_cost(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        folder = write_run(seed=seed, study="a", status="failed" if seed == 2 else "done")
        folder.write_json("provenance.json", {"attempts": [{"commit": "c0ffee" * 6, "dirty": seed == 0}]})
    write_run("lstm-lm", dataset="pydocs", study="b")
    write_run(seed=0, study="b")
    text = markdown(report(tmp_path, "a", "b"))
    assert f"- study `{tmp_path / 'a'}`\n- study `{tmp_path / 'b'}`\n" in text
    assert "- runs: 4 (3 done, 1 failed)\n" in text
    once = "a run in several places counts once: 1 left out"
    assert f"- {once} (copied, or trained again with the same numbers)\n" in text
    assert "- commit: c0ffeec0ff (2 runs); c0ffeec0ff + changes (1 run)\n" in text
    # Half an hour of training and a quarter of evaluation each.
    cost = "135 device-minutes in the 3 finished runs shown (PTB 90, pydocs 45)"
    assert f"- cost: {cost}; without those left out and unfinished and failed runs\n" in text


def test_the_title_names_the_studies(tmp_path: Path, write_run: WriteRun) -> None:
    for study in ("a_b", "b", "mine/b"):
        write_run("lstm-lm", seed=len(study), study=study, dataset="toy")
    assert markdown(report(tmp_path, "b")).startswith("# Results: b\n")
    assert report(tmp_path, "a_b", "b").title == "Results: a_b and b"
    # Studies of one name are told apart by the folders that they are in.
    assert report(tmp_path, "b", "mine/b").title.endswith("-b and mine-b")
    same = replace(report(tmp_path, "b"), studies=("/x/runs/paper", "/y/runs/paper"))
    assert same.title == "Results: x-runs-paper and y-runs-paper"
    assert replace(report(tmp_path, "b"), studies=tuple("abcdef")).title == "Results: a, b, c and 3 more"


def test_autoencoders_are_no_rows_but_are_counted(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", dataset="toy")
    write_run("lstm-ae", dataset="toy")
    composed = report(tmp_path)
    assert {cell.system for cell in composed.cells} == {"lstm-lm"}
    assert set(composed.frame["system"]) == {"lstm-lm", "lstm-ae"}
    assert "not shown: 1 autoencoder, from which encoders of other runs start" in markdown(composed)
    (grid,) = (block for block in blocks_of(composed, Place("e", "p")) if isinstance(block, wr.PanelGrid))
    filters = grid.runsets[0].filters
    assert "lstm-lm" in filters
    assert "lstm-ae" not in filters


def test_the_terminal_says_that_some_runs_are_of_another_version_of_the_numerics(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(3):
        write_run(seed=seed, dataset="toy")
    runs = collect([open_source(str(tmp_path / "study"))])
    for others, shown in (([0], True), ([0, 1, 2], False)):
        frame = runs.frame.copy()
        frame.loc[others, "numerics"] = "5"
        composed = compose(replace(runs, frame=frame))
        fact = f"another version of the numerics: 5 ({numbered(len(others), 'run')})"
        assert fact in composed.facts
        assert (fact in composed.short_facts) == shown
        assert not [fact for fact in composed.short_facts if fact.startswith("data ")]  # all share it


def test_runs_that_did_not_record_their_time_have_no_cost(tmp_path: Path, write_run: WriteRun) -> None:
    folder = write_run(dataset="toy")
    result = folder.read_json("result.json") or {}
    times = ("train_seconds", "evaluate_seconds")
    folder.write_json("result.json", {k: v for k, v in result.items() if k not in (*times, "sha256")})
    assert not [fact for fact in report(tmp_path).facts if fact.startswith("cost: ")]
    write_run("lstm-lm", dataset="pydocs")
    (cost,) = (fact for fact in report(tmp_path).facts if fact.startswith("cost: "))
    assert cost == "cost: 45 device-minutes in the 2 finished runs shown (pydocs 45)"


def test_the_terminal_says_how_many_damaged_files_of_a_comparison_it_leaves_out(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for study in "ab":
        for seed in range(7):
            folder = write_run(seed=seed, study=study)
            if seed:
                folder.store.write(f"{folder.name}/result.json", b"{")
    compared = compare_studies(*(collect([open_source(str(tmp_path / name))]) for name in "ab"))
    console = Console(file=io.StringIO(), width=200)
    print_comparison(compared, console)
    assert isinstance(console.file, io.StringIO)
    damaged = console.file.getvalue().partition("Damaged files\n")[2].split("\n- ")
    assert len(damaged) == 11
    assert damaged[-1] == "and 2 more in compare.html\n"


def test_failed_damaged_and_missing_are_listed(tmp_path: Path, write_run: WriteRun) -> None:
    failed = write_run(seed=1, status="failed")
    broken = write_run(seed=2)
    broken.store.write(f"{broken.name}/result.json", b"{")
    composed = report(tmp_path)
    for text in (markdown(composed), " ".join(on_terminal(composed).split())):
        assert failed.name in text
        assert "diverged, attempt 1: the loss is nan in epoch 2" in text
        assert f"{broken}/result.json: damaged" in text
        assert "PTB: no run of LSTM-LM standard, LSTM-LM inputless, LSTM-VAE L=1 inputless" in text


def test_nothing_is_missing_of_datasets_that_the_study_does_not_have(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run(dataset="mine")
    own = tmp_path / "own.csv"
    own.write_text(
        "dataset,source,system,num_samples,setting,metric,mean,table,beside\n"
        "mine,me2026,LSTM-VAE,1,standard,nll,98.5,2,yes\n"
        "mine,me2026,LSTM-LM,,standard,nll,99.5,2,yes\n"
    )
    use([str(own)])
    try:
        composed = report(tmp_path)
    finally:
        use()
    assert composed.missing == ("mine: no run of LSTM-LM standard",)


def test_the_terminal_lists_ten_failures_and_the_page_all(tmp_path: Path, write_run: WriteRun) -> None:
    names = [write_run(seed=seed, status="failed").name for seed in range(12)]
    composed = report(tmp_path)
    shown, written = on_terminal(composed), markdown(composed)
    assert sum(name in shown for name in names) == 10
    assert "and 2 more in report.md" in shown
    assert all(name in written for name in names)


def test_datasets_of_the_paper_come_first_and_each_has_its_tables(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for dataset in ("a-folder", "yahoo", "pydocs"):
        write_run(dataset=dataset, estimates={"nll_elbo": 100.0, "nll_iw": 99.0, "ppl_elbo": 9.0})
    composed = report(tmp_path)
    assert [table.heading.split(":")[0] for table in composed.table2] == [
        "Table 2b. Yahoo", "a-folder", "pydocs",
    ]  # fmt: skip
    assert [table.heading.split(":")[0] for table in composed.table3] == [
        "Table 3. PTB, Yahoo", "a-folder", "pydocs",
    ]  # fmt: skip
    assert len(composed.bounds) == 3


def test_a_dataset_whose_true_nll_is_known_comes_before_others(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(dataset="pydocs")
    write_run(dataset="topics", result={"true_nll": 6.2})
    assert report(tmp_path).datasets == ("topics", "pydocs")


def test_the_head_begins_with_the_number_below_the_known_truth(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", dataset="toy", result={"true_nll": 98.0})
    estimates = {"nll_elbo": 97.0, "nll_joint": 127.0}
    write_run("lstm-vae-avg", 5, dataset="toy", estimates=estimates, result={"true_nll": 98.0})
    composed = report(tmp_path)
    seen, counted = composed.findings
    assert "has 97.0 by the published convention, 1.0 below the truth" in seen.text
    assert counted.text == "toy standard: no conclusion from 1 comparison of tightest valid bounds."
    for text in (markdown(composed), " ".join(on_terminal(composed).split())):
        assert text.count("1.0 below the truth") == 1
        assert text.index("1.0 below the truth") < text.index("1 comparison of tightest")


def test_every_table_with_a_marked_name_explains_the_mark(tmp_path: Path, write_run: WriteRun) -> None:
    for dataset in ("toy", "pydocs"):
        write_run("lstm-vae-avg", 5, dataset=dataset, estimates={"nll_elbo": 97.0, "nll_joint": 127.0})
    composed = report(tmp_path)
    note = "‡: NLL and PPL count one KL for several samples of z"
    tables = (*composed.table2, *composed.table3, *composed.bounds)
    marked = [table for table in tables if any("‡" in line.label for line in table.lines)]
    assert markdown(composed).count(note) == len(marked) > 2
    # On one screen once is enough.
    on_the_terminal = on_terminal(composed)
    assert (on_the_terminal.count(note), on_the_terminal.count("NLL (KL) in nats")) == (1, 2)


def test_a_language_model_alone_has_no_table_3(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", dataset="pydocs")
    composed = report(tmp_path)
    assert composed.table3 == ()
    assert "Importance-weighted" not in markdown(composed)


def test_nothing_is_called_published_where_nothing_was(tmp_path: Path, write_run: WriteRun) -> None:
    estimates = {"nll_elbo": 99.0, "ppl_elbo": 90.0, "nll_iw": 98.0, "mi": 1.0}
    for size in (4, 8):
        write_run(dataset="pydocs", latent_size=size, estimates=estimates)
    write_run("lstm-lm", dataset="pydocs")
    composed = report(tmp_path)
    tables = "".join(map(section, (*composed.table2, *composed.table3, *composed.comparisons)))
    for text in (tables, on_terminal(composed)):
        assert not re.search(r"Table \d|published convention", text)
    assert "## Table" not in markdown(composed)
    captions = [module.caption(composed.cells, "pydocs") for module in (kl, nll, ppl)]
    assert "published" not in " ".join(captions)
    figure = ppl.draw(composed.cells, "pydocs")
    assert figure is not None
    texts = {text.get_text() for text in figure.findobj(Text)}
    assert {"LSTM-VAE, latent_size=4", "test PPL"} <= texts
    # Beside a number that is no bound, the convention and the mode are named.
    write_run("lstm-vae-avg", 2, dataset="pydocs", estimates={**estimates, "nll_joint": 120.0})
    composed = report(tmp_path)
    assert "by the published convention" in ppl.caption(composed.cells, "pydocs")
    assert "NLL (published convention)" in "".join(map(section, composed.comparisons))


def test_a_study_without_a_finished_run_has_a_report(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(2):
        folder = write_run(seed=seed, dataset="pydocs", status="unfinished")
        folder.store.write(f"{folder.name}/config.json", b"?")
    text = on_terminal(report(tmp_path))
    assert "runs: 2 (2 damaged)" in text
    assert re.search(r"LSTM-VAE L=1 +damaged 2/2", text)


def test_a_damaged_run_without_a_known_name_is_reported(tmp_path: Path, write_run: WriteRun) -> None:
    folder = write_run("lstm-lm", dataset="pydocs")
    (tmp_path / "study" / folder.name).rename(tmp_path / "study" / "mine")
    (tmp_path / "study" / "mine" / "result.json").write_text("")
    text = on_terminal(report(tmp_path))
    assert "runs: 1 (1 damaged)" in text
    assert str(tmp_path / "study" / "mine" / "result.json") in text


def test_writing_the_same_report_twice_gives_the_same_files(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-vae-avg", 5, estimates={"nll_elbo": 97.0, "kl": 7.5, "nll_joint": 127.0, "mi": 7.0})
    write_run("lstm-vae-avg", 5, seed=1, status="failed")
    composed, out = report(tmp_path), tmp_path / "out"
    assert write_tables(composed, str(out), latex="plain") == f"{out}/report.md"
    names = sorted(path.name for path in out.iterdir())
    hyperparameters = ["hyperparameters.md", "hyperparameters.tex"]
    tables = [
        f"{name}.{end}"
        for name in ("bounds", "comparisons", "further", "table2", "table3")
        for end in ("csv", "md", "tex")
    ]
    assert names == sorted([*tables, *hyperparameters, "runs.csv", "report.md", ".tables.json"])
    before = {name: (out / name).read_bytes() for name in names}
    write_tables(report(tmp_path), str(out), latex="plain")
    assert {name: (out / name).read_bytes() for name in names} == before
    runs = pd.read_csv(out / "runs.csv")
    assert list(runs["status"]) == ["done", "failed"]
    bounds = pd.read_csv(out / "bounds.csv").set_index("metric")
    ours = bounds[bounds["n"] > 0]
    assert ours.loc["nll_joint", ["mean", "bound"]].to_list() == [127.0, "upper bound"]
    assert {"mi", "kl"} <= set(ours.index)
    assert r"\usepackage{booktabs,graphicx}" in before["table2.tex"].decode()


def test_the_report_speaks_of_published_numbers_only_if_it_has_some(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run(dataset="toy", study="own")
    write_run(dataset="ptb", study="paper")
    titles = [compose(collect([open_source(str(tmp_path / name))])).title for name in ("own", "paper")]
    assert titles == ["Results: own", "Results and published numbers: paper"]


def test_a_run_that_diverged_is_not_advised_to_be_retried(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(status="failed")
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    assert "--retry-failed" not in " ".join(report.advice)
    assert "learning_rate" in " ".join(report.advice)
