"""The average of one estimate over seeds, with its errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.stats.intervals import Interval, t_interval
from lvae_core.run_folder.estimates import is_unreliable


@dataclass(frozen=True)
class Average:
    """One estimate over the seeds of a cell."""

    n: int
    mean: float
    std: float | None
    """Sample standard deviation (ddof = 1); None for n = 1, and if it is too large to be computed."""
    mc_stderr: float | None
    """Monte Carlo standard error of the mean: root mean square of the seeds' errors / sqrt(n). The spread
    over seeds already contains it. None if nothing was sampled, or if it is too large to be computed."""
    seeds: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    """One per seed."""
    mc_stderrs: tuple[float | None, ...] = ()
    """Monte Carlo standard error of each seed's value: by the jackknife over draws if that is recorded,
    which holds for heavy-tailed importance weights, too."""
    bca: Interval | None = None
    """95% bootstrap interval; None until :func:`analysis.stats.over_seeds.with_bootstrap` adds it."""
    runs: tuple[str, ...] = field(default=(), compare=False)
    """Names of the runs, one per value."""
    ess: float | None = None
    """Effective sample size of the importance weights, mean over sentences and runs; None if no run
    recorded it, or if there are no weights."""
    khat_above: float | None = None
    """Share of sentences whose weights have a Pareto shape above 0.7, mean over runs; None if unknown,
    as it is with 20 draws or fewer."""
    heavy_runs: tuple[int, int] = (0, 0)
    """The number of its runs whose own share makes their number unreliable, and of those that recorded
    it."""

    @property
    def unreliable(self) -> bool:
        """Whether a few draws decide the estimate, so that it may be far from its expectation.

        Also of one with weights from too few draws to tell.
        """
        return is_unreliable(self.ess, self.khat_above)

    @property
    def stderr(self) -> float | None:
        """Standard error of the mean; None without a std."""
        return None if self.std is None else self.std / math.sqrt(self.n)

    @property
    def interval(self) -> Interval | None:
        """95% t interval of the mean; None without a std."""
        return t_interval(self.n, self.mean, self.std)

    @property
    def minimum(self) -> float | None:
        """The lowest seed's value."""
        return min(self.values, default=None)

    @property
    def maximum(self) -> float | None:
        """The highest seed's value."""
        return max(self.values, default=None)

    def by_seed(self) -> dict[int, float]:
        """Seed -> value."""
        return dict(zip(self.seeds, self.values, strict=True))


def average(
    seeds: NDArray[np.int64], values: NDArray[np.float64], mc_stderrs: NDArray[np.float64]
) -> Average:
    """Average one estimate over seeds; a Monte Carlo error of NaN is unknown."""
    with np.errstate(over="ignore", invalid="ignore"):
        mc_stderr = float(np.sqrt(np.mean(mc_stderrs**2) / len(values)))
    return Average(
        n=len(values),
        mean=finite_mean(values),
        std=finite_std(values),
        mc_stderr=mc_stderr if math.isfinite(mc_stderr) else None,
        seeds=tuple(map(int, seeds)),
        values=tuple(map(float, values)),
        mc_stderrs=tuple(None if math.isnan(error) else float(error) for error in mc_stderrs),
    )


def finite_mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The mean of finite values; it is finite even if their sum is not."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.mean(values))
        if math.isfinite(mean):
            return mean
        # Only then in another unit, which could change the last digit of an ordinary mean.
        unit = np.abs(values).max()
        return float(np.mean(np.asarray(values) / unit) * unit) if np.isfinite(unit) else mean


def finite_std(values: Sequence[float] | NDArray[np.float64]) -> float | None:
    """Sample standard deviation (ddof = 1); None for one value, and if its square is no finite number."""
    if len(values) < 2:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        std = float(np.std(values, ddof=1))
        if not math.isfinite(std):
            return None
        # The mean of equal values may be a last digit away from them.
        return 0.0 if np.ptp(values) == 0 else std
