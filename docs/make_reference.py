"""Write docs/reference.md from the commands' parsers and the declaration of the config fields.

python docs/make_reference.py, or make docs
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tyro

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from analysis import summarize, wandb_report
from lvae_core.cli.parser import make_parser
from lvae_core.config import FIELD_TYPES, RunConfig
from lvae_core.systems import SYSTEMS
from sweeps import doctor, grid_options, paper_grid, runs, search, wandb_push

PAGE = ROOT / "docs" / "reference.md"

COMMANDS: dict[str, tuple[Any, Any]] = {
    "sweeps/paper_grid.py": (paper_grid, grid_options.Options),
    "sweeps/search.py": (search, search.Options),
    "sweeps/doctor.py": (doctor, doctor.Options),
    "sweeps/runs.py": (runs, runs.Options),
    "sweeps/wandb_push.py": (wandb_push, wandb_push.Options),
    "analysis/summarize.py": (summarize, summarize.Options),
    "analysis/wandb_report.py": (wandb_report, wandb_report.Options),
}
"""Command -> its module, and what tyro makes its parser of."""


def page() -> str:
    """Return the text of the page."""
    lines = [
        "# Reference",
        "",
        "Every option of every command, and every field of a config. Made by `make docs` from the code; a",
        "test compares them.",
        "",
        "- [`python -m lvae_core`](#python--m-lvae_core)",
        *(f"- [`{name}`](#{_anchor(name)})" for name in COMMANDS),
        "- [Config fields](#config-fields)",
        "- [Systems](#systems)",
        "",
        "## `python -m lvae_core`",
    ]
    for name, parser in _subparsers(make_parser()):
        lines += ["", f"### {name}", "", _sentence(parser.description or ""), "", *_options(parser)]
    for name, (module, target) in COMMANDS.items():
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            parser = tyro.extras.get_parser(target)
        lines += [
            "",
            f"## `{name}`",
            "",
            _sentence(module.__doc__.partition("\n")[0]),
            "",
            *_options(parser),
        ]
    return "\n".join([*lines, "", *_fields(), "", *_systems(), ""])


def _subparsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield "| option | what it is |"
    yield "|---|---|"
    for action in parser._actions:
        if "--help" not in action.option_strings:
            yield f"| {_code(_name(action))} | {_cell(_help(action))} |"


def _name(action: argparse.Action) -> str:
    value = action.metavar
    if value is None:
        value = "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
    if isinstance(value, tuple):
        value = " ".join(value)
    value = _choices(str(value))
    takes_none = action.nargs == 0
    if not action.option_strings:
        return value
    return ", ".join(action.option_strings) + ("" if takes_none else f" {value}")


def _choices(metavar: str) -> str:
    """Write tyro's ``{None,paper,all}`` and ``INT|{auto}`` as ``paper|all`` and ``INT|auto``.

    None stands for an option that is left out; nobody writes it.
    """
    plain = re.sub(r"\{([^}]*)\}", lambda braced: braced[1].replace(",", "|"), metavar)
    return "|".join(word for word in plain.split("|") if word != "None")


def _help(action: argparse.Action) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(action.help or "")).replace("%%", "%")
    for nothing in ("False", "None", ""):
        text = text.replace(f" (default: {nothing})", "")
    if "Fields: " in text:
        text = text.partition(" Fields: ")[0] + " See [config fields](#config-fields)."
    return " ".join(text.split())


def _fields() -> Iterator[str]:
    yield "## Config fields"
    yield ""
    yield "For `--set FIELD=VALUE` and `dataclasses.replace`. A recipe may start from other values than"
    yield "the defaults: it sets the sizes of the dataset, the fields of the system and, on PTB, Yahoo and"
    yield "folders, `patience_rule=in_a_row`. `python -m lvae_core recipe SYSTEM --dataset NAME` prints the"
    yield "values of a run. A field is read by one part of a system; `--set` refuses it if that part is not"
    yield "chosen. Fields that the evaluation reads can be changed after training, with"
    yield "`python -m lvae_core evaluate`; in a grid, those that training reads, too, make other runs."
    groups = dict.fromkeys(f.metadata["group"] for f in dataclasses.fields(RunConfig))
    for group in groups:
        yield ""
        yield f"### Fields: {group}"
        yield ""
        yield "| field | type | default | range | part | read by | what it is |"
        yield "|---|---|---|---|---|---|---|"
        for f in dataclasses.fields(RunConfig):
            data = f.metadata
            if data["group"] == group:
                stage = {"both": "training, evaluation"}.get(data["stage"], data["stage"])
                yield (
                    f"| `{f.name}` | {_type(FIELD_TYPES[f.name])} | {_code(_shown(f.default))} "
                    f"| {_cell(_range(f))} | {data['part']} | {stage} "
                    f"| {_cell(data['help'])} |"
                )


def _systems() -> Iterator[str]:
    yield "## Systems"
    yield ""
    yield "| system | recipe |"
    yield "|---|---|"
    for name, make in SYSTEMS.items():
        yield f"| `{name}` | {_cell((make.__doc__ or '').partition(chr(10))[0])} |"


def _type(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "choice"
    return {str: "text", bool: "true, false", int: "whole number", float: "number"}[hint]


def _range(f: dataclasses.Field[Any]) -> str:
    """The choices of a field, or its ranges."""
    hint = FIELD_TYPES[f.name]
    if get_origin(hint) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(hint))
    return "; ".join(range_.text for range_ in f.metadata["ranges"])


def _shown(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def _cell(text: str) -> str:
    """Escape what Markdown or HTML would read as markup."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _anchor(name: str) -> str:
    return re.sub(r"[^\w-]", "", name).lower()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
