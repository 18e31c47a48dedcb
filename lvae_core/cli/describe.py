"""``python -m lvae_core describe``: the statistics of a dataset as a table, or as JSON."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from lvae_core.data.describe import describe
from lvae_core.data.importing import summary
from lvae_core.run_folder.unknown_share import share_text

_HEADINGS = ("", "sentences", "tokens", "words", "longest", "unknown", "SHA-256")


def command(options: argparse.Namespace) -> int:
    """Print the warnings, then the statistics; return the exit status."""
    described = describe(options.dataset, options.data_dir)
    missing = [split["missing"] for split in described["splits"].values() if "missing" in split]
    for warning in (*missing, *described["warnings"]):
        logging.getLogger("lvae.data").warning(warning)
    print(json.dumps(described, indent=2) if options.json else "\n".join(table(described)))
    return 0


def table(described: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a table of what :func:`~lvae_core.data.describe.describe` returns."""
    parts = [str(described["dataset"])]
    if "vocabulary" in described:
        parts.append(f"vocabulary of {described['vocabulary']:,} with </s>")
    if "data_sha256" in described:
        parts.append(f"SHA-256 {described['data_sha256'][:8]}")
    yield ", ".join(parts)
    rows = [_HEADINGS, *(_row(name, split) for name, split in described["splits"].items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        shown = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield f"  {name.ljust(widths[0])}  {'  '.join(shown)}".rstrip()
    yield "tokens: predicted, with </s>; words: distinct; longest: in tokens; unknown: share of the tokens"
    if imported := described.get("imported"):
        yield f"imported from {', '.join(source['path'] for source in imported['sources'].values())}:"
        # After --split, the splits have no counts but those of the table.
        files = {name: counts for name, counts in imported["counts"].items() if len(counts) > 1}
        yield from (f"  {line}" for line in summary({"counts": files}))


def _row(name: str, split: Mapping[str, Any]) -> tuple[str, ...]:
    if "missing" in split:
        return (name, "missing", *[""] * (len(_HEADINGS) - 2))
    counts = (f"{split[key]:,}" for key in ("sentences", "predicted_tokens", "types", "longest"))
    return (name, *counts, share_text(split["unknown_rate"]), split["sha256"][:8])
