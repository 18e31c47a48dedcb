import csv
import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from analysis.formats.files import csv_text
from analysis.formats.latex import Style, latex_escape, latex_table
from analysis.formats.markdown import markdown_code, markdown_table
from analysis.formats.terminal import print_grid
from analysis.formats.text import value_text
from analysis.published.facts import Derived, Fact
from analysis.stats.average import Average, average
from analysis.stats.cells import Counts
from analysis.stats.intervals import Interval
from analysis.tables.elements.csv_rows import CELL_COLUMNS, COMPARISON_COLUMNS, without_formulas
from analysis.tables.elements.table import Column, Difference, Line, Table, Value

PLAIN, KL = Column("NLL"), Column("(KL)", parenthesised=True)
FACT = Fact("2a", "ptb", "bowman2016", "lstm-lm", "LSTM-LM", 0, "standard", "nll", 100.0, None, 0, 0)

TABLE = Table(
    "A test",
    (
        Column("NLL", "standard"),
        Column("(KL)", "standard", parenthesised=True),
        Column("n", "standard"),
        Column("NLL", "inputless"),
        Column("word", "inputless", text=True),
    ),
    (
        Line("heading", "Xu & Durrett 2018"),
        Line("published", "LSTM-LM", (FACT, None, None, FACT, None)),
        Line("heading", "Kruengkrai 2019"),
        Line("ours", "  ours, max_epochs=3",
             (Average(3, 101.25, 0.5, None), Average(3, 2.0, 0.1, None), "3/5", Counts(), "a | b")),
        Line("ours", "  ours, max_epochs=4",
             (Counts(failed=2, unfinished=3), None, "0/5", Derived(127.7), "")),
        Line("difference", "  difference", (Difference(1.25), Difference(-0.04), None, None, None)),
    ),
    ("–: missing",),
    number="9",
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Average(5, 100.849, 0.251, 0.01), "100.8±0.3"),
        (Average(1, 100.849, None, 0.01), "100.8"),
        (FACT, "100"),
        (replace(FACT, mean=10.0, decimals=1), "10.0"),
        (replace(FACT, mean=84.6, std=2.4, decimals=1, std_decimals=1), "84.6±2.4"),
        (replace(FACT, mean=101.0, std=0.4, std_decimals=1), "101±0.4"),
        (replace(FACT, mean=91.2, std=0.25, decimals=1, std_decimals=2), "91.2±0.25"),
        (Derived(127.7), "127.7†"),
        (Difference(0.26), "+0.3"),
        (Difference(-2.44), "-2.4"),
        (Difference(-0.04), "0.0"),
        (Interval(-1.25, 0.04), "[-1.25, +0.04]"),
        (Interval(-1.25, 0.06), "[-1.2, +0.1]"),
        (Counts(), "–"),
        (Counts(done=0, failed=2, unfinished=3), "failed 2/5, unfinished 3/5"),
        (Counts(failed=2, failures=(("diverged", 2),)), "diverged 2/2"),
        (
            Counts(failed=3, missing=1, failures=(("out_of_memory", 2),)),
            "out of memory 2/4, failed 1/4, missing 1/4",
        ),
        (Counts(failed=1, failures=(("code", 1),)), "failed (code) 1/1"),
        (Counts(damaged=1), "damaged 1/1"),
        ("3/5", "3/5"),
        (None, ""),
    ],
)
def test_numbers_look_as_in_the_paper(value: Value, text: str) -> None:
    assert value_text(value, PLAIN) == text


def test_a_difference_is_not_printed_as_zero_if_its_numbers_have_more_digits() -> None:
    column, wide = Column("diff"), Interval(-0.5, 0.42)
    a, b = Average(2, 106.382, 0.01, None), Average(2, 106.42, 0.04, None)
    assert value_text(Difference(-0.038, wide, a, b), column) == "-0.04"
    assert value_text(Difference(0.0, wide, a, b), column) == "0.0"
    # Numbers with one decimal show no such difference, nor do their differences.
    assert value_text(Difference(-0.038, None, replace(a, std=None), replace(b, std=None)), column) == "0.0"


def test_kl_is_in_parentheses_and_words_are_not() -> None:
    assert value_text(Average(5, 1.5, 0.3, None), KL) == "(1.5±0.3)"
    assert value_text(Difference(0.3), KL) == "(+0.3)"
    assert value_text(Counts(failed=1), KL) == "failed 1/1"


