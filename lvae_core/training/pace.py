"""Speed of training between two reports of its progress, and its loss; no result depends on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Training as progress shows it."""

    tokens_per_second: float
    """Predicted tokens of the training split, since the report before."""
    loss: float
    """What the steps minimise, mean over the sentences of the epoch so far, in nats per sentence."""
    learning_rate: float
    kl_weight: float | None
    """β; None for a model without a latent variable."""


class Speedometer:
    """Counts the tokens that are trained on, and the seconds that it takes. Validation does not count."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._tokens = 0
        self._since = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._tokens = 0
        self._since = self._now()

    def add(self, tokens: int) -> None:
        """Count the tokens of a gradient step."""
        self._tokens += tokens

    def read(
        self, sums: Tensor, learning_rate: float, kl_weight: float | None, before: Pace | None = None
    ) -> Pace | None:
        """Return the pace since the last call, or ``before`` if no step has been taken; begin anew.

        ``sums``: total loss, NLL, KL and sentences of the epoch so far.
        """
        pace = before
        if self._tokens:
            loss, *_, sentences = sums.tolist()
            pace = Pace(
                tokens_per_second=self._tokens / max(self._now() - self._since, 1e-9),
                loss=loss / sentences,
                learning_rate=learning_rate,
                kl_weight=kl_weight,
            )
        self.start()
        return pace
