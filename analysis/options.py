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

Messages = Annotated[Verbosity, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff]
