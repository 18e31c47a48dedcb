"""Published numbers, and numbers that follow from them. NLL and KL are in nats per sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Doubt = Literal["", "no", "doubtful"]
"""Whether a published NLL or PPL is a bound: "" yes, "no", or "doubtful" under a condition."""


@dataclass(frozen=True)
class Fact:
    """One published number."""

    table: str
    """The table that shows it: 2 or 3 with an optional letter, or "" for the table of further numbers."""
    dataset: str
    source: str
    """A key, such as ``kruengkrai2019``."""
    system: str
    """The name in this project, such as ``lstm-vae-avg``."""
    name: str
    """The printed name, such as ``LSTM-VAE-AVG``."""
    num_samples: int
    """L; 0 for a model without a latent variable."""
    setting: str
    metric: str
    mean: float
    std: float | None
    decimals: int
    """Number of digits of the mean printed after the point."""
    std_decimals: int
    """The same of the std; 0 without one."""
    runs: int | None = None
    """Number of runs behind mean and std; None if it is not stated."""
    cited_as: str = ""
    """The name of the source in tables."""
    read_in: str = ""
    """Where the number was read, if not in the source itself."""
    beside: bool = False
    """Whether our numbers stand beside it, with their difference."""
    test_split: tuple[int, int] | None = None
    """Sentences and predicted tokens of the test split."""
    bound: Doubt = ""
    defined: bool = True
    """Whether the publication says how it was computed; if not, there is no verdict on it."""
    note: str = ""
    """What a reader must know of it."""
    formula: str = ""
    """Set if it was not printed but converted from printed numbers: how."""
    printed: float | None = None
    """The printed mean that ``mean`` was converted from."""
    marked: bool = False
    """Whether the number itself is marked as no bound, or as a doubtful one, where its row is not."""

    @property
    def cited(self) -> str:
        """The name of the source for readers."""
        return self.cited_as or self.source


@dataclass(frozen=True)
class Derived:
    """A number that follows from published numbers by arithmetic, but was not printed."""

    mean: float
    source: str = ""
    """The source of the numbers, a key."""
    formula: str = ""
    """How it follows from them."""
