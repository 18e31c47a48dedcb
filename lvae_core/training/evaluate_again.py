"""Another evaluation of a trained run, from its checkpoint and without training."""

from __future__ import annotations

import io
import logging
import math
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.errors import InputError
from lvae_core.evaluation.evaluate import Evaluation, EvaluationState
from lvae_core.evaluation.latent import latent_estimates
from lvae_core.identity import EVALUATION_VERSION, evaluation_id, evaluation_values
from lvae_core.model.text_model import TextModel
from lvae_core.run_folder.claims import Claim, acquire
from lvae_core.run_folder.evaluations import (
    evaluation_file,
    evaluation_of,
    failure_file,
    progress_file,
    read_evaluation,
)
from lvae_core.run_folder.folder import DamagedError, RunFolder
from lvae_core.training.failures import DivergedError
from lvae_core.training.provenance import describe_attempt
from lvae_core.training.runtime import Progress, Runtime, give_back_spare_memory, set_arithmetic
from lvae_core.training.state import TrainState, load_checkpoint

_log = logging.getLogger("lvae.run_folder")


@dataclass
class _State:
    """Progress of the evaluation, as its progress file holds it."""

    evaluation: str
    fingerprint: str
    seconds: float = 0.0
    progress: EvaluationState = field(default_factory=EvaluationState)


def evaluate_again(
    config: RunConfig, corpus: Corpus, folder: RunFolder, runtime: Runtime, claim: Claim | None = None
) -> Generator[Progress, None, None]:
    """Evaluate the best parameters of a trained run and write the estimates beside its result.

    Yields often; between two yields it may be closed, upon which it saves its progress. Killed anywhere, it
    resumes bit for bit. The numbers are those that training with ``config`` would have put into the result.
    A damaged file of this evaluation is set aside, with a warning to the logger ``lvae.run_folder``.

    Args:
        config: of the run, with other fields of evaluation.
        corpus: that the run was trained on.
        folder: of the run.
        runtime: how it is executed.
        claim: on ``folder``; None: one is acquired. It is released at the end.

    Raises:
        InputError: the run is not trained, has no checkpoint, or was trained on other data.
        DivergedError: an estimate is not finite.
        HeldError: another process works on the run.
        ClaimLostError: another process has taken the run over.
        DamagedError: the run's result.json is not what was written.
        OSError: the storage failed.
    """
    with claim or acquire(folder, runtime.launch) as claim:
        folder.set_leftovers_aside()
        result = _result(folder, corpus)
        if not _is_evaluated(folder, result, evaluation_id(config)):
            trained = _trained(folder, result)
            yield from _Again(config, corpus, folder, runtime, claim, trained).evaluate()
    yield Progress(phase="done", epoch=0, step=0, fraction=1.0)


