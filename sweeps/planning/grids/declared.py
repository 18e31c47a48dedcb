"""The seeds of a grid in a study that declares their number beforehand."""

from __future__ import annotations

from collections.abc import Iterable

from lvae_core.config import RunConfig
from lvae_core.run_folder.declared_seeds import (
    FILE,
    DeclaredSeeds,
    count_text,
    declare_seeds,
    read_declared_seeds,
)
from lvae_core.run_folder.folder import Study
from lvae_core.run_folder.names import RunName


def declare(
    study: Study, folder: str, configs: Iterable[RunConfig], seeds: int | None, *, is_dry_run: bool
) -> list[str]:
    """Declare a number of seeds if one is given, and compare the grid with what its study has declared.

    Args:
        study: keeps the runs.
        folder: the study, as the user would write it.
        configs: the grid.
        seeds: the number to declare; None: none.
        is_dry_run: whether to write nothing.

    Returns:
        Lines for the user.

    Raises:
        InputError: the study cannot be written, or has declared another number.
        DamagedError: its declaration is not what was written.
        OSError: the storage cannot be read.
    """
    lines = []
    if seeds is None or is_dry_run:
        declared = read_declared_seeds(study)
    else:
        study.check_writable()
        declared = declare_seeds(study, seeds)
        lines.append(f"{folder}: {declared.words}")
    if seeds is not None and is_dry_run:
        lines.append(f"{folder}: without --dry-run, this declares {count_text(seeds)} in {FILE}")
    if declared:
        present = {name.seed for name in map(RunName.parse, study.run_names()) if name}
        lines += _comparison(declared, folder, len(present | {config.seed for config in configs}))
    return lines


def _comparison(declared: DeclaredSeeds, folder: str, seeds: int) -> Iterable[str]:
    """A line if a study will have another number of seeds than it has declared."""
    if seeds < declared.seeds:
        outcome = f"p-values stay interim until all {declared.seeds} are done"
    elif seeds > declared.seeds:
        outcome = f"reports will say that {count_text(seeds - declared.seeds)} more were added"
    else:
        return
    yield f"{folder}: {declared.words}; with this sweep it has {seeds}: {outcome}"