def test_latex_specials_are_escaped() -> None:
    assert latex_escape(r"a_b & 50% #1 {x} $ ~ ^ \ ± †") == (
        r"a\_b \& 50\% \#1 \{x\} \$ \textasciitilde{} \textasciicircum{} \textbackslash{} "
        r"$\pm$ $^\dagger$"
    )


def test_latex_rows_have_as_many_columns_as_the_tabular() -> None:
    text = latex_table(TABLE, best=None, style="plain", label="t")
    body = re.sub(r"^%.*\n", "", text, flags=re.MULTILINE)
    spec = re.search(r"\\begin\{tabular\}\{(\w+)\}", body)
    assert spec
    assert spec[1] == "lrrrrl"
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 2 + len(TABLE.lines)
    for row in rows:
        spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", row)]
        cells = len(re.findall(r"(?<!\\)&", row)) + 1
        assert cells - len(spans) + sum(spans) == 6, row
    assert body.isascii()
    assert body.count(r"\begin{tabular}") == body.count(r"\end{tabular}") == 1
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\cmidrule(lr){2-4} \cmidrule(lr){5-6}"):
        assert rule in body
    assert r"\textit{Xu \& Durrett 2018}" in body
    assert (
        r"\quad ours, max\_epochs=3 & 101.2$\pm$0.5 & (2.0$\pm$0.1) & 3/5 & -- & a \textbar{} b \\" in body
    )
    assert r"\multicolumn{2}{r}{failed 2/5, unfinished 3/5} & 0/5 & 127.7$^\dagger$ &" in body
    assert r"$+1.2$ & $(0.0)$" in body


def test_markdown_rows_have_equal_width_and_columns() -> None:
    rows = markdown_table(TABLE).splitlines()
    assert len({len(row) for row in rows}) == 1
    # A bar inside a cell would be another column.
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}
    assert rows[0].split("|")[2].strip() == "standard NLL"
    assert re.fullmatch(r"\| -+ \| -+: \| -+: \| -+: \| -+: \| -+ \|", rows[1])
    assert "**Kruengkrai 2019**" in rows[4]
    assert r"a \| b" in rows[5]


def test_text_cannot_end_a_markdown_code_span() -> None:
    assert markdown_code("a `b` c") == "`a 'b' c`"


