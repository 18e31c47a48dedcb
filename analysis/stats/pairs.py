"""Choose the pairs of cells that are compared: each further one makes Holm's correction stricter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.reading.chosen_fields import parse_chosen
from analysis.stats.cells import Cell
from analysis.stats.field_texts import field_text, field_texts
from lvae_core.errors import InputError
from lvae_core.systems import baselines_of


@dataclass(frozen=True)
class Baseline:
    """The systems and variants that a user has chosen to compare cells with; each choice may be empty."""

    systems: tuple[str, ...] = ()
    """Every cell is compared with these, instead of the baselines of its own system."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Config field -> value: variants are compared with the one that has these, instead of the first."""

    @classmethod
    def parse(cls, words: Iterable[str]) -> Baseline:
        """Read the words of ``--baseline``: names of systems, and ``FIELD=VALUE``.

        Raises:
            InputError: a field is unknown, or its value of the wrong type.
        """
        words = list(words)
        systems = tuple(word for word in words if "=" not in word)
        return cls(systems, parse_chosen((word for word in words if "=" in word), "--baseline"))

    def check(self, cells: Sequence[Cell]) -> None:
        """Raise InputError unless finished cells have what was chosen."""
        done = [cell for cell in cells if cell.counts.done]
        systems = dict.fromkeys(cell.system for cell in done)
        for system in self.systems:
            if system not in systems:
                among = f"run of it has finished; choose from {', '.join(systems)}"
                raise InputError(f"--baseline {system}: no {among if systems else 'run has finished'}")
        if done and self.settings and not any(map(self.is_variant, done)):
            varied = dict.fromkeys(f"{name}={text}" for cell in done for name, text in cell.varied.items())
            wanted = " ".join(f"{name}={field_text(value)}" for name, value in self.settings.items())
            remedy = f"choose from {', '.join(varied)}" if varied else "leave it out"
            raise InputError(f"--baseline {wanted}: no variant with finished runs has this; {remedy}")

    def is_variant(self, cell: Cell) -> bool:
        """Whether a cell has all the values that were chosen, if any were."""
        return bool(self.settings) and all(
            cell.varied.get(name) in (field_text(value), *field_texts([value]).values())
            for name, value in self.settings.items()
        )

    def of_system(self, cell: Cell) -> tuple[str, ...]:
        """The systems that a cell is compared with."""
        return self.systems or baselines_of(cell.system)

    def of_variants(self, cells: Sequence[Cell]) -> Cell:
        """The cell that the other variants of a system and L are compared with: else the first."""
        return next(filter(self.is_variant, cells), cells[0])


OWN_BASELINES = Baseline()
"""Each system's own, and the first of its variants."""


def pairs_to_compare(cells: Sequence[Cell], baseline: Baseline = OWN_BASELINES) -> list[tuple[Cell, Cell]]:
    """The pairs worth comparing among cells of one dataset and setting.

    Each system is paired with its baselines (a latent-variable baseline of the same L; if the user chose
    one that lacks it, with each L that it has), its variants with their :func:`counterpart`, and each
    variant of a system with one over the same text.
    """
    done = [cell for cell in cells if cell.counts.done]
    pairs: dict[frozenset[int], tuple[Cell, Cell]] = {}
    for cell in done:
        others = [
            _chosen(cell, candidates, baseline)
            for system in baseline.of_system(cell)
            for candidates in _candidates(cell, system, done, baseline)
        ]
        variants = [c for c in done if (c.system, c.num_samples) == (cell.system, cell.num_samples)]
        variants = [c for c in variants if c.text == cell.text]
        for other in (*others, baseline.of_variants(variants)):
            if other is not None and other is not cell:
                # Two chosen baselines meet twice: the row that comes later is compared with the other.
                pairs[frozenset((id(cell), id(other)))] = cell, other
    return list(pairs.values())


def unpaired(
    cells: Sequence[Cell], baseline: Baseline = OWN_BASELINES
) -> list[tuple[Cell, str, list[Cell]]]:
    """Cells of one dataset and setting that no cell of a baseline is the counterpart of.

    Returns:
        For each, the system of the baseline and its cells, of which none can be chosen.
    """
    done = [cell for cell in cells if cell.counts.done]
    return [
        (cell, system, candidates)
        for cell in done
        for system in baseline.of_system(cell)
        for candidates in _candidates(cell, system, done, baseline)
        if _chosen(cell, candidates, baseline) is None
    ]


def _candidates(cell: Cell, system: str, cells: Sequence[Cell], baseline: Baseline) -> list[list[Cell]]:
    """The system's cells over the same text, of each L that can be compared."""
    of_system = [c for c in cells if c.system == system and c.text == cell.text]
    # A language model has no L (0), and is the baseline at every L.
    same = [c for c in of_system if c.num_samples in (0, cell.num_samples)]
    if same or system not in baseline.systems:
        return [same] if same else []
    return [
        [c for c in of_system if c.num_samples == L]
        for L in dict.fromkeys(c.num_samples for c in of_system)
    ]


def _chosen(cell: Cell, candidates: Sequence[Cell], baseline: Baseline) -> Cell | None:
    """The counterpart of a cell among a system's cells of one L, or the chosen variant."""
    return counterpart(cell, candidates) or next(filter(baseline.is_variant, candidates), None)


def counterpart(cell: Cell, candidates: Sequence[Cell]) -> Cell | None:
    """The candidate that a cell is to be compared with: the only one, or else that of its variant.

    Variants of two systems match if they agree in each field that varies and that both read: with a latent
    size of 16 and a dropout of 0.3, the language model's variant is that with a dropout of 0.3.

    Returns:
        None if no candidate matches, or several.
    """
    if len(candidates) == 1:
        return candidates[0]
    if same := [c for c in candidates if c.variant == cell.variant]:
        return same[0]
    matching = [c for c in candidates if _agree(cell, c)]
    return matching[0] if len(matching) == 1 else None


def _agree(a: Cell, b: Cell) -> bool:
    def values(name: str) -> tuple[Any, Any] | None:
        for of_a, of_b in ((a.training, b.training), (a.varied, b.varied)):
            if name in of_a and name in of_b:
                return of_a[name], of_b[name]
        return None

    pairs = [pair for name in {*a.varied, *b.varied} if (pair := values(name))]
    return all(of_a == of_b for of_a, of_b in pairs)
