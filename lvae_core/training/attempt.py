"""One attempt at a run: the folder it writes, the claim it holds, its identity and its clock.

Only the process that holds the claim on a run may repair its folder. A damaged file is set aside, reported
in one line as a warning to the logger ``lvae.run_folder``, and written again if its content is known from
another source.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.errors import InputError
from lvae_core.evaluation.evaluate import Estimates
from lvae_core.identity import (
    EVALUATION_VERSION,
    evaluation_id,
    fingerprint,
    is_same_training,
    training_differences,
)
from lvae_core.run_folder.claims import Claim, acquire
from lvae_core.run_folder.folder import (
    CHECKPOINT,
    FAILURE,
    DamagedError,
    NewerVersionError,
    RunFolder,
    metrics_sha256,
)
from lvae_core.training.failures import check_finite
from lvae_core.training.initial_encoder import Parent, read_parent
from lvae_core.training.provenance import describe_attempt
from lvae_core.training.runtime import Runtime
from lvae_core.training.state import TrainState, load_checkpoint, save_checkpoint
from lvae_core.training.step_log import StepLog

T = TypeVar("T")
_log = logging.getLogger("lvae.run_folder")
Phase = Literal["train", "evaluate"]

_MOST_FIELDS = 4
"""Differences from another run's config that an error names, at most."""


@contextlib.contextmanager
def open_attempt(
    config: RunConfig, corpus: Corpus, folder: RunFolder, runtime: Runtime, claim: Claim | None
) -> Iterator[Attempt]:
    """Claim the folder, make it this run's and whole, and release it at the end.

    Args:
        config: of the run.
        corpus: the one that ``config`` names.
        folder: the run's.
        runtime: how the run is executed.
        claim: on ``folder``; None: acquire one.

    Raises:
        HeldError: another process holds the run.
        InputError: the folder belongs to another run.
        DamagedError: its result.json is whole and that of another run.
        NewerVersionError: a newer version of the code wrote the folder.
    """
    with claim or acquire(folder, runtime.launch) as claim:
        attempt = Attempt(config, corpus, folder, runtime, claim)
        attempt.result = attempt.open()
        yield attempt