def drawn(table: Table, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_grid(console, table)
    assert console.width == width
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_groups_statuses_and_numbers() -> None:
    lines = [line.rstrip() for line in drawn(TABLE, 100).splitlines()]
    assert re.fullmatch(r" +standard +inputless", lines[0])
    assert re.fullmatch(r" +NLL +\(KL\) +n +NLL  word", lines[1])
    assert "101.2±0.5  (2.0±0.1)  3/5" in "\n".join(lines)
    # To save columns, each field of a variant and each status is on a separate line.
    assert "    max_epochs=3" in lines
    text = "\n".join(lines)
    assert re.search(r"failed 2/5 .*\n.*unfinished 3/5", text)


def test_numbers_are_not_truncated_in_a_narrow_window() -> None:
    text = drawn(TABLE, 30)
    assert "…" not in text
    for number in ("101.2±0.5", "(2.0±0.1)", "127.7†", "+1.2"):
        assert number in text


def test_a_table_of_comparisons_is_made_to_fit_the_window() -> None:
    columns = (
        *(Column(name) for name in ("A", "B", "diff", "95%", "n", "flip p", "t p", "lower")),
        Column("verdict", text=True),
    )
    numbers = ("1039.3", "1039.2", "+0.125", "[-0.125, +0.125]", "3", "<0.0001", "<0.0001", "3")
    verdict = "undecided at any number of seeds: two bounds"
    table = Table(
        "T",
        columns,
        (
            Line("heading", "standard, NLL (tightest bound)"),
            Line("ours", "  LSTM-VAE-AIN+anneal L=1", (*numbers, verdict)),
            Line("ours", "  LSTM-VAE-FB L=1", (*numbers, "better")),
        ),
        (),
    )
    text = drawn(table, 100)
    assert max(map(len, text.splitlines())) <= 100
    for part in (*numbers, *verdict.split(), "NLL (tightest bound)", "LSTM-VAE-AIN+anneal L=1"):
        assert part in text
    # Where there is room, nothing is broken.
    assert verdict in drawn(table, 150)
    assert "standard, NLL (tightest bound)" in drawn(table, 150)


def test_csv_has_one_line_per_row_and_empty_fields_for_missing_numbers() -> None:
    row = {
        "table": "2a",
        "variant": 'a="x", b',
        "n": 2,
        "mean": 101.2895,
        "t": {"low": 99.0, "high": 1 / 3},
    }
    table = replace(TABLE, csv_rows=lambda: [row, {"n": 5, "mean": 100.0}])
    text = csv_text([table, table], CELL_COLUMNS)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 4
    assert rows[0]["variant"] == 'a="x", b'
    assert (rows[0]["n"], rows[0]["mean"], rows[0]["std"]) == ("2", "101.2895", "")
    assert (rows[0]["t_low"], rows[0]["t_high"]) == ("99.0", str(1 / 3))
    assert (rows[1]["n"], rows[1]["mean"], rows[1]["t_low"]) == ("5", "100.0", "")


def test_the_columns_of_csv_files_are_those_that_users_read() -> None:
    head, *rows = csv_text([TABLE], CELL_COLUMNS).splitlines()
    assert rows == []
    assert head == (
        "table,dataset,text,system,num_samples,setting,variant,source,metric,estimate,n,mean,std,stderr,t_low,"
        "t_high,bca_low,bca_high,minimum,maximum,mc_stderr,published_mean,published_std,comparable_mean,"
        "difference,difference_low,difference_high,welch_p,margin,verdict,bound,done,running,failed,unfinished,damaged,"
        "missing,seeds,values,mc_stderrs,ess,khat_above,failures"
    )
    assert csv_text([], COMPARISON_COLUMNS) == (
        "kind,dataset,setting,metric,a_system,a_num_samples,a_variant,a_estimate,a_bound,a_n,a_mean,a_std,"
        "b_system,b_num_samples,b_variant,b_estimate,b_source,b_bound,b_n,b_mean,b_std,difference,"
        "difference_low,difference_high,verdict,n,seeds,differences,difference_std,flip_p,flip_holm,"
        "smallest_p,t_p,t_holm,family,below,below_paired,welch_p,margin,unequal_fields\n"
    )


def spread(*values: float) -> Average:
    return average(np.arange(len(values)), np.array(values), np.full(len(values), np.nan))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (spread(100.0, 100.002), "100.001±0.001"),
        (spread(100.0, 100.06), "100.03±0.04"),
        (spread(100.0, 100.0), "100.0±0.0"),
        (spread(99.0, 101.0), "100.0±1.4"),
        (spread(100.0, 100.0 + 1e-7), "100.000000±0.000000"),
        (spread(0.0, 1e-7), "0.000000±0.000000"),
        (spread(100.0, 100.0003), "100.0001±0.0002"),
        (spread(100.0, 100.0008), "100.0004±0.0006"),
        (spread(-1e-9), "0.0"),
        (spread(-0.0), "0.0"),
        (spread(1e308), "1e+308"),
        (Difference(-0.003, Interval(-0.005, -0.001)), "-0.003"),
        (Difference(-0.003), "0.0"),
        (Difference(0.5, Interval(-1.0, 2.0)), "+0.5"),
        (Interval(-0.005, -0.001), "[-0.005, -0.001]"),
    ],
)
def test_an_error_has_a_digit_and_a_zero_no_sign(value: Value, text: str) -> None:
    assert value_text(value, Column("NLL")) == text


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(-0.025, 0.642), "[-0.03, +0.64]"),
        (Interval(0.016, 0.572), "[+0.02, +0.57]"),
        (Interval(-0.52, 0.0195), "[-0.52, +0.02]"),
        (Interval(-0.003, 3.0), "[-0.003, +3.000]"),
        (Interval(-0.0001, 3.0), "[-0.0001, +3.0000]"),
        (Interval(-0.0003, 0.0003), "[-0.0003, +0.0003]"),
        (Interval(-3e-7, -2e-7), "[0.000000, 0.000000]"),
        (Interval(0.0, 0.6), "[0.0, +0.6]"),
        (Interval(-0.0, 0.0), "[0.0, 0.0]"),
        (Interval(-1e12, 0.04), "[-1e+12, +0.04]"),
    ],
)
def test_an_interval_shows_on_which_side_of_zero_it_ends(interval: Interval, text: str) -> None:
    assert value_text(interval, Column("95%")) == text


