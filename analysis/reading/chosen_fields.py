"""Read the config fields by which an option chooses among runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lvae_core.errors import InputError
from lvae_core.settings import parse_settings


def parse_chosen(settings: Iterable[str], option: str) -> dict[str, Any]:
    """Field -> value of ``FIELD=VALUE`` strings. What is chosen has all of the values.

    Raises:
        InputError: as :func:`lvae_core.settings.parse_settings`; the message begins with the option.
    """
    try:
        return parse_settings(settings, option)
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(option) else f"{option}: {message}") from None
