"""The options that the commands of analysis share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, TypeVar

import tyro

from lvae_core.arguments import parsed
from lvae_core.errors import InputError
from lvae_core.messages import Verbosity

T = TypeVar("T")

arg = tyro.conf.arg

Published = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    arg(
        metavar="FILE",
        help="CSV file of published numbers to show as well (docs/published.md); can be given again.",
        help_behavior_hint="(default: none)",
    ),
]

ComparedWith = Annotated[
    tuple[str, ...],
    arg(
        name="baseline",
        metavar="SYSTEM|FIELD=VALUE ...",
        help="Compare every system with these, and variants with the one that has these values.",
        help_behavior_hint="(default: each system's own baselines, and its first variant)",
    ),
]

Messages = Annotated[Verbosity, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff]


def parse_options(kind: type[T], prog: str, lists: Sequence[str]) -> T:
    """Read the command line of this process as a dataclass of options.

    Args:
        kind: the dataclass; its docstring begins the help.
        prog: the command's name.
        lists: the options that take several values after one.

    Raises:
        InputError: as :func:`lvae_core.arguments.parsed`, with a remedy for more files.
    """
    words = sys.argv[1:]
    try:
        return parsed(lambda: tyro.cli(kind, args=words, prog=prog), words, lists)
    except InputError as error:
        what, _, _ = str(error).partition(";")
        if "--published" in words and what.startswith("superfluous argument"):
            raise InputError(f"{what}; give --published once per file") from None
        raise
