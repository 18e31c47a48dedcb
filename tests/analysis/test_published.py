import csv
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.formats.page.tips import tip
from analysis.formats.text import value_text
from analysis.published import catalogue as module
from analysis.published.catalogue import (
    Catalogue,
    catalogue,
    compared_together,
    display_name,
    find,
    published_splits,
    use,
)
from analysis.published.facts import Fact
from analysis.published.parse import OPTIONAL, REQUIRED, parse, read_facts
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from analysis.stats.average import Average
from analysis.stats.cells import Cell, Counts
from analysis.stats.valid_bounds import JOINT_ELBO
from analysis.tables.bounds import published_nll
from analysis.tables.elements.csv_rows import reproduction_row
from analysis.tables.elements.table import Column, Difference
from lvae_core.errors import InputError

from .conftest import WriteRun

FILES = Path(module.__file__).parent

HEADER = "table,dataset,source,system,num_samples,setting,metric,mean,std"
ROW = "2a,ptb,kim2018,LSTM-LM,,standard,nll,1,"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """The place of a user's file; the process's numbers are those of the package again afterwards."""
    yield tmp_path / "own.csv"
    use()


def of_paper() -> list[Fact]:
    return [fact for fact in catalogue().facts if fact.table]


def printed(table: str, source: str, dataset: str, system: str, L: int, setting: str) -> dict[str, Fact]:
    return {
        fact.metric: fact
        for fact in of_paper()
        if (fact.table, fact.source, fact.dataset, fact.system, fact.num_samples, fact.setting)
        == (table, source, dataset, system, L, setting)
    }


def test_there_are_118_facts_of_three_tables() -> None:
    by_table = {table: sum(fact.table == table for fact in of_paper()) for table in ("2a", "2b", "3")}
    assert by_table == {"2a": 60, "2b": 44, "3": 14}
    assert len(of_paper()) == 118


