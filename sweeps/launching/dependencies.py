"""Dependencies of runs on others of the same launch: on a parent, or on the parts of their evaluation."""

from __future__ import annotations

from collections.abc import Iterable

from sweeps.launching.progress.display import Display
from sweeps.planning.evaluation_parts import EvaluationPart
from sweeps.planning.plan import PlannedRun


class Dependencies:
    """Dependencies of waiting runs on a parent that is trained first, and on parts of their evaluation."""

    def __init__(
        self, runs: Iterable[PlannedRun], display: Display, *, parts: Iterable[EvaluationPart]
    ) -> None:
        self._display, self._board = display, display.board
        self._waits_for = {run.name: run.waits_for for run in runs if run.waits_for}
        self._parents = frozenset(self._waits_for.values())
        self._runs_of_parts = {part.name: part.run for part in parts}
        self._dropped: set[str] = set()

    def is_parent(self, name: str) -> bool:
        """Whether another run waits for this one."""
        return name in self._parents

    def drop_orphans(self) -> None:
        """Drop the waiting runs whose parents have failed from the board, with a line for each."""
        while lost := [name for name in self._board.waiting if self._has_lost_parent(name)]:
            for name in lost:  # each may be the parent of others
                self._drop(name)

    def ready(self) -> list[str]:
        """The waiting runs that may begin now."""
        board = self._board
        ready = []
        left = (board.waiting, board.running, board.held)
        divided = {run for part, run in self._runs_of_parts.items() if any(part in names for names in left)}
        for name in list(board.waiting):
            parent = self._waits_for.get(name)
            if name not in divided and not any(parent in names for names in left):
                ready.append(name)
        return ready

    def _has_lost_parent(self, name: str) -> bool:
        parent = self._waits_for.get(name)
        return parent in self._board.failures or parent in self._dropped

    def _drop(self, name: str) -> None:
        parent, label = self._waits_for[name], self._board.label
        why = "was not started" if parent in self._dropped else "has failed"
        self._board.drop(name)
        self._dropped.add(name)
        self._display.say(
            f"{label(name)}: not started, because {label(parent)}, from which its encoder starts, {why}"
        )
