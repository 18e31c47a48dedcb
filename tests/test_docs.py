"""The documents: the reference is what the code says, links lead somewhere, commands have their options.

Their grid files can be planned, and their diffs fit the code. Docstrings begin as CONTRIBUTING.md asks.
"""

import ast
import dataclasses
import re
from pathlib import Path
from types import ModuleType

import pytest

from lvae_core.config import RunConfig
from lvae_core.systems import SYSTEMS
from sweeps.planning.grids.files import read_grid

from .reference import make_reference

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FURTHER_PAGES = [ROOT / folder / "README.md" for folder in ("benchmarks", "clusters", "results")]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    return make_reference()


def test_the_reference_is_what_the_code_says(maker: ModuleType) -> None:
    assert maker.page() == REFERENCE, "run `make docs` and commit docs/reference.md"


def test_the_reference_has_every_field_with_its_range() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", REFERENCE, re.MULTILINE))
    assert {f.name for f in dataclasses.fields(RunConfig)} <= set(rows)
    assert set(SYSTEMS) <= set(re.findall(r"^\| `([\w-]+)` \|", REFERENCE, re.MULTILINE))
    assert rows["dropout"].startswith("number | `0.5` | in [0, 1) | every run | training |")
    assert rows["iw_samples"].startswith(
        "whole number | `500` | at least 2, or it has no standard error; at most 1,000,000 "
        "| latent variable | evaluation |"
    )
    assert rows["max_vocabulary"].startswith("whole number | `0` | 0 or more; 0 (all) or at least 3 |")
    assert rows["optimiser"].startswith("choice | `sgd` | `sgd`, `adam` |")


def test_the_documents_are_found() -> None:
    assert len(PAGES) > 10


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *FURTHER_PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {target}"


OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")

OF_OTHER_PROGRAMS = {
    *("--strict", "--exclude", "--logdir"),  # mypy, rsync, tensorboard
    *("--generate", "--submission-id", "--working-dir"),  # ray
}

COMMAND = re.compile(r"(?<![\w/])((?:sweeps|analysis)/\w+\.py|lvae_core [a-z]+)\b(.*)")
"""One of our commands, and the rest of its line."""


def options(text: str) -> set[str]:
    return set(OPTION.findall(text))


def documented() -> dict[str, set[str]]:
    """Command, such as "runs.py" or "lvae_core import" -> its options, as the reference lists them."""
    heading = re.compile(r"^##+ (?:`(?:sweeps|analysis)/(\w+\.py)`|(\w+))$", re.MULTILINE)
    parts = heading.split(REFERENCE)[1:]
    found = {}
    for script, word, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        known = {"--help", *options(re.split(r"^## ", text, flags=re.MULTILINE)[0])}
        found[script or f"lvae_core {word}"] = known | {name.replace("--", "--no-", 1) for name in known}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documents_name_only_options_that_exist(page: Path) -> None:
    of_commands = documented()
    known = set().union(*of_commands.values())
    text = page.read_text()
    assert options(text) <= known | OF_OTHER_PROGRAMS
    text = text.replace("\\\n", " ")
    for code in re.findall(r"^    .*$|`[^`]*`", text, re.MULTILINE):
        for command, rest in COMMAND.findall(code):
            name = command.rpartition("/")[2]
            assert options(re.split(r" [|;#] |&&", rest)[0]) <= of_commands.get(name, set()), (
                f"{command}{rest}"
            )


def test_every_command_is_in_the_reference() -> None:
    paths = [path for folder in ("sweeps", "analysis") for path in (ROOT / folder).glob("*.py")]
    scripts = {path.name for path in paths if '__name__ == "__main__"' in path.read_text()}
    assert {name for name in documented() if name.endswith(".py")} == scripts
    assert documented()["lvae_core import"] >= {"--column", "--help"}
    assert "--column" not in documented()["lvae_core run"]


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code in one language of a page of docs/, without the indentation of their fences."""
    text = (ROOT / "docs" / page).read_text()
    fenced = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    assert fenced
    return [re.sub(rf"^{indentation}", "", code, flags=re.MULTILINE) for indentation, code in fenced]


def test_the_grid_files_of_the_documents_can_be_planned(tmp_path: Path) -> None:
    for number, text in enumerate(blocks("grid.md", "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        assert read_grid(path).grid.configs()


def fits(hunk: str, files: list[str]) -> bool:
    """Whether the lines before a change, or after it, stand in one of some texts without indentation.

    After it: whoever follows a document may leave the example in the code.
    """
    sides = [
        [line[1:].strip() for line in hunk.splitlines() if not line.startswith(other)] for other in "+-"
    ]
    return any("\n".join(["", *side, ""]) in file for side in sides for file in files)


def test_a_diff_fits_code_before_and_after_it_and_no_other() -> None:
    hunk = " a = 1\n-b = a\n+b = 2 * a\n"
    assert fits(hunk, ["\na = 1\nb = a\n"])
    assert fits(hunk, ["\n", "\na = 1\nb = 2 * a\n"])
    assert not fits(hunk, ["\na = 1\nb = 3 * a\n"])


def test_the_diffs_of_the_documents_fit_the_code() -> None:
    packages = ("lvae_core", "sweeps", "analysis", "tests")
    sources = [path.read_text() for package in packages for path in (ROOT / package).rglob("*.py")]
    assert len(sources) > 400
    files = ["\n".join(["", *map(str.strip, source.splitlines()), ""]) for source in sources]
    for diff in blocks("extending.md", "diff"):
        for hunk in re.split(r"^ *\.\.\.\n", diff, flags=re.MULTILINE):
            assert fits(hunk, files), hunk


Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

QUESTIONS = {"What", "How", "Where", "Who", "Why", "When", "Which", "Whether"}


def asks(node: Documented) -> bool:
    """Whether a docstring begins like a question; one that returns a bool may begin with Whether."""
    first = (ast.get_docstring(node) or "-").split()[0].strip(",")
    returns = getattr(node, "returns", None)
    answers = first == "Whether" and isinstance(returns, ast.Name) and returns.id == "bool"
    return first in QUESTIONS and not answers


def test_a_docstring_that_begins_like_a_question_is_found() -> None:
    texts = (
        '"""What it is."""',
        'class A:\n    """Whether it is."""',
        'def f() -> str:\n    """Why, if so."""',
        'def f() -> bool:\n    """Whether it is."""',
        'def f() -> str:\n    """Return what it is."""',
    )
    found = [[asks(n) for n in ast.walk(ast.parse(text)) if isinstance(n, Documented)] for text in texts]
    assert [any(each) for each in found] == [True, True, True, False, False]


@pytest.mark.parametrize("package", ["lvae_core", "sweeps", "analysis"])
def test_docstrings_begin_with_a_verb_or_a_noun(package: str) -> None:
    paths = sorted((ROOT / package).rglob("*.py"))
    assert len(paths) > 50
    wrong = [
        f"{path.relative_to(ROOT)}: {ast.get_docstring(node)}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, Documented) and asks(node)
    ]
    assert wrong == []
