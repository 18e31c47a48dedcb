"""The rules of a search: how many trials, in which rounds, and which of them are continued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lvae_core.errors import InputError
from sweeps.trials.proposals import Sampler
from sweeps.trials.space import MAX_WHOLE

Rule = Literal["rounds", "asha"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of a search."""

    trials: int
    """The number of trials in all."""
    at_once: int
    """The number of trials in a round; what a round proposes depends on the rounds before it."""
    sampler: Sampler = "tpe"
    rungs: tuple[int, ...] = ()
    """Epochs after which only the better trials of a round continue ..."""
    keep: int = 3
    """... one in this many."""
    rule: Rule = "rounds"
    """rounds: a rung compares the trials of a round. asha: it compares all trials that have reached it."""
    objectives: tuple[str, ...] = ("nll",)
    """See :data:`sweeps.trials.objectives.OBJECTIVES`."""

    @property
    def lasting(self) -> dict[str, str]:
        """The rules that a search keeps when continued; the defaults of later options are left out."""
        rungs = " ".join(map(str, self.rungs)) or "none"
        lasting = {"sampler": self.sampler, "rungs": rungs, "keep": str(self.keep)}
        lasting |= {"rule": self.rule} if self.rule != "rounds" else {}
        return lasting | ({"objective": " ".join(self.objectives)} if len(self.objectives) > 1 else {})

    def check(self, max_epochs: int) -> None:
        """Raise InputError unless the rules can be used with runs of ``max_epochs`` epochs."""
        for option, value, least in (
            *(("--trials", self.trials, 1), ("--at-once", self.at_once, 1), ("--keep", self.keep, 2)),
            *(("--rungs", epoch, 1) for epoch in self.rungs),
        ):
            if value < least:
                raise InputError(f"{option} {value}: must be at least {least}")
            if value > MAX_WHOLE:
                raise InputError(f"{option} {value}: must be at most {MAX_WHOLE}")
        if self.rule == "asha" and not self.rungs:
            raise InputError("--rule asha: give --rungs, the epochs after which trials are compared")
        if self.rungs and self.at_once == 1 and self.rule == "rounds":
            raise InputError("--rungs with --at-once 1: a round of one drops no trial; give more at once")
        if list(self.rungs) != sorted(set(self.rungs)) or any(r >= max_epochs for r in self.rungs):
            given = " ".join(map(str, self.rungs))
            raise InputError(f"--rungs {given}: must rise, and end below max_epochs = {max_epochs}")
