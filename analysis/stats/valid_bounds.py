"""The conventions by which a cell's NLL is computed, the tightest valid bound, and the one to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.stats.cells import Cell

VALID = ("exact", "upper bound", "upper bound in expectation")
"""The words for numbers by which models may be compared; see ``lvae_core.run_folder.estimates``."""


@dataclass(frozen=True)
class Convention:
    """A convention for NLL and PPL: how the KL is counted, and whether draws are importance-weighted."""

    name: str
    """Its name in the table of bounds. Ratios are p(z)/q(z|x) of the L samples of a draw."""
    suffix: str
    """Suffix of its estimates' names in result.json, after ``nll`` or ``ppl``."""

    @property
    def words(self) -> str:
        """Its name without a comma, for sentences: ``joint ELBO``."""
        kind, _, which = self.name.partition(", ")
        return f"{which} {kind}".strip()

    @property
    def nll(self) -> str:
        """The name of its NLL in result.json."""
        return f"nll{self.suffix}"

    @property
    def ppl(self) -> str:
        """The name of its perplexity in result.json."""
        return f"ppl{self.suffix}"


PUBLISHED_ELBO = Convention("ELBO, published convention", "_elbo")
JOINT_ELBO = Convention("ELBO, joint", "_joint")

_EXACT = (Convention("exact", ""),)
_AMORTISED = Convention("ELBO, amortised", "_elbo_amortised")  # of semi-amortised inference alone
_ONE_LATENT = (Convention("ELBO", "_elbo"), _AMORTISED, Convention("IW", "_iw"))
_JOINT_LATENT = (
    PUBLISHED_ELBO,
    _AMORTISED,
    JOINT_ELBO,
    Convention("IW, mean of ratios", "_iw"),
    Convention("IW, one ratio", "_iw_one"),
    Convention("IW, joint", "_iw_joint"),
)


def conventions(cell: Cell) -> tuple[Convention, ...]:
    """The conventions that make sense for a cell's model, in the order of the table of bounds."""
    if cell.averaging == "none":
        return _EXACT
    return _JOINT_LATENT if cell.joint_latent else _ONE_LATENT


def tightest(cell: Cell) -> Convention | None:
    """The valid convention with the lowest mean NLL, reliable or not; None if no finished run has one."""
    return _lowest(cell, _valid(cell))


def to_compare(cell: Cell) -> Convention | None:
    """The convention by which a cell is compared: the tightest reliable one, else :func:`tightest`.

    An unreliable number supports no conclusion, and must not hide a bound that does.
    """
    reliable = [c for c in _valid(cell) if not cell.averages[c.nll].unreliable]
    return _lowest(cell, reliable) or tightest(cell)


@dataclass(frozen=True)
class Substitute:
    """The reliable convention by which a cell is compared in place of a lower, unreliable one."""

    used: Convention
    unreliable: Convention

    @classmethod
    def of(cls, cell: Cell) -> Substitute | None:
        """The substitute of a cell; None if it is compared by its tightest number."""
        used, lowest = to_compare(cell), tightest(cell)
        return cls(used, lowest) if used and lowest and used != lowest else None


def _valid(cell: Cell) -> list[Convention]:
    # For a joint-latent cell only the joint conventions are valid, however low the others are.
    return [c for c in conventions(cell) if c.nll in cell.averages and cell.bound(c.nll) in VALID]


def _lowest(cell: Cell, candidates: Sequence[Convention]) -> Convention | None:
    return min(candidates, key=lambda convention: cell.averages[convention.nll].mean, default=None)
