"""The scores of a trained run's test split, or of a part of it, saved and resumed."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.errors import InputError
from lvae_core.evaluation.evaluate import WHOLE, Evaluation, EvaluationState, Part
from lvae_core.identity import evaluation_id
from lvae_core.model.text_model import TextModel
from lvae_core.run_folder.claims import Claim
from lvae_core.run_folder.evaluations import progress_file
from lvae_core.run_folder.folder import DamagedError, RunFolder
from lvae_core.training.allocator import give_back_spare_memory
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.runtime import Progress, Runtime
from lvae_core.training.state import TrainState

_log = logging.getLogger("lvae.run_folder")


@dataclass
class _State:
    """Progress of the evaluation, as its progress file holds it."""

    evaluation: str
    fingerprint: str
    metrics_sha256: str = ""
    """Of the result whose model it is of; "" in files of earlier versions."""
    seconds: float = 0.0
    progress: EvaluationState = field(default_factory=EvaluationState)


class Work:
    """The inputs that all parts of an evaluation share."""

    def __init__(
        self,
        config: RunConfig,
        corpus: Corpus,
        folder: RunFolder,
        runtime: Runtime,
        trained: TrainState,
        result: Mapping[str, Any],
        claim: Claim | None = None,
    ) -> None:
        self.config, self.corpus, self.folder, self.runtime = config, corpus, folder, runtime
        self.trained, self.claim = trained, claim
        self.evaluation = evaluation_id(config)
        self.metrics_sha256 = str(result.get("metrics_sha256", ""))

    @cached_property
    def model(self) -> TextModel:
        """The trained model, on its device."""
        set_arithmetic(self.config, self.runtime)
        model = TextModel(self.config, len(self.corpus.vocabulary)).to(self.runtime.device)
        model.load_state_dict(self.trained.tested_parameters(self.config))
        return model

    def check_run(self) -> None:
        """Check that something may still be written into the run's folder.

        Raises:
            ClaimLostError: the run is no longer this process's.
            InputError: nothing is claimed, and the run has been deleted or moved; a file would make its
                folder again.
        """
        if self.claim:
            self.claim.check()
        elif not self.folder.has("result.json"):
            raise InputError(f"{self.folder}: the run is gone, deleted or moved; nothing of it is saved")


class Scoring:
    """The scores of one part of the test split, from where an earlier attempt stopped."""

    def __init__(self, work: Work, part: Part) -> None:
        self.work, self.part = work, part
        self.file = progress_file(work.evaluation, part.number, part.count)
        self.state = self._resume() or _State(
            work.evaluation, work.trained.fingerprint, work.metrics_sha256
        )
        self._clocked = self._saved = self._reported = time.monotonic()

    @property
    def rows(self) -> Tensor:
        """The statistics of its sentences once all are scored."""
        assert self.state.progress.statistics is not None
        return self.state.progress.statistics

    def score(self) -> Generator[Progress, None, None]:
        """Score the batches that are left, and save if this is a part of several."""
        work, trained, part = self.work, self.work.trained, self.part
        evaluation = Evaluation(
            work.model,
            work.corpus.test,
            work.config,
            self.state.progress,
            split_name="test",
            samples=work.config.iw_samples,
            rough=trained.precision,
            part=part,
            unknown=work.corpus.vocabulary.unknown_id,
        )
        self._clocked = time.monotonic()
        fraction = 0.0
        try:
            for fraction in evaluation.score():
                give_back_spare_memory()
                now = time.monotonic()
                if now - self._saved >= work.runtime.checkpoint_seconds:
                    self._save()
                if now - self._reported >= work.runtime.progress_seconds:
                    yield Progress(
                        phase="evaluate", epoch=trained.epoch, step=trained.step, fraction=fraction
                    )
                    self._reported = time.monotonic()
        except GeneratorExit:
            self._save()
            raise
        self._clock()
        if part != WHOLE and fraction:
            self._save()

    def _save(self) -> None:
        self._clock()
        buffer = io.BytesIO()
        torch.save({**vars(self.state), "progress": asdict(self.state.progress)}, buffer)
        self.work.check_run()
        self.work.folder.write_payload(self.file, buffer.getvalue())
        self._saved = time.monotonic()

    def _resume(self) -> _State | None:
        """The saved progress; None, with the file set aside, if it is damaged or of something else.

        None, too, if the model has since been trained anew; the next save replaces the file.
        """
        folder = self.work.folder
        try:
            payload = folder.read_checkpoint(self.file)
            if payload is None:
                return None
            values = torch.load(io.BytesIO(payload), weights_only=True)
            state = _State(**{**values, "progress": EvaluationState(**values["progress"])})
            if (state.evaluation, state.fingerprint) != (
                self.work.evaluation,
                self.work.trained.fingerprint,
            ):
                raise DamagedError(f"{folder}/{self.file}: of another evaluation")
        except Exception as error:  # torch.load raises almost anything on what is not its own
            if isinstance(error, OSError):
                raise
            aside = folder.set_aside(self.file)
            _log.warning("%s/%s: cannot be used; set aside as %s", folder, self.file, aside)
            return None
        if state.metrics_sha256 not in ("", self.work.metrics_sha256):
            return None
        return state

    def _clock(self) -> None:
        now = time.monotonic()
        self.state.seconds += now - self._clocked
        self._clocked = now
