"""Fields that a run reads to no effect: that they have none, and that they have one with what they need."""

from __future__ import annotations

from typing import Any

import pytest

from lvae_core.config import RunConfig
from lvae_core.fields.parts import EFFECTS

from .. import tiny
from .runs import run, short

IDLE: dict[str, tuple[dict[str, Any], Any]] = {
    "dropout_encoder": ({"dropout": 0.0}, True),
    "dropout_latent_input": ({"dropout": 0.0, "setting": "inputless"}, True),
    "kl_anneal_epochs": ({"kl_schedule": "cyclical", "kl_cycles": 1}, 1.0),
    "kl_start": ({"kl_anneal_epochs": 0.0}, 0.5),
    "free_bits": ({"system": "lstm-vmf-vae"}, 40.0),
}
"""Field -> fields with which it has no effect, and another value of it."""

AT_WORK: dict[str, dict[str, Any]] = {
    "dropout_encoder": {"dropout": 0.5},
    "dropout_latent_input": {"dropout": 0.5, "setting": "inputless"},
    "kl_anneal_epochs": {"kl_anneal_epochs": 2.0},
    "kl_start": {"kl_anneal_epochs": 2.0},
    "free_bits": {},
}


def validation(config: RunConfig, folder: Any) -> list[float]:
    """The valid NLL of each epoch."""
    run(config, folder)
    return [row["valid_nll"] for row in folder.read_metrics()]


@pytest.mark.parametrize("field", EFFECTS)
def test_a_field_has_an_effect_with_what_it_needs_only(field, tmp_path):
    fields, other = IDLE[field]
    for name, chosen, equal in (("idle", fields, True), ("at work", AT_WORK[field], False)):
        config = short(max_epochs=2, **chosen)
        assert EFFECTS[field].is_chosen(config) is not equal
        changed = short(max_epochs=2, **{**chosen, field: other})
        assert changed != config
        first = validation(config, tiny.folder(tmp_path, f"{name} 1"))
        second = validation(changed, tiny.folder(tmp_path, f"{name} 2"))
        assert (first == second) is equal
