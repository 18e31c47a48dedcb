"""Speed and loss of training between two reports of its progress; no result depends on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Training since the report before."""

    tokens_per_second: float
    """Predicted tokens of the training split."""
    loss: float
    """What the gradient steps minimise, mean over the sentences, in nats per sentence."""
    mean_loss: float
    """The same of the epoch so far: that of a few steps jumps from batch to batch."""
    learning_rate: float
    kl_weight: float | None
    """β; None for a model without a latent variable."""


class Speedometer:
    """Counts the tokens that are trained on, and the seconds that it takes. Validation does not count."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._tokens = 0
        self._since = 0.0
        self._loss = self._sentences = 0.0

    def start(self, sums: Tensor) -> None:
        """Begin to count; ``sums``: total loss, NLL, KL and sentences of the epoch so far."""
        self._since = self._now()
        self._loss, *_, self._sentences = sums.tolist()

    def add(self, tokens: int) -> None:
        """Count the tokens of a gradient step."""
        self._tokens += tokens

    def read(
        self, sums: Tensor, learning_rate: float, kl_weight: float | None, before: Pace | None = None
    ) -> Pace | None:
        """Return the pace since the last call, or ``before`` if no step has been taken; begin anew."""
        loss, *_, sentences = sums.tolist()
        seconds, tokens = self._now() - self._since, self._tokens
        pace = before
        if tokens and sentences > self._sentences:
            pace = Pace(
                tokens_per_second=tokens / max(seconds, 1e-9),
                loss=(loss - self._loss) / (sentences - self._sentences),
                mean_loss=loss / sentences,
                learning_rate=learning_rate,
                kl_weight=kl_weight,
            )
        self._tokens = 0
        self._since, self._loss, self._sentences = self._now(), loss, sentences
        return pace
