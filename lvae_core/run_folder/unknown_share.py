"""The shares of unknown words that a result records in ``splits``: does training show them often enough?"""

from __future__ import annotations

SELDOM = 10.0
"""Training shows the class too seldom if its share in a held-out split is this many times as large."""

NEGLIGIBLE = 0.005
"""Below this share of a held-out split, a class that training shows, however seldom, costs too few nats."""


def shown_too_seldom(train: float, held_out: float) -> bool:
    """Whether a split has many more unknown words than training leads the model to expect.

    A class that training never shows has no limit to its cost, so any unknown word counts then.

    Args:
        train: the share of training's predicted tokens that are the unknown class.
        held_out: the same of the validation or test split.
    """
    if train == 0.0:
        return held_out > 0.0
    return held_out >= max(NEGLIGIBLE, SELDOM * train)


def share_text(share: float) -> str:
    """A share of tokens in percent; a small one never reads as none."""
    return "under 0.1%" if 0 < share < 0.0005 else f"{share:.1%}"
