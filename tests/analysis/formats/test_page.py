"""The page as a file: it is self-contained, executes nothing from run folders, and has a tip per number."""

import os
import subprocess
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis.figures.draw import draw_all
from analysis.figures.elements.style import COLOURS as DRAWN_IN
from analysis.figures.pictures import Pictures
from analysis.formats.page.page import choice, report_page
from analysis.formats.page.pictures import COLOURS
from analysis.formats.page.rows import sort_key
from analysis.formats.page.tips import tip
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import Report, compose
from analysis.report.sentences import Sentences, best_runs
from analysis.stats.average import Average
from analysis.stats.intervals import Interval
from analysis.stats.over_seeds import average_cells
from analysis.tables.bound_examples import CAUTION
from analysis.tables.elements.table import Column, Difference

from ..conftest import HOSTILE, grid_writer, run_writer


class Parsed(HTMLParser):
    """The tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._raw = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._raw = tag if tag in ("script", "style") else self._raw

    def handle_endtag(self, tag: str) -> None:
        self._raw = "" if tag == self._raw else self._raw

    def handle_data(self, data: str) -> None:
        self.text += "" if self._raw else data


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page")
    grid_writer(place)()
    return place / "study"


@pytest.fixture(scope="module")
def composed(study: Path) -> Report:
    return compose(collect([open_source(str(study))]))


def page_of(report: Report, pictures: Pictures | None = None, refresh: int = 0) -> str:
    said = [Sentences(best, (HOSTILE,), ((HOSTILE, ""),)) for best in best_runs(report.cells, "ptb")]
    pictures = pictures or Pictures((), (HOSTILE,))
    return report_page(report, pictures, said, f"python x '{HOSTILE}'", refresh=refresh)


def test_text_from_run_folders_is_shown_and_never_executed(composed: Report) -> None:
    parsed = Parsed(page_of(composed))
    # A failure's message, a sample and its reconstruction for each of three systems, a note, the command.
    assert parsed.text.count(HOSTILE) == 1 + 2 * 3 + 1 + 1
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert not any(tag in ("img", "iframe", "object", "embed", "base") for tag, _ in parsed.tags)
    assert not any(name.startswith("on") for _, attributes in parsed.tags for name in attributes)


def test_figures_are_part_of_the_page_and_it_loads_nothing(composed: Report) -> None:
    pictures = draw_all(composed.cells, ["ptb"], {}, {}, advance=None, units={})
    assert len(pictures.drawn) == 6
    page = page_of(composed, pictures)
    parsed = Parsed(page)
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 100  # matplotlib uses the same ids in every figure
    for _, attributes in parsed.tags:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            address = attributes.get(name)
            assert address is None or address == "data:," or address[1:] in ids, address
    assert "default-src 'none'" in page
    assert "@import" not in page
    # Every colour of a figure follows the light or dark scheme.
    assert set(COLOURS) == set(DRAWN_IN)
    body = page[page.index("</style>") :]
    assert "var(--c2)" in body
    assert not [colour for colour in DRAWN_IN if colour in body]


def test_only_a_watched_page_reloads_itself(composed: Report) -> None:
    assert 'http-equiv="refresh"' not in page_of(composed)
    assert 'http-equiv="refresh" content="30"' in page_of(composed, refresh=30)


@pytest.mark.parametrize(
    ("above", "said"),
    [(0.25, "Pareto shape above 0.7 in 25.0% of sentences"), (None, "Pareto shape unknown: 20 importance")],
)
def test_the_tip_of_an_unreliable_number_says_why(above: float | None, said: str) -> None:
    number = Average(n=1, mean=1.0, std=None, mc_stderr=None, ess=2.0, khat_above=above)
    assert f"\n{said}" in tip(number)


def test_tips_of_our_numbers_show_n_interval_and_runs(composed: Report) -> None:
    cell = next(c for c in composed.cells if (c.system, c.setting) == ("lstm-vae-avg", "standard"))
    # 97, 97.125, 97.25: mean 97.125, std 1/8; t with 2 degrees of freedom: 4.302653 / 8 / sqrt(3) = 0.3105.
    lines = tip(cell.averages["nll_elbo"]).splitlines()
    assert lines[0] == "n = 3, mean 97.125, sample std 0.125"
    assert lines[1] == "95% t interval [96.814, 97.436]"
    assert [line.split("  ") for line in lines[-3:]] == [
        [value, run]
        for value, run in zip(("97", "97.125", "97.25"), cell.averages["nll_elbo"].runs, strict=True)
    ]
    assert all(run.startswith("ptb__lstm-vae-avg__standard__L5__seed") for run in cell.averages["kl"].runs)
    tips = [a["data-tip"] or "" for _, a in Parsed(page_of(composed)).tags if "data-tip" in a]
    assert sum(lines[0] in text for text in tips) >= 2  # in Table 2 and in the table of bounds
    differences = [text for text in tips if text.startswith("difference")]
    assert all("95% interval [" in text and "of " in text and "minus " in text for text in differences)
    assert any("(n = 5, published)" in text for text in differences)


def test_no_tip_has_a_negative_zero() -> None:
    zeros = Average(2, -0.0, 0.0, None, (0, 1), (-0.0, -0.0), bca=Interval(-0.0, 0.0), runs=("a", "b"))
    for text in (tip(zeros), tip(Difference(-0.0, Interval(-0.0, 0.0), zeros, zeros))):
        assert "-0" not in text


def test_numbers_are_sorted_by_their_value_and_not_by_their_text() -> None:
    number, words = Column("p"), Column("verdict", text=True)
    assert sort_key("<0.0001", number) < sort_key("0.0001", number) < sort_key("0.062", number)  # type: ignore[operator]
    assert sort_key("3/5", number) == 3
    assert sort_key("1,234", number) == 1234
    assert sort_key("9,999", number) < sort_key("10,000", number)  # type: ignore[operator]
    assert sort_key("±0.0", number) <= sort_key("±0.000", number) < sort_key("±0.001", number)  # type: ignore[operator]
    assert sort_key("±0.3", number) == 0.3
    assert sort_key("Reproduced", words) == "reproduced"
    assert sort_key(None, number) is None


@pytest.mark.parametrize(("runs", "counts"), [(1, "1 run: 1 done"), (3, "3 runs: 3 done and 1 missing")])
def test_the_head_counts_the_runs_that_there_are(runs: int, counts: str, tmp_path: Path) -> None:
    # Of two cells, one has a seed that the other lacks.
    for system, seed in [("lstm-lm", 0), ("lstm-vae", 0), ("lstm-vae", 1)][:runs]:
        run_writer(tmp_path)(system, seed=seed, dataset="toy")
    parsed = Parsed(page_of(compose(collect([open_source(str(tmp_path / "study"))]))))
    text = " ".join(parsed.text.split())
    assert counts in text
    assert f"toy {'d' * 16}{runs} run" in text  # in a cell beside it
    assert "1 runs" not in text


def test_a_table_too_long_for_the_page_is_cut_with_a_note(composed: Report) -> None:
    (table, *_) = composed.table2
    long = replace(table, lines=table.lines + (table.lines[-1],) * 700)
    page = page_of(replace(composed, table2=(long,)))
    assert (
        f"{len(long.lines) - 500} more lines are in the summary's .md and .csv files" in Parsed(page).text
    )
    assert "more lines are in the summary" not in Parsed(page_of(composed)).text


def test_a_page_begins_with_its_findings_and_keeps_the_rule_at_hand(composed: Report) -> None:
    page = page_of(composed)
    lead = unescape(page.partition('<section class="lead"')[2].partition("</section>")[0])
    head, _, folded = lead.partition("<details>")
    assert all(said in head for finding in composed.findings for said in (finding.text, *finding.details))
    assert all(sentence in folded for sentence in composed.examples)
    assert CAUTION in composed.examples
    without = page_of(replace(composed, findings=()))
    assert "<details open><summary><b>In numbers" in without, "nothing else would be said"


MAKE_PAGE = """
import sys
from analysis.figures.pictures import Pictures
from analysis.formats.page.page import report_page
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose

report = compose(collect([open_source(sys.argv[1])]))
sys.stdout.write(report_page(report, Pictures((), ()), [], "make it again", refresh=0))
"""


def test_the_same_runs_make_the_same_page_in_every_process(study: Path) -> None:
    """The order of a set of texts differs between processes with different seeds of hashes."""

    def made(seed: str) -> bytes:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        command = [sys.executable, "-c", MAKE_PAGE, str(study)]
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout

    page = made("1")
    assert b"</html>" in page
    assert made("2") == page


def test_samples_name_the_number_of_their_run_and_what_it_was_chosen_by(tmp_path: Path) -> None:
    write = run_writer(tmp_path)
    weighted = {"value": 95.0, "stderr": 0.1, "ess": 12.4, "khat_above": 0.4}
    joint = {"nll_elbo": 90.0, "nll_joint": 110.0, "nll_iw_joint": weighted}
    objective = {"objective": "importance_weighted"}
    runs = [
        write("lstm-vae-avg", 5, dataset="toy", estimates=joint).name,
        write("lstm-vae", 5, dataset="toy", estimates={"nll_elbo": 97.0}).name,
        write("lstm-iwae", 5, dataset="toy", estimates={"nll_elbo": 98.0}, **objective).name,
    ]
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)

    def said(perplexities: dict[str, float]) -> list[str]:
        return [choice(best) for best in best_runs(cells, "toy", perplexities)]

    assert said(dict.fromkeys(runs, 80.0)) == [
        "ELBO: 97.0 nats",
        "IW, joint, unreliable: 95.0 nats; chosen by its validation perplexity, which is not a bound: it "
        "counts one KL for L samples",
        "ELBO: 98.0 nats; chosen by its validation perplexity, that of the importance-weighted bound of "
        "its L samples",
    ]
    by_test = "; chosen by this test number, as no validation perplexity is recorded"
    assert said({}) == [
        f"{number} nats{by_test}" for number in ("ELBO: 97.0", "IW, joint, unreliable: 95.0", "ELBO: 98.0")
    ]