@pytest.mark.parametrize("style", ["plain", "siunitx"])
def test_latex_is_a_whole_float_with_caption_and_label(style: Style) -> None:
    text = latex_table(TABLE, best=[], style=style, label="t")
    stack: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    body = re.sub(r"^%.*\n", "", text, flags=re.MULTILINE)
    unescaped = re.sub(r"\\.", "", body)
    assert unescaped.count("{") == unescaped.count("}")
    assert unescaped.count("$") % 2 == 0
    assert not re.search(r"[#_%~^]", re.sub(r"\$[^$]*\$", "", unescaped))
    # LaTeX counts tables itself: the published number is a comment.
    assert r"\caption{A test. No number is bold: no model has a verdict in its favour" in body
    assert text.startswith("% Table 9. A test\n")
    assert r"\label{tab:t}" in body
    assert body.index(r"\caption") < body.index(r"\begin{tabular}")


def test_latex_prints_what_its_marks_mean_and_keeps_other_notes_as_comments() -> None:
    marks = ("n: number of seeds", "‡: not a bound of the evaluated model", "A: latent_size=4")
    table = replace(TABLE, notes=(marks[0], "made on 3 days", *marks[1:]), marks=marks)
    text = latex_table(table, best=None, style="plain", label="t")
    comments = [line for line in text.splitlines() if line.startswith("%")]
    assert comments == ["% Table 9. A test", "% made on 3 days"]
    below = text.partition(r"\end{tabular}")[2]
    assert (
        "n: number of seeds.\n$^\\ddagger$: not a bound of the evaluated model.\nA: latent\\_size=4.\n"
        in below
    )
    assert below.index("latent") < below.index(r"\end{table}")


def test_latex_sets_only_the_given_averages_in_bold() -> None:
    best, other = Average(3, 101.25, 0.5, None), Average(3, 101.25, 0.5, None)
    table = Table("T", (PLAIN,), (Line("ours", "a", (best,)), Line("ours", "b", (other,))), ())
    text = latex_table(table, best=[best], style="plain", label="t")
    assert "a & \\textbf{101.2$\\pm$0.5} \\\\\nb & 101.2$\\pm$0.5 \\\\" in text
    assert "Bold: the numbers of each model with a verdict in its favour" in text
    assert "bold" not in latex_table(table, best=None, style="plain", label="t").lower()


def test_siunitx_columns_have_room_for_their_numbers_and_braces_around_words() -> None:
    lines = (
        Line("ours", "a", (Average(3, 101.25, 0.5, None), Average(3, -0.5, None, None))),
        Line("ours", "b", (Average(3, 9.0, 12.0, None), Counts())),
        Line("published", "c", (replace(FACT, marked=True), "<0.0001")),
    )
    table = Table("T", (PLAIN, KL), lines, ())
    text = latex_table(table, best=[lines[0].values[0]], style="siunitx", label="t")  # type: ignore[list-item]
    columns = r"S[table-format=3.1(3), table-space-text-post={$^\ddagger$}]S[table-format=+1.1]"
    assert rf"\begin{{tabular}}{{l{columns}}}" in text
    assert r" & {NLL} & {(KL)} \\" in text
    assert r"a & \bfseries 101.2 \pm 0.5 & -0.5 \\" in text
    assert r"b & 9.0 \pm 12.0 & {--} \\" in text
    assert r"c & 100 {$^\ddagger$} & {\textless{}0.0001} \\" in text
    (small,) = [Line("ours", "d", (spread(100.0, 100.0 + 1e-7), spread(2.0, 2.0 + 1e-7)))]
    text = latex_table(Table("T", (PLAIN, KL), (small,), ()), best=[], style="siunitx", label="t")
    assert r"d & 100.000000 \pm 0.000000 & 2.000000 \pm 0.000000 \\" in text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("-0.3557 -0.4242 -0.1081", "-0.3557 -0.4242 -0.1081"),
        ("nan nan", "nan nan"),
        ("-1e-05", "-1e-05"),
        ("-1+2", "'-1+2"),
        ("- - -", "'- - -"),
        ("=1+1", "'=1+1"),
    ],
)
def test_only_texts_that_are_no_numbers_are_kept_from_spreadsheets(text: str, written: str) -> None:
    assert without_formulas(pd.DataFrame({"a": [text]}))["a"].tolist() == [written]


def test_a_spread_of_exactly_zero_is_not_a_small_one() -> None:
    assert value_text(Average(3, 0.0, 0.0, None), PLAIN) == "0.0±0.0"
    assert value_text(Average(3, 0.0, 1e-5, None), PLAIN) == "0.00000±0.00001"
