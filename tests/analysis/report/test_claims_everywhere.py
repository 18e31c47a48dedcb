"""No text of a report, a comparison of studies or a search claims more than the rule allows.

Which claims are allowed is known from how each small study was made, not from the code under test.
"""

from __future__ import annotations

import dataclasses
import html
import io
import itertools
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from analysis.figures.pictures import Pictures
from analysis.formats.latex import latex_escape, latex_table
from analysis.formats.markdown import markdown
from analysis.formats.page.page import compare_page, report_page
from analysis.formats.terminal import print_comparison, print_report, print_table
from analysis.formats.wandb import DESCRIPTION, Place, blocks_of, wr
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import Report, compose
from analysis.report.search_points import compare_points
from analysis.report.two_studies import compare_studies
from analysis.stats.average import Average
from analysis.stats.comparisons import FAMILY
from analysis.stats.reproduction import ASSUMPTIONS, REPRODUCTION_RULE
from analysis.stats.verdicts import RULE
from analysis.tables.elements.table import Table
from lvae_core.config import RunConfig
from sweeps.trials.budget import verdict_text
from sweeps.trials.report import print_outcome, rerun_refusal
from sweeps.trials.rules import Rules
from sweeps.trials.tables import is_recipe, recipe_notes, rules_text, space_table, trials_table

from ...sweeps.trials.searches import continue_search, finished, search
from ..conftest import WriteRun

CLAIM = re.compile(
    r"\b(better|worse|best|gains?|gained|improve\w*|beats?|outperform\w*|superior|significant\w*|reproduced)\b"
)
"""Words that claim something of two numbers or models."""

EXPLAINED = (RULE, FAMILY, REPRODUCTION_RULE, ASSUMPTIONS)
"""Texts that explain the words of verdicts, and claim nothing."""

NOT_CLAIMS = (
    "not significant",
    "significant difference is possible",
    "the best of many trials is partly luck",
    "Better Exploiting Latent Variables",
)

SETTINGS = tuple(
    # A page may break a long name after "_".
    re.compile(rf"\b{name.replace('_', '_ ?')}\b(\W+({'|'.join(map(str, choices))})\b)*")
    for name, kind in typing.get_type_hints(RunConfig).items()
    if CLAIM.search(" ".join(map(str, (name, *(choices := typing.get_args(kind))))))
)
"""Fields of the table of hyperparameters with their values, such as "improvement_over best": no claims."""

NO_PICTURES = Pictures((), ())

Shape = tuple[int, bool, float, bool]
"""Number of seeds, whether differences have both signs, the first seed's difference, collapsed or not."""

FEW: list[Shape] = [
    (1, False, -3.0, False),
    (2, False, -3.0, False),
    (2, False, 3.0, False),
    (5, False, -3.0, False),
]

MANY: list[Shape] = list(itertools.product((8,), (False, True), (-3.0, 3.0), (False, True)))

SHAPES = FEW + MANY


def claims(text: str) -> set[str]:
    """The words of claims in a text, apart from the explanations of verdicts."""
    text = re.sub(r"<[/!a-z][^>]*>", " ", re.sub(r"<(style|script)>.*?</\1>", " ", text, flags=re.DOTALL))
    text = " ".join(html.unescape(text.replace("\\", "")).split())
    printed = (latex_escape(known).replace("\\", "") for known in EXPLAINED)
    for known in (*EXPLAINED, *printed, *NOT_CLAIMS):
        text = text.replace(" ".join(known.split()), "")
    for setting in SETTINGS:
        text = setting.sub(" ", text)
    return set(CLAIM.findall(text))


