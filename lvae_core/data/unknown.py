"""Unknown words that held-out text has, in a dataset whose training text has none, or hardly any.

A model gives the unknown class of the softmax about the share that it has in training. If that is nothing,
or far below the share in held-out text, a few such words can dominate the perplexity. The remedy is to let
rare words of the training text become the unknown word as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lvae_core.run_folder.unknown_share import share_text, shown_too_seldom


@dataclass(frozen=True)
class UnseenWords:
    """Held-out words of a class that training never shows, or too seldom."""

    rates: Mapping[str, float]
    """Held-out split -> share of its predicted tokens that are the unknown class."""
    train: float
    """The same of the training split."""
    rarest: int
    """Count, in training, of the rarest word that is a class; the unknown word does not count."""

    @property
    def finding(self) -> str:
        """``3.7% of the tokens of valid and 4.1% of test are words that training never has``."""
        shares = [
            f"{share_text(rate)} of {'' if i else 'the tokens of '}{split}"
            for i, (split, rate) in enumerate((s, r) for s, r in self.rates.items() if r)
        ]
        held_out = " and ".join(shares)
        if not self.train:
            return f"{held_out} are words that training never has"
        return f"{held_out} are unknown words, but only {share_text(self.train)} of train"

    @property
    def remedy(self) -> str:
        """The field and the value by which training shows the unknown class, or shows it more often."""
        return f"min_count={self.rarest + 1}"

    def warning(self, source: str) -> str:
        """The warning about a dataset whose training text comes from ``source``."""
        return (
            f"{source}: {self.finding}, so the model is tested on an unknown word that it has "
            f"{'seldom' if self.train else 'never'} seen; {self.remedy} lets the rarest words of training "
            "be unknown, too"
        )


def unseen_words(
    rates: Mapping[str, float], counts: Sequence[int], unknown: int | None
) -> UnseenWords | None:
    """Judge whether a dataset lacks the unknown class in training, or has it too seldom.

    Args:
        rates: split -> share of its predicted tokens that are the unknown class.
        counts: of each class in training.
        unknown: the unknown class; None if there is none.

    Returns:
        None if training shows the class often enough for every held-out split, or has no other word.
    """
    held_out = {split: rate for split, rate in rates.items() if split != "train"}
    train = rates.get("train")
    # Class 0 is no word, and the unknown class is no word that could become it.
    words = [count for class_, count in enumerate(counts) if count and class_ not in (0, unknown)]
    if train is None or not words or not any(shown_too_seldom(train, rate) for rate in held_out.values()):
        return None
    return UnseenWords(held_out, train, min(words))
