"""Say before a sweep that its number of seeds can make no comparison of its report significant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lvae_core.config import RunConfig
from lvae_core.identity import fields_read, fingerprint
from lvae_core.messages import numbered
from lvae_core.run_folder.declared_seeds import read_declared_seeds
from lvae_core.run_folder.names import CellName, RunName, run_name
from lvae_core.run_folder.study import Study
from sweeps.planning.grids.overview import UNREAD, axes_of, value_text
from sweeps.planning.plan import PlannedRun, by_variant


@dataclass(frozen=True)
class _Family:
    """The comparisons of one dataset and setting, which Holm's correction is over."""

    words: str
    seeds: tuple[int, ...]
    """The number of common seeds of each comparison."""
    needed: int
    """Seeds with which each of them can be significant."""
    few: tuple[int, ...]
    """The number of common seeds of those that cannot be significant, whatever the numbers are."""


def seeds_note(
    runs: Sequence[PlannedRun], data_sha256: Mapping[str, str], study: Study, declared: int | None = None
) -> str:
    """Say in one line that comparisons of a grid's cells have too few seeds to be significant; else "".

    Seeds of a run that the study holds already count, and so do those that it declares.

    Args:
        runs: the grid.
        data_sha256: dataset, as the configs name it -> content hash.
        study: keeps them.
        declared: the number of seeds that the launch would declare; None: none.

    Raises:
        DamagedError: the declaration of the study is not what was written.
        OSError: the storage cannot be read.
    """
    try:
        from analysis.stats.paired import ALPHA, smallest_p  # slow to import
    except ModuleNotFoundError:  # a machine that only plans and runs may lack what reports need
        return ""

    record = read_declared_seeds(study)
    families = list(_families(runs, data_sha256, study, record.seeds if record else declared or 0))
    short = [family for family in families if family.few]
    if not short:
        return ""
    worst = max(short, key=lambda family: family.needed)
    few = {n for family in short for n in family.few}
    n, family = max(few), len(worst.seeds)
    seeds = f"{'at most ' if len(few) > 1 else ''}{numbered(n, 'seed')}"
    count, total = sum(len(f.few) for f in short), sum(len(f.seeds) for f in families)
    which = "no comparison" if count == total else f"{count} of {total} comparisons"
    after = f", after Holm's correction of the {family} comparisons of {worst.words}" if family > 1 else ""
    if n < 2:
        which = "no comparison is possible" if count == total else f"{which} are not possible"
        return f"{seeds}: {which}; {worst.needed} seeds allow a significant one{after}"
    p, cannot = smallest_p(n), "can" if count == total else "cannot"
    # With one p for all of them, the correction multiplies by the number of those that are possible.
    counted = sum(k > 1 for k in worst.seeds)
    corrected = f" ({min(1.0, p * counted):.2g} corrected)" if counted > 1 and p <= ALPHA else ""
    return (
        f"{seeds}: the sign-flip test's smallest p is {p:.4g}{corrected}, so {which} {cannot} be "
        f"significant at {ALPHA:.0%}; {worst.needed} seeds could{after}"
    )


def _families(
    runs: Sequence[PlannedRun], data_sha256: Mapping[str, str], study: Study, declared: int
) -> Iterator[_Family]:
    """The comparisons that a report on the grid makes, by its own choice of pairs."""
    from analysis.stats.cells import Cell, Counts
    from analysis.stats.paired import ALPHA, holm, seeds_needed, smallest_p
    from analysis.stats.pairs import pairs_to_compare

    present: dict[CellName, dict[int, set[str]]] = {}
    for folder in study.run_names():
        if found := RunName.parse(folder):
            present.setdefault(found.cell, {}).setdefault(found.seed, set()).add(folder)
    variants = list(by_variant(runs).values())
    fields = _varied_fields([variant[0].config for variant in variants])
    seeds: dict[int, set[int]] = {}
    cells: dict[tuple[str, str], list[Cell]] = {}
    for variant in variants:
        config = variant[0].config
        name = CellName.of(config)
        values = {field: value_text(config, field) for field in fields[_row(name)]}
        varied = {field: text for field, text in values.items() if text != UNREAD}
        cell = Cell(
            name.dataset, name.system, name.num_samples, name.setting,
            variant=", ".join(f"{field}={text}" for field, text in varied.items()),
            averaging=config.averaging,
            counts=Counts(done=len(variant)),
            averages={},
            varied=varied,
            training={field: getattr(config, field) for field in fields_read(config, "training")},
        )  # fmt: skip
        further = {
            seed
            for seed, folders in present.get(name, {}).items()
            if _name_of(replace(config, seed=seed), data_sha256) in folders
        }
        seeds[id(cell)] = {run.config.seed for run in variant} | further
        cells.setdefault((name.dataset, name.setting), []).append(cell)
    for words, of_one in cells.items():
        pairs = pairs_to_compare(of_one)
        if pairs:
            common = [max(len(seeds[id(a)] & seeds[id(b)]), declared) for a, b in pairs]
            best = holm([smallest_p(n) if n > 1 else None for n in common])  # as the report counts them
            few = tuple(n for n, p in zip(common, best, strict=True) if p is None or p > ALPHA)
            yield _Family(", ".join(words), tuple(common), seeds_needed(len(pairs)), few)


def _name_of(config: RunConfig, data_sha256: Mapping[str, str]) -> str:
    return run_name(config, fingerprint(config, data_sha256[config.dataset]))


def _row(name: CellName) -> tuple[str, str, int]:
    return name.dataset, name.system, name.num_samples


def _varied_fields(configs: Sequence[RunConfig]) -> dict[tuple[str, str, int], list[str]]:
    """Dataset, system and L -> the fields in which their runs differ."""
    rows: dict[tuple[str, str, int], list[RunConfig]] = {}
    for config in configs:
        rows.setdefault(_row(CellName.of(config)), []).append(config)
    return {row: axes_of(of_row) for row, of_row in rows.items()}