class _Again:
    """An evaluation in this process."""

    def __init__(
        self,
        config: RunConfig,
        corpus: Corpus,
        folder: RunFolder,
        runtime: Runtime,
        claim: Claim,
        trained: TrainState,
    ) -> None:
        self.config, self.corpus, self.folder, self.runtime = config, corpus, folder, runtime
        self.claim, self.trained = claim, trained
        self.evaluation = evaluation_id(config)
        self.state = self._resume() or _State(self.evaluation, trained.fingerprint)
        self._clocked = self._saved = self._reported = time.monotonic()

    def evaluate(self) -> Generator[Progress, None, None]:
        """Score the test split from where an earlier attempt stopped, then write the estimates."""
        config, test, trained = self.config, self.corpus.test, self.trained
        set_arithmetic(config, self.runtime)
        model = TextModel(config, len(self.corpus.vocabulary)).to(self.runtime.device)
        model.load_state_dict(trained.best_parameters)
        evaluation = Evaluation(
            model,
            test,
            config,
            self.state.progress,
            split_name="test",
            samples=config.iw_samples,
            rough=trained.precision,
        )
        try:
            for done in evaluation.score():
                give_back_spare_memory()
                now = time.monotonic()
                if now - self._saved >= self.runtime.checkpoint_seconds:
                    self._save()
                if now - self._reported >= self.runtime.progress_seconds:
                    yield Progress(phase="evaluate", epoch=trained.epoch, step=trained.step, fraction=done)
                    self._reported = time.monotonic()
        except GeneratorExit:
            self._save()
            raise
        estimates = evaluation.estimates() | latent_estimates(model, test, config)
        if not all(math.isfinite(v) for entry in estimates.values() for v in entry.values()):
            raise DivergedError("an estimate on the test split is not finite")
        self._write(estimates)

    def _write(self, estimates: dict[str, Any]) -> None:
        self._clock()
        attempt = describe_attempt(
            from_step=self.trained.step,
            device=self.runtime.device,
            threads=self.runtime.threads,
            precision=self.trained.precision,
            data_sha256=self.corpus.data_sha256,
        )
        record = {
            "fingerprint": self.trained.fingerprint,
            "evaluation": self.evaluation,
            "version": EVALUATION_VERSION,
            "config": evaluation_values(self.config),
            "estimates": estimates,
            "tokens": self.corpus.test.num_tokens,
            "sentences": len(self.corpus.test),
            "precision": self.trained.precision,
            "evaluate_seconds": round(self.state.seconds, 3),
            "attempt": attempt,
        }
        self.claim.check()
        self.folder.write_json(evaluation_file(self.evaluation), record)
        self.folder.store.delete(f"{self.folder.name}/{progress_file(self.evaluation)}")
        self.folder.clear_failure(failure_file(self.evaluation))

    def _save(self) -> None:
        self._clock()
        buffer = io.BytesIO()
        torch.save({**vars(self.state), "progress": asdict(self.state.progress)}, buffer)
        self.claim.check()
        self.folder.write_payload(progress_file(self.evaluation), buffer.getvalue())
        self._saved = time.monotonic()

    def _resume(self) -> _State | None:
        """The saved progress; None, with the file set aside, if it is damaged or of something else."""
        file = progress_file(self.evaluation)
        try:
            payload = self.folder.read_checkpoint(file)
            if payload is None:
                return None
            values = torch.load(io.BytesIO(payload), weights_only=True)
            state = _State(**{**values, "progress": EvaluationState(**values["progress"])})
            if (state.evaluation, state.fingerprint) != (self.evaluation, self.trained.fingerprint):
                raise DamagedError(f"{self.folder}/{file}: of another evaluation")
        except Exception as error:  # torch.load raises almost anything on what is not its own
            if isinstance(error, OSError):
                raise
            aside = self.folder.set_aside(file)
            _log.warning("%s/%s: cannot be used; set aside as %s", self.folder, file, aside)
            return None
        return state

    def _clock(self) -> None:
        now = time.monotonic()
        self.state.seconds += now - self._clocked
        self._clocked = now


def _result(folder: RunFolder, corpus: Corpus) -> dict[str, Any]:
    """The result of a run that is trained on this corpus."""
    result = folder.read_json("result.json")
    if result is None:
        raise InputError(f"{folder}: not finished; finish it first with `python -m lvae_core run`")
    if result.get("data_sha256") != corpus.data_sha256:
        raise InputError(
            f"{folder}: trained on other data than {corpus.name} holds now; give the --data-dir of then"
        )
    return result


def _is_evaluated(folder: RunFolder, result: Mapping[str, Any], wanted: str) -> bool:
    """Whether a trained run has this evaluation; a damaged file of it is set aside."""
    if evaluation_of(result) == wanted:
        return True
    file = evaluation_file(wanted)
    try:
        return read_evaluation(folder, file, str(result.get("fingerprint"))) is not None
    except DamagedError as damage:
        _log.warning("%s; set aside as %s", damage, folder.set_aside(file))
        return False


def _trained(folder: RunFolder, result: Mapping[str, Any]) -> TrainState:
    """The state of a trained run with the parameters that its result was evaluated with."""
    state = load_checkpoint(folder, str(result.get("fingerprint")))
    if state is None:
        raise InputError(f"{folder}: no checkpoint.pt to evaluate from; it keeps the estimates it has")
    if state.rate.best_epoch != result.get("best_epoch"):
        raise InputError(
            f"{folder}: its checkpoint holds the best parameters of epoch {state.rate.best_epoch}, but "
            f"those of epoch {result.get('best_epoch')} were evaluated; restore checkpoint.pt"
        )
    return state
