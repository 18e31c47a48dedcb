"""A cell of the tables (dataset × system × setting × L), one for each variant of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.reading.frame import STATUSES
from analysis.stats.average import Average
from analysis.stats.texts import Text
from lvae_core.run_folder.estimates import UNUSED, Bound, bound
from lvae_core.systems import SYSTEMS, recipe

SYSTEM_ORDER = tuple(SYSTEMS)
"""The order of the rows of tables."""


def same_with_one_sample(system: str) -> str | None:
    """The system that averages losses and is otherwise ``system``, which averages hidden states.

    With one sample both are the same model. None if ``system`` is not known or averages no hidden states.
    """
    if system not in SYSTEMS or (own := recipe(system)).averaging != "hidden":
        return None
    plain = dataclasses.replace(own, averaging="loss")
    others = (name for name in SYSTEMS if dataclasses.replace(recipe(name), system=system) == plain)
    return next(others, None)


@dataclass(frozen=True)
class Counts:
    """The number of runs of a cell by status."""

    done: int = 0
    running: int = 0
    failed: int = 0
    unfinished: int = 0
    damaged: int = 0
    missing: int = 0
    """Seeds that the cell should have and does not; see analysis/stats/missing_runs.py."""
    failures: tuple[tuple[str, int], ...] = field(default=(), compare=False)
    """Class of failure, as in failure.json, and its number of runs."""

    @property
    def by_status(self) -> dict[str, int]:
        """The number of runs of each status."""
        return {status: getattr(self, status) for status in STATUSES}

    @property
    def total(self) -> int:
        """The number of runs of any status."""
        return sum(self.by_status.values())

    @property
    def all_failed(self) -> bool:
        """Whether there are runs, and all of them failed."""
        return 0 < self.failed == self.total - self.missing


@dataclass(frozen=True)
class Cell:
    """One variant of a cell (dataset × system × setting × L) with its averages over seeds."""

    dataset: str
    system: str
    num_samples: int
    setting: str
    variant: str
    """The fields in which the variants of the system differ, ``max_epochs=3``; empty for a single one."""
    averaging: str
    """none, loss or hidden; empty if neither a config nor a recipe says it."""
    counts: Counts
    averages: Mapping[str, Average]
    """Estimate -> average over the finished runs."""
    hours: Average | None = field(default=None, compare=False)
    """Device-hours per finished run: training and evaluation, over all attempts."""
    devices: tuple[str, ...] = field(default=(), compare=False)
    """The kinds of device of its finished runs, where recorded."""
    parameters: int | None = field(default=None, compare=False)
    """The number of trained parameters of the model; None if no finished run recorded it."""
    true_nll: float | None = field(default=None, compare=False)
    """-log p(x) of the test split under the model that the data were drawn from, if it is known."""
    text: Text | None = field(default=None, compare=False)
    """The test text of its finished runs; None if there is none."""
    shown: bool = field(default=True, compare=False)
    """Whether tables for reading show it; see analysis/tables/elements/shown_variants.py."""
    short_name: str | None = field(default=None, compare=False)
    """The short name of its variant, ``latent_size=4``, ``A`` or ``trial 3``; empty if its row shows no
    other; None if it was not named."""
    of_search: bool = field(default=False, compare=False)
    """Whether it is a trial of a search, or the recipe that the trials are compared with."""
    varied: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Field -> value, as text, of the fields of ``variant``."""
    training: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Field -> value, of the TRAINING_FIELDS of analysis/stats/departures.py that its runs read."""
    objective: str = field(default="", compare=False)
    """The loss that its runs were trained by; empty if unknown, or if there is only one."""
    tested_kl_weight: float | None = field(default=None, compare=False)
    """The largest β below its full value at a tested epoch, if z is unused and the tested epoch of at least
    half of the runs lies within KL annealing; else None."""
    annealing_runs: int = field(default=0, compare=False)
    """The number of its finished runs whose tested epoch lies within KL annealing."""
    outlasts_annealing: bool = field(default=False, compare=False)
    """Whether any run that was tested within KL annealing was trained to its end or longer."""

    @property
    def joint_latent(self) -> bool:
        """Whether the decoder reads several samples at once: then the KL of one does not cover all."""
        return self.averaging == "hidden" and self.num_samples > 1

    @property
    def variant_name(self) -> str:
        """Its variant in tables and figures: the short name if it has one, else the fields that differ."""
        return self.variant if self.short_name is None else self.short_name

    @property
    def idle_posterior(self) -> bool:
        """Whether the encoder's posterior says next to nothing about a sentence, in most of its runs."""
        return "mi" in self.averages and mostly_idle(self.averages["mi"])

    @property
    def unused_latent(self) -> bool:
        """Whether neither the posterior nor the decoder uses z: in effect the cell is a language model.

        A decoder that ignores z gives every z the same log p(x|z), so no draws give a lower number than
        their mean. One that reads z does, even if q(z|x) = p(z).
        """
        return self.idle_posterior and not self._decoder_reads_latent

    @property
    def _decoder_reads_latent(self) -> bool:
        kind, read = ("_joint", self.num_samples) if self.joint_latent else ("", 1)
        names = f"nll{kind or '_elbo'}", "kl", f"nll_iw{kind}"
        if not all(name in self.averages for name in names):
            return False
        elbo, kl, weighted = (self.averages[name].mean for name in names)
        return elbo - read * kl - weighted >= UNUSED

    @property
    def idle_runs(self) -> int:
        """The number of its runs whose posterior says next to nothing about a sentence."""
        return sum(value < UNUSED for value in self.averages["mi"].values) if "mi" in self.averages else 0

    @property
    def collapsed(self) -> bool:
        """Whether z is unused although most runs were held to the full KL."""
        return self.unused_latent and self.tested_kl_weight is None

    def estimate(self, metric: str) -> str:
        """The name of the estimate that ``metric`` stands for by the published convention.

        For ``nll`` and ``ppl`` it is the ELBO with the KL counted once, or the exact value of a model
        without a latent variable; any other metric is an estimate's name already.
        """
        return f"{metric}_elbo" if metric in ("nll", "ppl") and self.averaging != "none" else metric

    def bound(self, estimate: str) -> Bound | None:
        """Say whether ``estimate`` bounds -log p(x) of this cell's model."""
        return bound(estimate, self.averaging, self.num_samples)


def mostly_idle(mi: Average) -> bool:
    """Whether most runs have a mutual information of sentence and z below UNUSED.

    Their mean would be low if all runs used z a little, and high if one of them used it much.
    """
    return 2 * sum(value < UNUSED for value in mi.values) > mi.n


def table_order(cell: Cell) -> tuple[Any, ...]:
    """Sorting key: the order of the recipes, other systems after them."""
    known = cell.system in SYSTEM_ORDER
    place = SYSTEM_ORDER.index(cell.system) if known else len(SYSTEM_ORDER)
    # Variants are not part of the key: the sort is stable and keeps their order.
    return (cell.dataset, place, cell.system, cell.num_samples, cell.setting != "standard")
