"""Advice on failed runs, by the class of failure."""

from __future__ import annotations

from collections.abc import Iterable

_DIVERGED = (
    "a run that diverged would diverge again, because a run is deterministic: with --set, give it a lower "
    "learning_rate or init_scale than its own, or a smaller max_grad_norm (5 if it is 0, which clips "
    "nothing); that makes it another run"
)

_OUT_OF_MEMORY = (
    "a run that was out of memory needs more of it: put fewer runs on a device (--gpus-per-run), or lower "
    "batch_size; then --retry-failed"
)


def failure_advice(classes: Iterable[str], retry: str) -> list[str]:
    """Advice about failed runs, a sentence for each kind of failure.

    Args:
        classes: the class of each failure, as in ``failure.json``.
        retry: the sentence on runs that may succeed if they are tried again.
    """
    found = set(classes)
    advice = {"diverged": _DIVERGED, "out_of_memory": _OUT_OF_MEMORY}
    return [
        *([retry] if found - advice.keys() else []),
        *(sentence for kind, sentence in advice.items() if kind in found),
    ]
