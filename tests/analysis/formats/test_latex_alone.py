"""A LaTeX file stands alone in a paper: its labels are unique, and its caveats are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.formats.files import no_bold, table_files
from analysis.formats.latex import latex_labels
from analysis.formats.summary import write_tables
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from analysis.tables.elements.table import Table

from ..conftest import WriteRun


@pytest.fixture
def written(tmp_path: Path, write_run: WriteRun) -> dict[str, str]:
    """Write the tables of a collapsed study, of a dataset that nobody published numbers for."""
    estimates = {"nll_elbo": 99.0, "ppl_elbo": 90.0, "nll_iw": 99.0, "kl": 0.0, "mi": 0.0}
    for dataset in ("corp", "a_b", "a-b"):
        for seed in range(2):
            write_run("lstm-lm", dataset=dataset, seed=seed)
            run = write_run(dataset=dataset, seed=seed, estimates=estimates)
            if dataset == "corp":
                run.write_metrics([{"epoch": 3, "step": 9, "valid_nll": 99.0, "kl_weight": 0.2}])
    write_tables(
        compose(collect([open_source(str(tmp_path / "study"))])), str(tmp_path / "out"), latex="plain"
    )
    return {path.stem: path.read_text() for path in (tmp_path / "out").glob("*.tex")}


def test_no_two_tables_of_a_summary_have_one_label(written: dict[str, str]) -> None:
    labels = re.findall(r"\\label\{tab:(.*)\}", "".join(written.values()))
    # Each of the tables of hyperparameters needs a second float.
    assert len(labels) == len(set(labels)) == 15 + 3
    assert {"corp-table2", "corp-table3", "bounds-corp", "hyperparameters-corp"} <= set(labels)
    assert {"a-b-table2", "a-b-table2-2"} <= set(labels)


def test_a_published_number_and_a_name_without_letters_make_labels() -> None:
    tables = [Table("PTB: NLL", (), (), (), number="2a"), *[Table("語料: NLL", (), (), ())] * 2]
    assert latex_labels(tables, "table2") == ["table-2a-ptb", "table2", "table2-2"]
    files = table_files("table2", (), tables, best=no_bold, latex="plain")
    assert r"\label{tab:table-2a-ptb}" in files["table2.tex"]


@pytest.mark.parametrize("name", ["table2", "table3", "bounds"])
def test_what_changes_the_reading_of_a_number_is_printed_below_it(
    written: dict[str, str], name: str
) -> None:
    of_corp = next(part for part in written[name].split(r"\begin{table}") if "corp" in part[:200])
    printed = re.sub(r"^%.*\n", "", of_corp.partition(r"\end{tabular}")[2], flags=re.MULTILINE)
    assert "z says next to nothing about a sentence" in printed
    assert "posterior collapse" in printed
    assert "estimates shown: S = 500 importance samples" in printed
    assert written[name].replace("\n", "").isascii()


def test_what_a_published_number_needs_to_be_read_is_printed_below_its_table(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(2):
        write_run("lstm-lm", seed=seed)
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    write_tables(report, str(tmp_path / "out"), latex="plain")

    def printed(name: str) -> str:
        text = (tmp_path / "out" / f"{name}.tex").read_text()
        return re.sub(r"^%.*\n", "", text, flags=re.MULTILINE)

    condition = "if run with the default of the released code, which averages 3 samples of z"
    for name in ("table2", "bounds"):
        assert r"$^\S$: a bound only under a condition" in printed(name)
        assert condition in printed(name)
    assert "compare this NLL or the PPL" in printed("table2")
    assert "with a margin of two published standard deviations" in printed("comparisons")
    assert "cannot tell: neither, or we have one seed" in printed("comparisons")


def test_the_caption_speaks_of_bold_numbers_only_if_some_were_compared(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for system, dataset in (("lstm-lm", "alone"), ("lstm-lm", "pair"), ("lstm-vae", "pair")):
        for seed in range(2):
            write_run(system, dataset=dataset, seed=seed)
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    write_tables(report, str(tmp_path / "out"), latex="plain")
    text = "".join(path.read_text() for path in (tmp_path / "out").glob("*.tex"))
    captions = re.findall(r"\\caption\{(.*)\}\n", text)
    of_bold = {caption.partition(". ")[0] for caption in captions if "bold" in caption.lower()}
    assert of_bold == {
        "pair: NLL (KL) in nats per sentence, and PPL",
        "pair: NLL (the ELBO) and importance-weighted NLL (IW), standard",
        "Bounds, pair: what each number is",
    }