def printed(show: Callable[[Console], object]) -> str:
    console = Console(file=io.StringIO(), width=300, markup=False, highlight=False, emoji=False)
    show(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def composed(study: Path) -> Report:
    return compose(collect([open_source(str(study))]))


def texts_of_report(report: Report) -> Iterator[str]:
    yield markdown(report)
    yield printed(lambda console: print_report(report, console))
    yield report_page(report, NO_PICTURES, [], "make it again", refresh=0)
    yield "\n".join(report.examples)
    yield latex_text(tables_of(report), report.best)


def wandb_text(report: Report) -> str:
    """The headings, texts and panels' titles of the W&B report, which shows no comparisons."""
    blocks = blocks_of(report, Place("entity", "project"))
    texts = [block.text for block in blocks if not isinstance(block, wr.PanelGrid)]
    grids = [block for block in blocks if isinstance(block, wr.PanelGrid)]
    titles = [getattr(panel, "title", None) or "" for grid in grids for panel in grid.panels]
    assert grids
    assert any(titles)
    return "\n".join([DESCRIPTION, *texts, *titles])


def tables_of(report: Report) -> list[Table]:
    """Every table of a report, in whichever of its fields."""
    fields = [getattr(report, field.name) for field in dataclasses.fields(report)]
    found = [item for field in fields if isinstance(field, tuple) for item in field]
    return [item for item in found if isinstance(item, Table)]


def latex_text(tables: Sequence[Table], best: Sequence[Average] | None = None) -> str:
    """Tables as LaTeX prints them; a number in bold is called better than all others."""
    assert tables
    text = "\n".join(latex_table(table, best=best, style="plain", label="t") for table in tables)
    return text.replace(r"\textbf", "better ").replace(r"\textless{}", "<").replace(r"\textgreater{}", ">")


def values(n: int, shift: float, *, mixed: bool) -> list[float]:
    """n numbers around 100, shifted in the same way or back and forth."""
    return [100.0 + seed / 8 + shift * ((-1) ** seed if mixed else 1) for seed in range(n)]


def write_latent(
    write_run: WriteRun, system: str, L: int, nll: list[float], mi: float, **place: str
) -> None:
    for seed, value in enumerate(nll):
        estimates = {"nll_elbo": value, "ppl_elbo": value, "kl": mi, "mi": mi, "nll_iw": value + 0.5}
        if system == "lstm-vae-avg":
            estimates |= {"nll_elbo": value - 20, "nll_iw": value - 20, "nll_joint": value}
        write_run(system, L, seed=seed, estimates=estimates, **place)


def write_shape(write_run: WriteRun, shape: Shape, dataset: str) -> None:
    """An exact number, a bound that is noisy around it, and a joint bound as the shape says."""
    n, mixed, shift, collapsed = shape
    mi = 0.01 if collapsed else 2.0
    for seed, value in enumerate(values(n, 0.0, mixed=False)):
        write_run("lstm-lm", seed=seed, dataset=dataset, estimates={"nll": value, "ppl": value})
    write_latent(write_run, "lstm-vae", 5, values(n, 0.1, mixed=True), 2.0, dataset=dataset)
    write_latent(write_run, "lstm-vae-avg", 5, values(n, shift, mixed=mixed), mi, dataset=dataset)


def is_decided(shape: Shape) -> bool:
    # Three comparisons in the family: 3 * 2 of 256 flips for 8 seeds, 3 * 2 of 32 for 5.
    n, mixed, _, _ = shape
    return n == 8 and not mixed


def is_better(shape: Shape) -> bool:
    """A bound shows something only from below, and only of a model that uses its latent variable."""
    _, _, shift, collapsed = shape
    return is_decided(shape) and shift < 0 and not collapsed


def test_a_report_claims_nothing_if_the_rule_allows_nothing(tmp_path: Path, write_run: WriteRun) -> None:
    for number, shape in enumerate(shape for shape in SHAPES if not is_better(shape)):
        write_shape(write_run, shape, f"case-{number}")
    report = composed(tmp_path / "study")
    for text in (*texts_of_report(report), wandb_text(report)):
        assert claims(text) == set()


@pytest.mark.parametrize("dataset", ["toy", "ptb"])
def test_a_report_claims_what_the_rule_allows(tmp_path: Path, write_run: WriteRun, dataset: str) -> None:
    (shape,) = filter(is_better, SHAPES)
    write_shape(write_run, shape, dataset)
    report = composed(tmp_path / "study")
    for text in texts_of_report(report):
        # Beside published numbers a verdict on the reproduction may stand.
        assert claims(text) - {"reproduced"} == {"better"}
    assert claims(wandb_text(report)) <= {"reproduced"}


def test_two_bounds_are_never_called_better_or_worse(tmp_path: Path, write_run: WriteRun) -> None:
    for number, (n, mixed, shift, _) in enumerate(
        [(2, False, -3.0, False), (8, False, -3.0, False), (8, False, 3.0, False)]
    ):
        dataset = f"case-{number}"
        write_latent(write_run, "lstm-vae", 5, values(n, 0.0, mixed=False), 2.0, dataset=dataset)
        write_latent(write_run, "lstm-vae-avg", 5, values(n, shift, mixed=mixed), 2.0, dataset=dataset)
    report = composed(tmp_path / "study")
    for text in (*texts_of_report(report), wandb_text(report)):
        assert claims(text) == set()


@pytest.mark.parametrize("exact", [pytest.param(False, marks=pytest.mark.slow), True])
def test_two_studies_and_a_search_claim_no_more_than_the_rule(
    tmp_path: Path, write_run: WriteRun, exact: bool
) -> None:
    for number, shape in enumerate(FEW + [shape for shape in MANY if not shape[3]] if exact else MANY[:4]):
        n, mixed, shift, collapsed = shape
        mi = {} if exact else {"mi": 0.01 if collapsed else 2.0}
        name = "" if exact else "_elbo"
        runs = {}
        for study, change, rate in (("a", 0.0, 1.0), ("b", shift, 0.5)):
            for seed, value in enumerate(values(n, change, mixed=mixed and study == "b")):
                for place in (f"{study}{number}", f"search{number}"):
                    folder = write_run(
                        "lstm-lm" if exact else "lstm-vae",
                        seed=seed,
                        study=place,
                        dataset="toy",
                        estimates={f"nll{name}": value, f"ppl{name}": value, **mi},
                        learning_rate=rate,
                    )
                runs[folder.name] = "the recipe" if study == "a" else "trial 3"
        decided = exact and is_decided(shape)
        allowed = ({"better"} if shift < 0 else {"worse"}) if decided else set()
        a, b = (collect([open_source(str(tmp_path / f"{study}{number}"))]) for study in "ab")
        compared = compare_studies(a, b)
        table = compare_points(runs, str(tmp_path / f"search{number}"), ["trial 3: learning_rate=0.5"])
        assert table is not None
        for text in (
            printed(lambda console: print_comparison(compared, console)),  # noqa: B023
            compare_page(compared, NO_PICTURES, "make it again", refresh=0),
            latex_text(compared.tables),
            printed(lambda console: print_table(console, table)),  # noqa: B023
        ):
            assert claims(text) == allowed


def test_what_a_search_prints_of_its_trials_claims_nothing(tmp_path: Path) -> None:
    """One seed per point decides nothing, so no trial is called better than another one."""
    rules = Rules(trials=3, at_once=3)
    whole, found = finished(tmp_path / "whole", rules), search(tmp_path / "found", rules)
    assert continue_search(found, refuse={whole.runs.name(whole.known[1].values)})[1]
    best = found.best(2)
    (recipe,) = (trial for trial in found.known if is_recipe(found, trial.values))
    printed_lines = [
        printed(lambda console: print_outcome(found, best, console)),
        rerun_refusal(found, [recipe]),
        printed(lambda console: console.print(space_table(found), trials_table(found))),
        rules_text(found),
        *recipe_notes(found),
    ]
    assert "lowest validation perplexity: trial" in printed_lines[0]
    assert "RuntimeError" in printed_lines[0]
    assert "nothing to rerun" in printed_lines[1]
    for seeds, comparisons, bounds in itertools.product(range(9), (1, 3), (False, True)):
        printed_lines.append(verdict_text(seeds, comparisons, bounds=bounds))
    for text in printed_lines:
        assert claims(text) == set(), text


def test_the_search_for_claims_finds_them() -> None:
    assert claims("<p>a is\nbetter, by a gain of 2.8</p>") == {"better", "gain"}
    assert claims(RULE) == set()
    assert claims("a difference that is not significant") == set()


def test_no_caption_or_sentence_in_the_source_claims_what_it_cannot_know() -> None:
    """Texts written by hand stand in the source: none of them ranks anything."""
    root = Path(__file__).parents[3]
    known = [" ".join(text.split()) for text in EXPLAINED]
    folders = (root / "analysis", root / "sweeps" / "trials")
    found = {ending: [p for f in folders for p in f.rglob(f"*.{ending}")] for ending in ("py", "j2")}
    assert len(found["py"]) > 80
    assert len(found["j2"]) >= 2
    for path in (*found["py"], *found["j2"]):
        if path.suffix == ".j2":
            assert not claims(re.sub(r"{[{%#].*?[}%#]}", "", path.read_text("utf-8"), flags=re.DOTALL))
            continue
        for text in captions(path):
            if not any(text in rule for rule in known):
                assert not claims(text), f"{path}: {text}"


def captions(path: Path) -> Iterator[str]:
    """The long texts of a module in capitals, such as captions of figures."""
    import importlib

    names = path.relative_to(Path(__file__).parents[3]).with_suffix("").parts
    module = importlib.import_module(".".join(names).removesuffix(".__init__"))
    for name, value in vars(module).items():
        for text in value if isinstance(value, tuple) else (value,):
            if name.isupper() and isinstance(text, str) and len(text) > 60:
                yield " ".join(text.split())
