"""``python -m lvae_core recipe``: print a system's complete config."""

from __future__ import annotations

import argparse
import json

from lvae_core.data.new_run import complete_recipe
from lvae_core.errors import InputError
from lvae_core.messages import notice
from lvae_core.settings import check_samples_read, parse_settings
from lvae_core.systems import recipe

_OPTIONS = ("dataset", "setting", "num_samples", "seed")
"""Fields that a recipe starts from; each has an option."""


def command(options: argparse.Namespace) -> int:
    """Print the config as JSON; return the exit status."""
    given = parse_settings(options.set)
    for field in _OPTIONS:
        if field in given:
            raise InputError(
                f"--set {field}={given[field]}: the recipe depends on it; use --{field.replace('_', '-')}"
            )
    base = recipe(
        options.system,
        dataset=options.dataset,
        setting=options.setting,
        num_samples=1 if options.num_samples is None else options.num_samples,
        seed=options.seed,
    )
    check_samples_read(base, options.num_samples)
    config, choice = complete_recipe(base, options.protocol, given, options.data_dir, prefix="--set ")
    if choice:
        notice(f"note: {choice}")
    print(json.dumps(config.to_dict(), indent=2))
    return 0
