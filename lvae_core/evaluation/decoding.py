"""The rule by which a decoder chooses words."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from lvae_core.errors import InputError, check_name, real_number, whole_number

Method = Literal["greedy", "sample", "beam"]

_TEMPERATURES = (1e-30, 1e30)
"""Between these, logits divided by the temperature remain finite in float32."""

_READERS: dict[str, Method] = {"temperature": "sample", "beam_width": "beam"}
"""Field -> the only method that reads it."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """The rule that chooses words.

    Raises:
        InputError: a value has the wrong type or lies outside its range.
    """

    method: Method = "greedy"
    temperature: float = 1.0
    """For ``sample``: logits are divided by it; below 1 is more cautious."""
    beam_width: int = 5
    """For ``beam``: hypotheses kept; the one of the highest log p(x|z) wins."""
    max_length: int = 80
    """Words at most where no ``</s>`` comes."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_name(self.method, get_args(Method), "method of decoding")
        object.__setattr__(self, "temperature", real_number("temperature", self.temperature))
        low, high = _TEMPERATURES
        if not low <= self.temperature <= high:
            raise InputError(f"temperature = {self.temperature:g}: must be from {low:g} to {high:g}")
        for name, least in (("beam_width", 1), ("max_length", 1), ("seed", 0)):
            value = whole_number(name, getattr(self, name))
            object.__setattr__(self, name, value)
            if value < least:
                raise InputError(f"{name} = {value}: must be at least {least}")


def unread(method: Method, given: Collection[str]) -> list[tuple[str, Method]]:
    """The given fields that a method of decoding does not read, each with the method that does."""
    return [(name, reader) for name, reader in _READERS.items() if name in given and method != reader]
