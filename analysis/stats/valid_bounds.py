"""Which estimates are valid bounds of a system, and the tightest of a cell."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.stats.cells import Cell, joint_latent

VALID = ("exact", "upper bound", "upper bound in expectation")


@dataclass(frozen=True)
class _Way:
    """One way to count a cell's nats."""

    name: str
    estimate: str
    """Without its nll or ppl: "", "_elbo", "_joint", …"""


_EXACT = (_Way("exact", ""),)


_ONE_LATENT = (_Way("ELBO", "_elbo"), _Way("IW", "_iw"))


_JOINT_LATENT = (
    _Way("ELBO, paper's", "_elbo"),
    _Way("ELBO, joint", "_joint"),
    _Way("IW, paper's", "_iw"),
    _Way("IW, joint", "_iw_joint"),
)


def _ways(cell: Cell) -> tuple[_Way, ...]:
    if cell.averaging == "none":
        return _EXACT
    return _JOINT_LATENT if joint_latent(cell) else _ONE_LATENT


def tightest(cell: Cell) -> str | None:
    """The estimate of the lowest valid NLL, without its ``nll``: "", "_iw_joint", …; None: it has none."""
    valid = {
        way.estimate: cell.averages[f"nll{way.estimate}"].mean
        for way in _ways(cell)
        if f"nll{way.estimate}" in cell.averages and cell.bound(f"nll{way.estimate}") in VALID
    }
    return min(valid, key=lambda name: valid[name]) if valid else None
