"""Progress and results of one run in a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from lvae_core.messages import is_quiet
from lvae_core.run_folder.estimates import UNRELIABLE_SHARE
from lvae_core.training.runtime import Progress


class Display:
    """Progress on standard error: on a terminal one line that is rewritten, else one line per epoch."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.phase = ""
        self.began = 0.0
        self.first = 0.0

    def show(self, progress: Progress) -> None:
        """Print what has changed since the last call."""
        if is_quiet():
            return
        if progress.phase != self.phase:
            self.phase, self.began, self.first = progress.phase, time.monotonic(), progress.fraction
        clear = "\r\033[K" if self.live else ""
        if row := progress.metrics:
            rate = f"learning rate {row['learning_rate']:g}"
            kl = f", KL {row['valid_kl']:.2f}" if "valid_kl" in row else ""
            print(
                f"{clear}epoch {row['epoch']}: valid PPL {row['valid_ppl']:.2f}{kl}, {rate}",
                file=sys.stderr,
            )
        elif self.live and progress.phase != "done":
            left = _eta(time.monotonic() - self.began, self.first, progress.fraction)
            print(f"{clear}{progress.phase} {progress.fraction:.1%}{left}", end="", file=sys.stderr)
        elif progress.phase == "done" and self.live:
            print(clear, end="", file=sys.stderr)


def _eta(seconds: float, first: float, now: float) -> str:
    """Format the remaining time of a phase at its speed so far; empty before the speed is known."""
    if now <= first:
        return ""
    left = round(seconds * (1 - now) / (now - first))
    return f", {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left at most"


def summary(result: dict[str, Any]) -> str:
    """Format the content of a ``result.json``."""
    head = f"best epoch {result['best_epoch']} of {result['epochs']}, test split:"
    return "\n".join([head, *estimate_lines(result["estimates"])])


def estimate_lines(estimates: dict[str, Any]) -> list[str]:
    """Format estimates, one per line."""
    lines, width = [], max(13, *map(len, estimates))
    for name, estimate in estimates.items():
        stderr = estimate.get("jackknife", estimate.get("stderr"))
        error = "" if stderr is None else f" ± {stderr:.4f}"
        if estimate.get("khat_above", 0.0) > UNRELIABLE_SHARE:
            error += f", unreliable: Pareto shape above 0.7 in {estimate['khat_above']:.0%} of sentences"
        value = estimate["value"]
        lines.append(f"  {name:<{width}} {value if isinstance(value, int) else f'{value:.4f}'}{error}")
    return lines
