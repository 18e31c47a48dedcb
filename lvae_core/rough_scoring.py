"""The rule by which an estimate scores some of its draws in full and all of them roughly.

How that is done: lvae_core/evaluation/two_phase.py. Counts of work, a run's identity and the report
need the rule, too, and no torch.
"""

from __future__ import annotations

from typing import Any

from lvae_core.fields.choices import FEWEST_EXACT

SHORTLIST = 256
"""K, number of words whose scores the rough ones compute for every draw."""


def chosen_draws(samples: int, exact: int) -> int:
    """Return how many of S = ``samples`` draws stand for all of them; ``exact``: ``iw_exact_samples``."""
    return exact if 0 < exact < samples else samples


def scored_in_full(samples: int, exact: int, classes: int) -> int:
    """Return how many of S = ``samples`` draws are scored in full, over V = ``classes`` words.

    ``exact``: the config's ``iw_exact_samples``. Over few words rough scores save nothing.
    """
    return chosen_draws(samples, exact) if classes > 2 * SHORTLIST else samples


def may_validate_roughly(valid_samples: Any) -> Any:
    """True if validation draws so much that it may score some draws roughly, and reads iw_exact_samples.

    Args:
        valid_samples: that of a config, or a column of those of many.
    """
    return valid_samples > FEWEST_EXACT
