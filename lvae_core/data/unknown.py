"""Words that only the held-out text has, in a dataset whose training text has no unknown word.

They need the unknown class of the softmax, but a model that never sees this class in training gives it
almost no probability, so that a few such words can dominate the perplexity. The remedy is to let rare
words of the training text become the unknown word as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class UnseenWords:
    """Held-out words of a class that training never shows."""

    rates: Mapping[str, float]
    """Held-out split -> share of its predicted tokens that training never has."""
    rarest: int
    """Count, in training, of the rarest word that is a class."""

    @property
    def finding(self) -> str:
        """``3.7% of the tokens of valid and 4.1% of test are words that training never has``."""
        shares = [
            f"{f'{rate:.1%}' if rate >= 0.0005 else 'under 0.1%'} of {'' if i else 'the tokens of '}{split}"
            for i, (split, rate) in enumerate((s, r) for s, r in self.rates.items() if r)
        ]
        return f"{' and '.join(shares)} are words that training never has"

    @property
    def remedy(self) -> str:
        """The field and the value by which training shows the unknown class."""
        return f"min_count={self.rarest + 1}"

    def warning(self, source: str) -> str:
        """The warning about a dataset whose training text comes from ``source``."""
        return (
            f"{source}: {self.finding}, so the model is tested on an unknown word that it has never "
            f"seen; {self.remedy} lets the rarest words of training be unknown, too"
        )


def unseen_words(rates: Mapping[str, float], rarest: int) -> UnseenWords | None:
    """Judge whether a dataset lacks the unknown class in training.

    Args:
        rates: split -> share of its predicted tokens that are the unknown class.
        rarest: see :class:`UnseenWords`.

    Returns:
        None if training shows the class, or no held-out split needs it.
    """
    held_out = {split: rate for split, rate in rates.items() if split != "train"}
    if "train" not in rates or rates["train"] > 0 or not any(held_out.values()):
        return None
    return UnseenWords(held_out, rarest)