def test_the_facts_have_not_changed_by_a_digit() -> None:
    with (FILES / "published.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    facts = "".join(",".join(row[:9]) + "\n" for row in rows)
    assert facts.startswith(HEADER + "\n")
    # The hash of the facts as they were typed from the paper.
    assert (
        hashlib.sha256(facts.encode()).hexdigest()
        == "9001f45e9b16dbcad9e060d2cf09bbe3603fb2af791a0ee4314df5cabbd6aad9"
    )


def test_the_documentation_lists_every_column() -> None:
    page = (FILES.parent.parent / "docs" / "published.md").read_text()
    for column in (*REQUIRED, *OPTIONAL):
        assert f"| `{column}` |" in page


def test_numbers_are_those_of_the_paper() -> None:
    avg = printed("2a", "kruengkrai2019", "ptb", "lstm-vae-avg", 10, "standard")
    assert {name: (f.mean, f.std) for name, f in avg.items()} == {
        "nll": (94.3, 0.4),
        "kl": (8.1, 0.2),
        "ppl": (73.8, 1.5),
    }
    yahoo = printed("2b", "kruengkrai2019", "yahoo", "lstm-vae", 5, "inputless")
    assert {name: (f.mean, f.std) for name, f in yahoo.items()} == {
        "nll": (464.3, 1.2),
        "kl": (22.2, 1.7),
        "ppl": (334.8, 4.9),
    }
    bowman = printed("2a", "bowman2016", "ptb", "lstm-lm", 0, "inputless")
    assert {f.std_decimals for f in yahoo.values()} == {1}
    assert {name: (f.mean, f.std, f.decimals) for name, f in bowman.items()} == {
        "nll": (135.0, None, 0),
        "ppl": (600.0, None, 0),
    }
    assert printed("2a", "xu2018", "ptb", "lstm-vmf-vae", 1, "inputless")["kl"].mean == 18.6
    assert printed("2b", "yang2017", "yahoo", "cnn-vae-init", 1, "standard")["kl"].decimals == 1
    assert printed("2b", "kim2018", "yahoo", "sa-vae", 1, "standard")["ppl"].mean == 60.4
    assert printed("3", "he2019", "yahoo", "lstm-vae-ain", 1, "standard")["nll_iw"].mean == 326.7


def test_only_importance_weighted_numbers_with_averaged_states_are_not_defined() -> None:
    undefined = {(f.system, f.metric) for f in catalogue().facts if not f.defined}
    assert undefined == {("lstm-vae-avg", "nll_iw")}
    assert sum(not f.defined for f in catalogue().facts) == 4


def test_find_returns_the_number_that_ours_is_compared_with() -> None:
    fact = find("3", "ptb", "lstm-vae-avg", 5, "standard", "nll_iw")
    assert fact
    assert (fact.mean, fact.std, fact.source) == (95.1, 0.8, "kruengkrai2019")
    # Systems that Kruengkrai (2019) only cites are compared with the source.
    for dataset, system, L, source in (
        ("ptb", "lstm-vmf-vae", 1, "xu2018"),
        ("yahoo", "cnn-lm", 0, "yang2017"),
        ("yahoo", "cnn-vae-init", 1, "yang2017"),
        ("yahoo", "sa-vae", 1, "kim2018"),
        ("yahoo", "lstm-lm", 0, "kruengkrai2019"),
    ):
        fact = find("2", dataset, system, L, "standard", "nll")
        assert fact is not None
        assert fact.source == source
    assert (find("3", "yahoo", "lstm-vae-ain", 1, "standard", "nll_iw") or fact).mean == 326.7
    assert find("2", "pydocs", "lstm-lm", 0, "standard", "nll") is None
    assert find("2", "ptb", "lstm-vae", 2, "standard", "nll") is None


def test_names_are_printed_as_in_the_paper() -> None:
    assert display_name("lstm-vmf-vae") == "LSTM-vMF-VAE"
    assert display_name("cnn-vae-init") == "CNN-VAE+init"
    assert display_name("lstm-vae-ain") == "LSTM-VAE-AIN+anneal"
    assert display_name("lstm-iwae") == "LSTM-IWAE"
    assert display_name("my-own") == "my-own"


def test_token_counts_convert_each_published_nll_into_its_ppl() -> None:
    assert published_splits() == {"ptb": (3_761, 82_430), "yahoo": (10_000, 798_673)}
    pairs = 0
    for nll in of_paper():
        ppl = find("2", nll.dataset, nll.system, nll.num_samples, nll.setting, "ppl")
        if nll.metric != "nll" or nll.table == "3" or nll.source != "kruengkrai2019":
            continue
        sentences, tokens = published_splits()[nll.dataset]
        low, high = (math.exp((nll.mean + e) * sentences / tokens) for e in (-0.05, 0.05))
        assert ppl is not None
        assert ppl.std is not None
        # The mean of exponentials lies above the exponential of the mean, by half the variance.
        convexity = ppl.std**2 / (2 * ppl.mean)
        assert low - 0.05 <= ppl.mean <= high + convexity + 0.05, (nll, ppl)
        pairs += 1
    assert pairs == 24


def test_only_rows_on_another_count_of_tokens_are_converted() -> None:
    nlls = [f for f in catalogue().facts if f.metric == "nll"]
    converted = {(f.dataset, f.source) for f in nlls if catalogue().implied_tokens(f)}
    assert converted == {("ptb", "bowman2016"), ("ptb", "xu2018")}
    # ln PPL times 82,430 / 3,761, by hand.
    expected = {
        ("bowman2016", "LSTM-LM", "standard"): 104.2, ("bowman2016", "LSTM-VAE", "standard"): 104.7,
        ("bowman2016", "LSTM-LM", "inputless"): 140.2, ("bowman2016", "LSTM-VAE", "inputless"): 130.2,
        ("xu2018", "LSTM-LM", "standard"): 103.8, ("xu2018", "LSTM-VAE", "standard"): 102.8,
        ("xu2018", "LSTM-vMF-VAE", "standard"): 100.5, ("xu2018", "LSTM-LM", "inputless"): 140.1,
        ("xu2018", "LSTM-VAE", "inputless"): 130.1, ("xu2018", "LSTM-vMF-VAE", "inputless"): 122.0,
    }  # fmt: skip
    found = {
        (f.source, f.name, f.setting): round(catalogue().comparable(f).mean, 1)
        for f in nlls
        if catalogue().implied_tokens(f)
    }
    assert found == expected
    kl = catalogue().comparable(printed("2a", "xu2018", "ptb", "lstm-vmf-vae", 1, "inputless")["kl"])
    assert (round(kl.mean, 1), kl.printed) == (19.4, 18.6)


def test_a_file_of_a_user_adds_numbers_and_a_dataset(own: Path) -> None:
    own.write_text(
        "\ufeffdataset,source,system,setting,metric,mean,table,beside,cited_as\n"
        'wiki,me2026,LSTM-LM,standard,nll,88.5,2,yes,"Me, 2026"\n'
        "ptb,me2026,My-VAE,standard,ppl,77.7,,,\n"
    )
    use([str(own), str(own)])
    assert len(catalogue().facts) == 118 + 47 + 2
    fact = find("2", "wiki", "lstm-lm", 0, "standard", "nll")
    assert fact is not None
    assert (fact.mean, fact.decimals, fact.cited, fact.runs) == (88.5, 1, "Me, 2026", None)
    assert display_name("my-vae") == "My-VAE"
    use()
    assert find("2", "wiki", "lstm-lm", 0, "standard", "nll") is None


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([HEADER.replace("metric", "measure"), ROW], "f.csv:1: has no column metric; the first line names"),
        (
            [HEADER + ",colour", ROW + ","],
            "f.csv:1: unknown column 'colour'; the optional ones are table, ",
        ),
        ([HEADER + ",std", ROW + ","], "f.csv:1: names a column twice"),
        ([HEADER.replace(",", ";"), ROW], "f.csv:1: has no column dataset, source"),
        ([], "f.csv:1: has no column dataset"),
        ([HEADER, ROW.replace("nll,1", "nll,a hundred")], "f.csv:2: mean 'a hundred': is not a number"),
        ([HEADER, ROW.replace("nll,1", "nll,nan")], "f.csv:2: mean 'nan': is not a number"),
        ([HEADER, ROW.replace("nll,1", "nll," + "9" * 400)], "is too large"),
        ([HEADER, ROW.replace("nll,1", "ppl,1")], "f.csv:2: mean '1': a perplexity is greater than 1"),
        ([HEADER, ROW.replace("nll,1", "nll,0.0")], "f.csv:2: mean '0.0': an NLL is greater than 0"),
        (
            [HEADER, ROW.replace("2a", "3").replace("nll,1", "nll_iw,-1")],
            "f.csv:2: mean '-1': an NLL is greater than 0",
        ),
        (
            [HEADER, ROW.replace("2a", "3").replace("standard", "inputless")],
            "f.csv:2: setting: Table 3 has the standard setting alone; leave table empty",
        ),
        ([HEADER, ROW + "-1"], "f.csv:2: std '-1': must not be negative"),
        (
            [HEADER, ROW.replace("nll,1", "nll_iw,1")],
            "f.csv:2: metric 'nll_iw': table 2 has nll, kl, ppl; give table 3 or leave table empty$",
        ),
        (
            [HEADER, ROW.replace("standard,nll", "inputless,nll_iw")],
            "f.csv:2: metric 'nll_iw': table 2 has nll, kl, ppl; leave table empty$",
        ),
        (
            [HEADER + ",beside", ROW.replace("nll,1", "mi,1") + ",yes"],
            "f.csv:2: metric 'mi': table 2 has nll, kl, ppl; leave table and beside empty$",
        ),
        (
            [HEADER, ROW.replace("2a", "3").replace("nll,1", "kl,1")],
            "f.csv:2: metric 'kl': table 3 has nll, nll_iw; give table 2 or leave table empty$",
        ),
        (
            [HEADER, ROW.replace("nll,1", "bits,1")],
            "f.csv:2: unknown metric 'bits'; choose from nll, nll_iw, kl, ppl, mi, au$",
        ),
        ([HEADER, ROW.replace("kim2018", "")], "f.csv:2: source: is empty; every number needs one"),
        ([HEADER, ROW.replace("standard", "upside")], "f.csv:2: unknown setting 'upside'; choose from"),
        ([HEADER, ROW.replace("2a", "9")], "f.csv:2: table '9': must be 2 or 3"),
        ([HEADER, ROW.replace("LM,,", "LM,0,")], "f.csv:2: num_samples '0': must be a whole number of at"),
        ([HEADER, "2a,ptb,kim2018,LSTM-LM"], "f.csv:2: has not 9 fields; write one per column"),
        ([HEADER, ROW + ",,more"], "f.csv:2: has not 9 fields; write one per column"),
        ([HEADER, ROW, ROW], "f.csv:3: repeats the number of line 2; remove one of them"),
        ([HEADER, ROW.replace("LSTM-LM", '"LSTM\x1b[1m"')], "f.csv:2: system: has a line break or control"),
        ([HEADER, ROW + '"'], "is not CSV .*; check its quotes"),
        ([HEADER + ",beside", ROW[2:] + ",yes"], "our numbers stand in Tables 2 and 3 only; fill in table"),
        ([HEADER + ",bound", ROW + ",perhaps"], "f.csv:2: unknown bound 'perhaps'; choose from"),
        ([HEADER + ",tokens", ROW + ",5"], "f.csv:2: sentences and tokens: give both counts"),
        ([HEADER + ",runs", ROW + ",1"], "f.csv:2: runs '1': must be a whole number of at least 2"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(lines: list[str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        parse(lines, "f.csv")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(own: Path) -> None:
    with pytest.raises(InputError, match=r"own.csv: cannot be read \(No such file"):
        read_facts(own)
    own.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"own.csv: is not UTF-8; save it"):
        read_facts(own)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (
            "2a,ptb,kruengkrai2019,LSTM-LM,,standard,nll,100.0,,,,",
            "own.csv: the nll of LSTM-LM from kru.* also",
        ),
        (
            "2,ptb,me,LSTM-LM,,standard,nll,100.0,,yes,,",
            "own.csv: .* beside our runs for kruengkrai2019 already",
        ),
        (
            "2,ptb,me,LSTM-LM,,standard,nll,100.0,,,9,99",
            "own.csv: me: gives ptb a test split of 9 sentences",
        ),
    ],
)
def test_a_file_that_contradicts_the_package_is_refused(own: Path, row: str, complaint: str) -> None:
    before = catalogue()
    own.write_text(f"{HEADER},beside,sentences,tokens\n{row}\n")
    with pytest.raises(InputError, match=complaint):
        use([str(own)])
    assert catalogue() is before


def test_numbers_on_a_users_folder_are_compared_and_leave_the_papers_tables_alone(
    own: Path, tmp_path: Path, write_run: WriteRun
) -> None:
    columns = "dataset,source,system,num_samples,setting,metric,mean,std,runs,table,beside,sentences,tokens"
    own.write_text(f"{columns}\nmine,me2026,LSTM-VAE,1,standard,nll,98.5,0.2,5,2,yes,3761,82430\n")
    use([str(own)])
    for seed in range(2):  # sweeps train the unknown word of a folder: min_count = 2
        write_run(seed=seed, dataset="mine", min_count=2, estimates={"nll_elbo": 100.0 + seed, "kl": 1.0})
        write_run(seed=seed, min_count=2)
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    (mine,) = [table for table in report.table2 if "mine" in table.title]
    (difference,) = [line for line in mine.lines if line.kind == "difference"]
    assert [v.value for v in difference.values if isinstance(v, Difference)] == [pytest.approx(2.0)]
    columns = [{column.group for column in table.columns} for table in report.table3]
    assert columns == [{"PTB", "Yahoo"}, {"mine"}]
    # On the paper's data the vocabulary is known, and its rows say why there is no difference.
    (ptb,) = [table for table in report.table2 if table.title.startswith("PTB")]
    assert not [line for line in ptb.lines if line.kind == "difference"]
    assert any("not the published vocabulary (min_count=1" in note for note in ptb.notes)


def test_a_mean_and_its_std_are_shown_with_the_digits_that_each_was_printed_with(
    own: Path, tmp_path: Path, write_run: WriteRun
) -> None:
    own.write_text(
        "dataset,source,system,num_samples,setting,metric,mean,std,runs,table,beside\n"
        "clean,hu2026,LSTM-LM,,standard,nll,101,0.4,5,2,yes\n"
        "clean,hu2026,LSTM-LM,,standard,ppl,91.2,0.25,5,2,yes\n"
        "clean,hu2026,LSTM-VAE,1,standard,nll,2.345,0.012,5,2,yes\n"
    )
    use([str(own)])
    for seed in range(3):
        write_run("lstm-lm", seed=seed, dataset="clean", estimates={"nll": 100.9 + seed / 10, "ppl": 91.0})
        write_run("lstm-vae", 1, seed=seed, dataset="clean", estimates={"nll_elbo": 2.34 + seed / 200})
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    (table,) = report.table2
    shown = {
        value_text(v, Column("NLL")) for line in table.lines for v in line.values if isinstance(v, Fact)
    }
    assert shown == {"101±0.4", "91.2±0.25", "2.345±0.012"}
    tips = {tip(v).splitlines()[1] for line in table.lines for v in line.values if isinstance(v, Fact)}
    assert "101 ± 0.4 (std over 5 seeds)" in tips
    (reproduced,) = report.reproductions
    margins = {line.label.strip(): line.values[5] for line in reproduced.lines if line.values}
    # Twice the largest std that is printed so: 0.45, 0.255 and 0.0125.
    assert margins == {"LSTM-LM NLL": "0.9", "LSTM-LM PPL": "0.51", "LSTM-VAE L=1 NLL": "0.025"}


def test_whether_a_published_row_is_marked_depends_on_its_file_alone(
    own: Path, tmp_path: Path, write_run: WriteRun
) -> None:
    own.write_text(
        "dataset,source,system,num_samples,setting,metric,mean,table,beside,our_system,bound\n"
        "clean,hu2026,MyVAE,3,standard,nll,21.1,2,yes,lstm-vae-avg,\n"
        "clean,hu2026,Other-VAE,3,standard,nll,21.2,2,,lstm-vae-avg,no\n"
    )
    use([str(own)])
    write_run("lstm-lm", dataset="clean")

    def composed() -> tuple[list[str], list[str]]:
        report = compose(collect([open_source(str(tmp_path / "study"))]))
        (table,) = report.table2
        labels = [line.label for line in table.lines if line.kind in ("published", "ours")]
        return labels, [note for note in table.notes if note.startswith("‡")]

    labels, explained = composed()
    assert labels == ["MyVAE L=3", "  ours", "Other-VAE L=3‡", "LSTM-LM"]
    assert len(explained) == 1
    write_run("lstm-vae-avg", 3, dataset="clean", estimates={"nll_elbo": 20.0, "kl": 1.0})
    labels, explained = composed()
    # Our number below an unmarked one has its own mark.
    assert labels == ["MyVAE L=3", "  ours‡", "Other-VAE L=3‡", "LSTM-LM"]
    assert len(explained) == 1


def test_the_kind_of_bound_of_a_published_number_in_csv_files_is_that_of_its_file(own: Path) -> None:
    own.write_text(
        "dataset,source,system,num_samples,setting,metric,mean,std,runs,table,beside,our_system,bound\n"
        "clean,hu2026,MyVAE,3,standard,nll,21.1,0.1,3,2,yes,lstm-vae-avg,\n"
        "clean,hu2026,MyVAE,3,standard,kl,2.0,0.1,3,2,yes,lstm-vae-avg,\n"
        "clean,hu2026,MyVAE,5,standard,nll,20.1,0.1,3,2,yes,lstm-vae-avg,no\n"
        "clean,hu2026,MyVAE,5,standard,kl,2.0,0.1,3,2,yes,lstm-vae-avg,\n"
    )
    use([str(own)])
    found = {}
    for L in (3, 5):
        counts, nll = Counts(done=1), Average(1, 20.0, None, None, (0,), (20.0,))
        ours = Cell("clean", "lstm-vae-avg", L, "standard", "", "hidden", counts, {"nll_elbo": nll})
        fact = find("2", "clean", "lstm-vae-avg", L, "standard", "nll")
        assert fact
        found[L] = reproduction_row(ours, fact)["b"]["bound"], published_nll(ours, JOINT_ELBO)
    assert found[3] == ("upper bound", None)
    # By hand: 20.1 + 4 * 2.0.
    kind, derived = found[5]
    assert kind == "not a bound"
    assert derived is not None
    assert derived.mean == pytest.approx(28.1)


def test_the_example_of_the_documentation_stands_beside_our_runs(
    own: Path, tmp_path: Path, write_run: WriteRun
) -> None:
    page = (FILES.parent.parent / "docs" / "published.md").read_text()
    own.write_text("".join(line[4:] + "\n" for line in page.splitlines() if line.startswith("    ")))
    rows = list(csv.DictReader(own.read_text().splitlines()))
    assert rows
    use([str(own)])
    (dataset,) = {row["dataset"] for row in rows}
    L = int(rows[0]["num_samples"])
    write_run(
        rows[0]["system"].lower(), L, dataset=dataset, estimates={"nll_elbo": 100.0, "ppl_elbo": 90.0}
    )
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    (table,) = report.table2
    assert [line.kind for line in table.lines] == ["heading", "published", "ours", "difference"]
    assert table.lines[0].label == rows[0]["cited_as"]


def test_a_users_numbers_of_table_3_have_a_table_without_the_papers_datasets(
    own: Path, tmp_path: Path, write_run: WriteRun
) -> None:
    own.write_text(
        "dataset,source,system,num_samples,setting,metric,mean,table,beside\n"
        "clean,hu2026,LSTM-VAE,1,standard,nll_iw,21.1,3,yes\n"
    )
    use([str(own)])
    for dataset in ("clean", "ptb"):
        write_run(dataset=dataset, estimates={"nll_elbo": 22.0, "nll_iw": 21.0})
        report = compose(collect([open_source(str(tmp_path / "study"))]))
        groups = [{column.group for column in table.columns} for table in report.table3]
        assert groups == [{"PTB", "Yahoo"}, {"clean"}][dataset == "clean" :]


def test_datasets_that_share_a_source_with_the_papers_stand_in_one_table_3(
    own: Path, tmp_path: Path, write_run: WriteRun
) -> None:
    own.write_text(
        "dataset,source,system,num_samples,setting,metric,mean,table,beside\n"
        "clean,hu2026,LSTM-VAE,1,standard,nll_iw,21.1,3,yes\n"
        "ptb,hu2026,LSTM-VAE,2,standard,nll_iw,99.1,3,yes\n"
    )
    use([str(own)])
    for dataset in ("clean", "ptb", "yahoo"):
        assert compared_together(dataset, "3") == ("ptb", "yahoo", "clean")
        write_run(dataset=dataset, estimates={"nll_elbo": 22.0, "nll_iw": 21.0})
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    (table,) = report.table3
    assert {column.group for column in table.columns} == {"PTB", "Yahoo", "clean"}


def test_without_counts_of_the_test_split_nothing_is_converted() -> None:
    facts = parse(
        [HEADER, "2,wiki,me,LSTM-LM,,standard,nll,100,", "2,wiki,me,LSTM-LM,,standard,ppl,116,"], "f.csv"
    )
    assert Catalogue(facts).comparable(facts[0]) is facts[0]


def test_a_system_of_table_3_alone_is_compared_with_its_elbo_there() -> None:
    fact = find("2", "yahoo", "lstm-vae-ain", 1, "standard", "nll")
    assert fact is not None
    assert (fact.table, fact.mean) == ("3", 328.4)