class Attempt:
    """Everything that one attempt at a run reads from and writes to the run's folder."""

    def __init__(
        self, config: RunConfig, corpus: Corpus, folder: RunFolder, runtime: Runtime, claim: Claim
    ) -> None:
        self.config, self.corpus, self.runtime = config, corpus, runtime
        self.identity = fingerprint(config, corpus.data_sha256)
        """The fingerprint that the folder records; a folder of an earlier version keeps its own."""
        self.result: dict[str, Any] | None = None
        """Of the run, once it has one."""
        self._folder, self._claim = folder, claim
        self._begun_as = config
        self._parent: dict[str, Any] = {}
        self._saved = self._clocked = self._logged = time.monotonic()

    # --- opening ---

    def open(self) -> dict[str, Any] | None:
        """Make the folder that of the run and repair what is damaged; return its result if it has one."""
        folder = self._folder
        folder.set_leftovers_aside()
        present = self._intact("config.json", folder.read_config)
        if present is not None and not self._is_this_run(*present):
            raise InputError(
                f"{folder}/config.json: belongs to another run: {self._difference(present[0])}; give "
                "another folder or move this one away"
            )
        if present is None:
            with contextlib.suppress(DamagedError):
                present = folder.read_identity()  # what result.json says
            if present is None or not self._is_this_run(*present):
                present = self.config, self.identity
            folder.write_config(*present)
        self._begun_as, self.identity = present
        self._intact(FAILURE, lambda: folder.read_json(FAILURE))
        result = self._intact("result.json", lambda: folder.read_json("result.json"))
        if result is not None:
            if result.get("fingerprint") != self.identity:
                raise DamagedError(f"{folder}/result.json: not the result of this run; move it away")
            if folder.has(FAILURE):
                folder.clear_failure()
            self._restore_metrics(result["metrics_sha256"])
        return result

    def load(self) -> TrainState | None:
        """Return the state that an earlier attempt saved last; None if there is none."""
        state = load_checkpoint(self._folder, self.identity)
        if state is not None and state.finished_training(self.config) and not state.evaluation.id:
            # Saved before evaluations had an identity: begun with the fields in config.json.
            state.evaluation.id = evaluation_id(self._begun_as)
        return state

    def read_parent(self) -> Parent | None:
        """Read the run that the encoder starts from, if the config names one; see :func:`read_parent`."""
        parent = read_parent(self.config, self.corpus, self._folder)
        self._parent = {"parent": parent.provenance} if parent else {}
        return parent

    def begin(self, state: TrainState) -> None:
        """Take back the metrics that ``state`` does not know yet, and record where this attempt starts."""
        folder, known = self._folder, state.metrics
        rows = self._intact("metrics.jsonl", folder.read_metrics)
        if rows is not None and rows[: len(known)] != known and folder.has("metrics.jsonl"):
            damage = DamagedError(f"{folder}/metrics.jsonl: damaged, not the rows of the checkpoint")
            self._set_aside("metrics.jsonl", damage)
        self.write_metrics(state)
        provenance = self._intact("provenance.json", lambda: folder.read_json("provenance.json"))
        provenance = (provenance or {}) | self._parent
        attempt = describe_attempt(
            from_step=state.step,
            device=self.runtime.device,
            threads=self.runtime.threads,
            precision=state.precision,
            data_sha256=self.corpus.data_sha256,
        )
        attempts = [*provenance.get("attempts", []), attempt]
        folder.write_json("provenance.json", provenance | {"attempts": attempts})

    def read_steps(self) -> list[dict[str, Any]] | None:
        """Return the points within epochs of earlier attempts; None if they are damaged."""
        return self._intact("steps.jsonl", self._folder.read_steps)

    # --- while it runs ---

    def write_steps(self, log: StepLog, older_than: float = 0.0) -> None:
        """Write the points within epochs if there are new ones.

        Args:
            log: the points.
            older_than: leave it if they were written less than so many seconds ago.
        """
        if log.is_changed and time.monotonic() - self._logged >= older_than:
            self._claim.check()
            self._folder.write_steps(log.serialised())
            self._logged = time.monotonic()

    def write_metrics(self, state: TrainState) -> None:
        """Write the rows of the finished epochs."""
        self._claim.check()
        self._folder.write_metrics(state.metrics)

    def save(self, state: TrainState) -> None:
        """Write the whole state as the folder's checkpoint."""
        self._claim.check()
        save_checkpoint(self._folder, state)
        self._saved = time.monotonic()

    def save_is_due(self) -> bool:
        """Whether the last checkpoint is as old as the runtime allows."""
        return time.monotonic() - self._saved >= self.runtime.checkpoint_seconds

    def clock(self, state: TrainState, phase: Phase) -> None:
        """Add the time since the last call to the phase that it was spent in."""
        now = time.monotonic()
        if phase == "train":
            state.train_seconds += now - self._clocked
        else:
            state.evaluate_seconds += now - self._clocked
        self._clocked = now

    def skip_time(self) -> None:
        """Leave out the time since the last call: the run was suspended."""
        self._clocked = time.monotonic()

    # --- closing ---

    def finish(self, state: TrainState, estimates: Estimates, parameters: int) -> None:
        """Write the result, which ends the run.

        Raises:
            DivergedError: an estimate is not finite.
        """
        check_finite(estimates)
        if not self._folder.has(CHECKPOINT):  # a kill while it was written has left the previous one only
            self.save(state)
        test = self.corpus.test
        self.result = {
            "fingerprint": self.identity,
            "config": self.config.to_dict(),
            "data_sha256": self.corpus.data_sha256,
            "metrics_sha256": metrics_sha256(state.metrics),
            "precision": state.precision,
            "estimates": estimates,
            "tokens": test.num_tokens,
            "sentences": len(test),
            **self.corpus.sizes(),
            "parameters": parameters,
            "best_epoch": state.rate.best_epoch,
            "epochs": state.epoch,
            "steps": state.step,
            "steps_per_epoch": self.corpus.train.num_batches(self.config),
            "train_seconds": round(state.train_seconds, 3),
            "evaluate_seconds": round(state.evaluate_seconds, 3),
        }
        if self.corpus.true_nll is not None:
            self.result["true_nll"] = self.corpus.true_nll
        if EVALUATION_VERSION > 1:  # results from before the field are of version 1
            self.result["evaluation_version"] = EVALUATION_VERSION
        self._claim.check()
        self._folder.write_json("result.json", self.result)
        self._folder.clear_failure()

    # --- mending ---

    def _is_this_run(self, present: RunConfig, recorded: str) -> bool:
        return recorded == self.identity or is_same_training(
            recorded, present, self.identity, self.corpus.data_sha256
        )

    def _difference(self, other: RunConfig) -> str:
        """The reason why the folder, whose config is ``other``, is not that of this run."""
        if names := training_differences(self.config, other):
            here, there = vars(self.config), vars(other)
            shown = [f"{name} = {there[name]!r}, here {here[name]!r}" for name in names[:_MOST_FIELDS]]
            more = len(names) - len(shown)
            return "; ".join([*shown, *([f"and {more} more"] if more else [])])
        data, read = self._recorded_data(), self.corpus.data_sha256
        if data is None:
            return "the config is the same, but the data or the version of the code differs"
        if data != read:
            return f"the config is the same, but the data differ (SHA-256 {data[:8]}…, here {read[:8]}…)"
        return "config and data are the same, but the version of the code differs"

    def _recorded_data(self) -> str | None:
        """The content hash of the data that the folder's run was trained on; None if it is not recorded."""
        for file in ("result.json", "provenance.json"):
            with contextlib.suppress(DamagedError):
                values = self._folder.read_json(file) or {}
                for part in (values, *values.get("attempts", [])[-1:]):
                    if isinstance(data := part.get("data_sha256"), str):
                        return data
        return None

    def _intact(self, file: str, read: Callable[[], T]) -> T | None:
        """Return the result of ``read``, or None if the file is damaged, which is then set aside."""
        try:
            return read()
        except NewerVersionError:
            raise
        except DamagedError as damage:
            self._set_aside(file, damage)
            return None

    def _set_aside(self, file: str, damage: DamagedError) -> None:
        _log.warning(f"{damage}; set aside as {self._folder.set_aside(file)}")

    def _restore_metrics(self, sha256: str) -> None:
        """Write metrics.jsonl of a finished run anew from its checkpoint, if it is not what it was."""
        folder = self._folder
        try:
            folder.check_metrics(sha256)
        except DamagedError as damage:
            if folder.has("metrics.jsonl"):
                self._set_aside("metrics.jsonl", damage)
            state = self.load()
            if state is None or metrics_sha256(state.metrics) != sha256:
                _log.warning(
                    f"{damage}; no checkpoint tells what was in it. The result stands; to have the curves, "
                    "too, move result.json away and launch again"
                )
            else:
                folder.write_metrics(state.metrics)
