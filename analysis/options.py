"""The options that the commands of analysis share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import tyro

from lvae_core.arguments import parsed
from lvae_core.errors import InputError
from lvae_core.messages import Verbosity

T = TypeVar("T")

Published = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        metavar="FILE",
        help="CSV file of published numbers to show as well (docs/published.md); can be given again.",
        help_behavior_hint="(default: none)",
    ),
]

ComparedWith = Annotated[
    tuple[str, ...],
    tyro.conf.arg(
        name="baseline",
        metavar="SYSTEM|FIELD=VALUE ...",
        help="Compare every system with these, and variants with the one that has these values.",
        help_behavior_hint="(default: each system's own baselines, and its first variant)",
    ),
]

Messages = Annotated[Verbosity, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff]


def parsed_options(parse: Callable[[], T], words: Sequence[str], lists: Sequence[str]) -> T:
    """Parse a command line as :func:`lvae_core.arguments.parsed`, with a remedy for more files."""
    try:
        return parsed(parse, words, lists)
    except InputError as error:
        what, _, _ = str(error).partition(";")
        if "--published" in words and what.startswith("superfluous argument"):
            raise InputError(f"{what}; give --published once per file") from None
        raise
