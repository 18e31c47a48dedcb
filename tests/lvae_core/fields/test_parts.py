"""Messages about fields that a run does not read say what it would need, and this is true."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from lvae_core.config import FIELD_TYPES, RunConfig
from lvae_core.fields.parts import PARTS
from lvae_core.systems import SYSTEMS, recipe


def with_needs(config: RunConfig, words: str) -> RunConfig:
    """The config with every ``field=value`` and ``field above number`` of a text, without alternatives."""
    words = words.partition(" or ")[0].partition(", and no ")[0]
    values: dict[str, Any] = dict(re.findall(r"(\w+)=(\w+)", words))
    for name, number in re.findall(r"(\w+) above (\d+)", words):
        values[name] = int(number) + 1 if FIELD_TYPES[name] is int else int(number) + 0.5
    return dataclasses.replace(config, **values)


@pytest.mark.parametrize("part", sorted(PARTS.keys() - {"every run"}))
def test_a_run_with_what_a_part_needs_has_the_part(part: str) -> None:
    words = PARTS[part].needs
    assert with_needs(RunConfig(), words).has(part)
    if named := re.search(r", as in ([\w-]+)", words):
        assert named[1] in SYSTEMS
        assert with_needs(recipe(named[1]), words).has(part)


def test_a_part_that_needs_a_latent_variable_is_no_part_of_a_language_model() -> None:
    needing = r"a (system with a )?latent variable(?! or)"
    parts = [name for name, part in PARTS.items() if re.match(needing, part.needs)]
    assert len(parts) > 1
    for part in parts:
        assert not recipe("lstm-lm").has(part)
        assert not recipe("cnn-lm").has(part)
