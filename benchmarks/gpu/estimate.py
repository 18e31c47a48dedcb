"""Estimate the time of the paper's Penn Treebank runs from measured speeds. Never imports torch.

There are 60 runs: LSTM-LM, LSTM-VAE with L = 1, 5, 10 and LSTM-VAE-AVG with L = 5, 10, in two settings and
with five seeds. A run trains 30 epochs, the most that it may, validates after each, and evaluates the test
split with 500 importance samples. A validation costs a third of a training step per token: a forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

EPOCHS, SEEDS = 30, 5
TRAIN_TOKENS, VALID_TOKENS, TEST_TOKENS = 929_589, 73_760, 82_430
START_SECONDS = 15.0
"""Start of a process and set-up of its libraries."""

CELLS = tuple(
    (system, L, setting)
    for system, samples in (("lstm-lm", (0,)), ("lstm-vae", (1, 5, 10)), ("lstm-vae-avg", (5, 10)))
    for L in samples
    for setting in ("standard", "inputless")
)
IW = {"lstm-vae": "ptb/lstm-vae/iw500/standard", "lstm-vae-avg": "ptb/lstm-vae-avg/L10/iw500/standard"}
"""The measured evaluation of each system; LSTM-VAE-AVG's is that of its largest L."""


class Estimate(NamedTuple):
    """Hours of one device for all runs one after another, and how much faster they are side by side."""

    hours: float
    gain: float

    @property
    def packed_hours(self) -> float:
        """Hours if as many runs as is best share the device."""
        return self.hours / self.gain


def estimate(records: Sequence[Mapping[str, Any]], variant: str, evaluation: str) -> Estimate | None:
    """Estimate from the records of timings and packing; None unless all that is needed was measured.

    Args:
        records: of all parts.
        variant: of training, such as "ours float32".
        evaluation: variant of the importance-weighted evaluation.
    """
    speeds = {
        (r["case"], r["variant"]): float(r["tokens_per_second"]) for r in records if "ratio_to_plain" in r
    }
    seconds = 0.0
    for system, L, setting in CELLS:
        name = f"ptb/{system}" + (f"/L{L}" if L else "")
        # A setting that was not measured is taken to be as fast as the other one.
        train = speeds.get((f"{name}/{setting}", variant)) or speeds.get((f"{name}/standard", variant))
        if train is None:
            return None
        run = EPOCHS * (TRAIN_TOKENS + VALID_TOKENS / 3) / train
        if system in IW:
            scored = speeds.get((IW[system], evaluation))
            if scored is None:
                return None
            run += TEST_TOKENS / scored
        seconds += SEEDS * (run + START_SECONDS)
    packed = [float(r["gain"]) for r in records if "gain" in r and r["variant"] == variant]
    return Estimate(seconds / 3600, max([1.0, *packed]))


def lines(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, dict[str, float]]]:
    """Name, text and figures of every estimate that can be made."""
    found = []
    for variant in ("ours float32", "ours float32, graphs", "ours bfloat16", "ours bfloat16, graphs"):
        evaluation = "ours two-phase, rough in bfloat16" if "bfloat16" in variant else "ours two-phase"
        made = estimate(records, variant, evaluation)
        if made is None:
            continue
        text = f"{made.hours:,.2f} hours one after another"
        if made.gain > 1:
            text += (
                f", {made.packed_hours * 60:,.0f} minutes with runs side by side ({made.gain:.2f} × one)"
            )
        if "graphs" in variant:
            text += "; runs are not trained with graphs yet"
        figures = {"hours": made.hours, "gain": made.gain, "packed_hours": made.packed_hours}
        found.append((f"60 runs on Penn Treebank, {variant}", text, figures))
    return found
