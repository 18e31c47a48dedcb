"""The order of runs whose encoders start from other runs of the same launch."""

from __future__ import annotations

from collections.abc import Iterable

from sweeps.launching.display import Display
from sweeps.planning.plan import PlannedRun


class Families:
    """Holds waiting runs back until their parents are trained."""

    def __init__(self, runs: Iterable[PlannedRun], display: Display) -> None:
        self._display, self._board = display, display.board
        self._waits_for = {run.name: run.waits_for for run in runs if run.waits_for}
        self._parents = frozenset(self._waits_for.values())

    def is_parent(self, name: str) -> bool:
        """Whether another run waits for this one."""
        return name in self._parents

    def ready(self) -> list[str]:
        """The waiting runs that may begin now. A run whose parent has failed is dropped from the board."""
        board = self._board
        ready = []
        for name in list(board.waiting):
            parent = self._waits_for.get(name)
            if parent in board.failures:
                board.drop(name)
                self._display.say(
                    f"{board.label(name)}: not started, because {board.label(parent)}, from which its "
                    "encoder starts, has failed"
                )
            elif parent not in board.waiting and parent not in board.running and parent not in board.held:
                ready.append(name)
        return ready
