"""The seeds of a grid in a study that declares their number beforehand."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.messages import numbered
from lvae_core.run_folder.declared_seeds import (
    FILE,
    check_declared_seeds,
    read_declared_seeds,
)
from lvae_core.run_folder.names import RunName
from lvae_core.run_folder.study import Study


def check_declarable(study: Study, configs: Iterable[RunConfig], seeds: int) -> None:
    """Refuse a declaration that would be of no use. The study's own may be repeated.

    Args:
        study: keeps the runs.
        configs: the grid.
        seeds: the number to declare.

    Raises:
        InputError: the grid has more seeds; the study has declared another number; or it has results, so
            that the number would not be fixed beforehand.
        DamagedError: its declaration is not what was written.
        OSError: the storage cannot be read.
    """
    planned = {config.seed for config in configs}
    if len(planned) > seeds:
        raise InputError(
            f"--declare-seeds {seeds}: this grid has {numbered(len(planned), 'seed')}; declare as "
            "many, or give fewer --seeds"
        )
    check_declared_seeds(study, seeds)
    if read_declared_seeds(study) is None:
        finished = sum(study.run(name).has("result.json") for name in study.run_names())
        if finished:
            raise InputError(
                f"--declare-seeds {seeds}: {study.given} has {numbered(finished, 'finished run')}, so the "
                "number would not be fixed beforehand and make no p-value better; leave the option out, or "
                "give another --study"
            )


def declaration_note(
    study: Study, configs: Iterable[RunConfig], seeds: int | None, *, dry_option: str = ""
) -> list[str]:
    """Compare a grid with what its study has declared, or will have when its first run starts.

    Args:
        study: keeps the runs.
        configs: the grid.
        seeds: the number to declare; None: none.
        dry_option: the option because of which nothing will be declared, such as ``--dry-run``.

    Returns:
        A line for the user, or none if no number is declared or there is nothing to say about it.

    Raises:
        DamagedError: its declaration is not what was written.
        OSError: the storage cannot be read.
    """
    if declared := read_declared_seeds(study):
        number, what = declared.seeds, declared.words
    elif seeds is not None:
        without = f"without {dry_option}, " if dry_option else ""
        number, what = seeds, f"{without}this declares {numbered(seeds, 'seed')} in {FILE}"
    else:
        return []
    present = {name.seed for name in map(RunName.parse, study.run_names()) if name}
    outcome = _outcome(number, present | {config.seed for config in configs})
    return [f"{study.given}: {what}{outcome}"] if outcome or seeds is not None else []


def _outcome(declared: int, seeds: Collection[int]) -> str:
    """The consequence if a study will have other seeds than it has declared; "" if it has as many."""
    if len(seeds) == declared:
        return ""
    outcome = f"p-values stay interim until all {declared} are done"
    if len(seeds) > declared:
        outcome = f"reports will say that {numbered(len(seeds) - declared, 'seed', 'was')} added"
    return f"; with this sweep it has {len(seeds)}: {outcome}"
