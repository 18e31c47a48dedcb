"""The options that the commands of analysis share."""

from __future__ import annotations

from typing import Annotated

import tyro

from lvae_core.messages import Verbosity

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
