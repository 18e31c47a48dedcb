"""The config of a new run: a system's recipe, with the ``min_count`` that the text of its folder needs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lvae_core import systems
from lvae_core.config import RunConfig
from lvae_core.data.corpus import load_new
from lvae_core.data.datasets import NAMES, check_known
from lvae_core.data.sources.public import MissingError
from lvae_core.errors import check_data_dir, check_name
from lvae_core.fields.choices import Setting
from lvae_core.protocols import PROTOCOLS, Protocol, with_protocol
from lvae_core.settings import apply_fields

_log = logging.getLogger("lvae.data")


def recipe(
    system: str,
    *,
    dataset: str | Path = "ptb",
    setting: Setting = "standard",
    num_samples: int = 1,
    seed: int = 0,
    protocol: Protocol = "matched",
    data_dir: str | Path | None = None,
    **fields: Any,
) -> RunConfig:
    """Make the complete config of one run, as ``python -m lvae_core recipe`` and a new study make it.

    A folder gets PTB's sizes, and ``min_count = 2`` if its training text has no unknown word, or far fewer
    than held-out text, and this shows more; see docs/own-data.md. Then a warning says so.

    Args:
        system: one of ``SYSTEMS``.
        dataset: a dataset's name, or a folder.
        setting: "standard" or "inputless".
        num_samples: L; a language model ignores it.
        seed: of the run.
        protocol: train as in Kruengkrai (2019), "matched", or as the system's authors, "original".
        data_dir: folder of corpora; None: ``$LVAE_DATA_DIR``, else ``./data``.
        **fields: further fields of the config, such as ``learning_rate=0.5``.

    Raises:
        InputError: an unknown system, setting, protocol or field, one that the system does not have, a
            value of the wrong type or outside its range; or the text cannot be used.
    """
    check_name(protocol, PROTOCOLS, "protocol")
    base = systems.recipe(
        system,
        dataset=str(dataset) if isinstance(dataset, Path) else dataset,
        setting=setting,
        num_samples=num_samples,
        seed=seed,
    )
    check_data_dir(data_dir)
    config, choice = complete_recipe(base, protocol, fields, data_dir)
    if choice:
        _log.warning("%s; min_count=1 keeps every word", choice)
    return config


def complete_recipe(
    base: RunConfig,
    protocol: Protocol,
    fields: Mapping[str, Any],
    data_dir: str | Path | None,
    prefix: str = "",
) -> tuple[RunConfig, str]:
    """Complete the recipe of a system: its protocol, the fields that the user gives, its ``min_count``.

    Args:
        base: the config that :func:`lvae_core.systems.recipe` returns.
        protocol: see :func:`recipe`.
        fields: field -> value.
        data_dir: folder of corpora.
        prefix: of a field's name in errors.

    Returns:
        The config, and a line for the user if the text of the folder chose its ``min_count``, else "".

    Raises:
        InputError: as :func:`recipe`.
    """
    check_known(base.dataset, data_dir)
    config = apply_fields(with_protocol(base, protocol), fields, prefix)
    settled = _settle_min_count(config, data_dir, given=fields)
    if settled == config:
        return config, ""
    return settled, f"min_count = {settled.min_count}, so that training shows the unknown word more often"


def _settle_min_count(config: RunConfig, data_dir: str | Path | None, given: Collection[str]) -> RunConfig:
    """Choose the ``min_count`` of a new run over a folder by its text; see :func:`load_new`.

    A folder that does not exist yet causes a warning, as its run reports it.

    Args:
        config: of the run.
        data_dir: folder of corpora.
        given: fields whose value the user has chosen.

    Raises:
        InputError: the text cannot be used, or the dataset is neither a known name nor a folder.
    """
    if config.dataset in NAMES or "min_count" in given:
        return config
    try:
        return load_new(config, data_dir)[0]
    except MissingError as error:
        _log.warning(f"{error}; until then nothing chooses min_count, which is {config.min_count}")
        return config
