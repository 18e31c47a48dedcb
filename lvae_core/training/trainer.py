"""One run from first step to final estimates, as an iterator that can be stopped anywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import torch

from lvae_core.config import RunConfig
from lvae_core.data.batches import collate, epoch_order, send
from lvae_core.data.corpus import Corpus
from lvae_core.evaluation.evaluate import Estimates, Evaluation, EvaluationState
from lvae_core.evaluation.latent import latent_estimates
from lvae_core.identity import evaluation_id
from lvae_core.kl_annealing import kl_weight
from lvae_core.model.layers.precision import compute_in, resolve
from lvae_core.run_folder.claims import Claim
from lvae_core.run_folder.folder import RunFolder
from lvae_core.training.allocator import give_back_spare_memory
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.attempt import Attempt, Phase, open_attempt
from lvae_core.training.failures import DivergedError
from lvae_core.training.initial_encoder import copy_encoder
from lvae_core.training.optimisation.learning_rate import RateState, after_epoch
from lvae_core.training.optimisation.parts import STEPS, make_learner, make_optimiser
from lvae_core.training.optimisation.step import Moment
from lvae_core.training.pace import Pace, Speedometer
from lvae_core.training.process_usage import ProcessUsage
from lvae_core.training.runtime import Progress, Runtime
from lvae_core.training.state import TrainState, copy_parameters
from lvae_core.training.step_log import StepLog

EXPLODED = 10.0
"""A run ends if its mean training loss is this many times that of guessing every word."""

STEP_LOG_SECONDS = 15.0
"""Points within an epoch are written about this often, and at its end."""


def execute(
    config: RunConfig,
    corpus: Corpus,
    folder: RunFolder,
    runtime: Runtime,
    claim: Claim | None = None,
) -> Generator[Progress, None, None]:
    """Train, evaluate and write ``folder``, resuming from its checkpoint if it has one.

    Yields often. Between two yields the run may be closed (``close()``): it saves a checkpoint and stops.
    The last Progress has phase "done", after ``result.json`` is written; a folder that already holds a
    result yields just that. A damaged file in the folder is set aside and reported as a warning to the
    logger ``lvae.run_folder``, and the run resumes from the last good state.

    Args:
        config: of the run.
        corpus: the one that ``config`` names.
        folder: the run's.
        runtime: how the run is executed.
        claim: on ``folder``; it is released at the end. None: acquire one.

    Raises:
        DivergedError: the loss is no longer finite, or is far above that of guessing.
        HeldError: another process holds the run.
        ClaimLostError: another process has taken it over.
        InputError: the folder holds another config than ``config``.
        DamagedError: the folder's result.json is that of another run.
        OSError: the storage failed; what has been saved so far is whole.
    """
    with open_attempt(config, corpus, folder, runtime, claim) as attempt:
        if attempt.result is None:
            run = _Run(attempt)
            try:
                yield from run.train()
                yield from run.evaluate()
            except GeneratorExit:
                # Raised at a yield and nowhere else, where the state is whole.
                run.save()
                raise
    result = attempt.result or {}
    yield Progress(phase="done", epoch=result["epochs"], step=result["steps"], fraction=1.0)


class _Run:
    """A run in this process: the model on its device, and the state that is saved."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.config, self.corpus, self.runtime = attempt.config, attempt.corpus, attempt.runtime
        set_arithmetic(self.config, self.runtime)
        self.learner = make_learner(self.config, self.corpus, self.runtime.device)
        self.model = self.learner.model
        self.step = STEPS[self.config.step]()
        self.state = attempt.load() or self._initial_state()
        self.model.load_state_dict(self.state.parameters)
        self.learner.optimiser.load(self.state.optimiser)
        self._phase: Phase = "train"
        self._speed = Speedometer()
        self._pace: Pace | None = None
        self._reported = time.monotonic()
        attempt.begin(self.state)
        batches = self.learner.batches_per_epoch
        self._log = StepLog(self.config, batches, self.state, attempt.read_steps())
        self._usage = ProcessUsage(self.runtime.device)

    def _initial_state(self) -> TrainState:
        if parent := self.attempt.read_parent():
            copy_encoder(parent, self.model)
        return TrainState(
            fingerprint=self.attempt.identity,
            precision=resolve(self.config.precision, self.runtime.device),
            parameters=copy_parameters(self.model),
            best_parameters=copy_parameters(self.model),
            rate=RateState(self.config.learning_rate),
            vocabulary=list(self.corpus.vocabulary.words),
        )

    def train(self) -> Iterator[Progress]:
        """Train epoch by epoch; each ends with a validation and a row of metrics."""
        state = self.state
        while not state.finished_training(self.config):
            yield from self._train_epoch()
            row = yield from self._validate()
            # In this order, so that what a checkpoint knows is always in the metrics, too.
            self.attempt.write_metrics(state)
            last = state.finished_training(self.config)
            if last or state.epoch % self.runtime.checkpoint_epochs == 0:
                self.save()
            yield from self._report(row)

    def _train_epoch(self) -> Iterator[Progress]:
        config, state = self.config, self.state
        compute_in(self.model, state.precision)
        lengths = self.corpus.train.lengths
        order = epoch_order(lengths, config.batch_size, config.batching, config.seed, state.epoch)
        self._speed.start()
        while state.batch < len(order) and not 0 < config.max_steps <= state.step:
            indices = order[state.batch]
            self._take_step(indices)
            self._speed.add(int(lengths[indices].sum()))
            if self._due():
                self._read_pace()
                yield from self._report()
                self._speed.start()
        self._read_pace()
        self._check_finite()
        self._check_bounded()
        # Before the epoch's row: whoever reads the row finds all points before it.
        self.attempt.write_steps(self._log)

    def _take_step(self, indices: Any) -> None:
        config, state = self.config, self.state
        batch = collate(self.corpus.train, indices).to(self.runtime.device)
        beta = kl_weight(config, state.step, self.learner.batches_per_epoch)
        moment = Moment(state.step, beta, state.rate.learning_rate)
        terms = self.step.take(self.learner, batch, moment, state.memory)
        means = torch.stack([terms.loss, terms.nll, terms.kl, torch.ones_like(terms.kl)])
        state.sums = send(state.sums, means.device) + means.double() * len(indices)
        state.batch += 1
        state.step += 1
        self._log.note(state, beta)

    def _read_pace(self) -> None:
        config, state = self.config, self.state
        beta = None
        if config.encoder != "none":
            beta = kl_weight(config, state.step, self.learner.batches_per_epoch)
        self._pace = self._speed.read(state.sums, state.rate.learning_rate, beta, before=self._pace)
        if self._pace is not None:
            speed = round(self._pace.tokens_per_second, 1)
            self._log.read({"tokens_per_second": speed, **self._usage.read()})

    def _validate(self) -> Generator[Progress, None, dict[str, Any]]:
        """Validate the epoch that has just been trained; return its row of metrics."""
        config, state = self.config, self.state
        evaluation = Evaluation(
            self.model,
            self.corpus.valid,
            # All draws in full: the bound must not depend on how estimates save time.
            replace(config, iw_exact_samples=0) if self._importance_weighted else config,
            state.evaluation,
            split_name="valid",
            samples=config.valid_samples * (config.num_samples if self._importance_weighted else 1),
            rough=state.precision,
        )
        scores = yield from self._score(evaluation)
        beta = kl_weight(config, state.step, self.learner.batches_per_epoch)
        row = self._metrics_row(scores, beta)
        if not math.isfinite(row["valid_ppl"]):
            raise DivergedError(
                f"validation perplexity is {row['valid_ppl']} in epoch {row['epoch']}; try a lower "
                "learning_rate"
            )
        annealing = config.encoder != "none" and beta < config.kl_weight
        score = self._validation_score(row)
        state.rate = after_epoch(state.rate, row["epoch"], score, config, annealing=annealing)
        row["best_ppl"] = state.rate.best
        if state.rate.best_epoch == row["epoch"]:
            state.best_parameters = copy_parameters(self.model)
        # Once for every epoch: nothing is yielded between here and the next epoch's number.
        row |= self.step.end_epoch(self.learner, state.memory)
        state.metrics.append(row)
        state.epoch, state.batch, state.sums = row["epoch"], 0, torch.zeros_like(state.sums)
        # After the last epoch no step follows, and its own parameters may be the ones to test.
        if state.rate.reload and not state.finished_training(config):
            self._reload_best()
        return row

    @property
    def _importance_weighted(self) -> bool:
        """Whether validation takes the bound of valid_samples · L samples, and not the ELBO.

        With valid_samples = 1 it is the bound that such a run trains.
        """
        return self.config.has("importance-weighted objective")

    def _reload_best(self) -> None:
        """Continue training from the best parameters, with the optimiser as at the beginning."""
        self.model.load_state_dict(self.state.best_parameters)
        self.learner = replace(self.learner, optimiser=make_optimiser(self.model, self.config))

    def _validation_score(self, row: dict[str, Any]) -> float:
        """The validation perplexity, with the KL weighted as the config asks for.

        Raises:
            DivergedError: no number is large enough for it.
        """
        weight, valid = self.config.valid_kl_weight, self.corpus.valid
        if weight == 1 or self.config.encoder == "none":
            return float(row["valid_ppl"])
        nats = row["valid_nll"] + (weight - 1) * row["valid_kl"]
        try:
            return math.exp(nats * len(valid) / valid.num_tokens)
        except OverflowError:
            raise DivergedError(
                f"the validation score is infinite in epoch {row['epoch']}: valid_kl_weight = {weight:g} "
                f"at a KL of {row['valid_kl']:.3g} nats per sentence; set a lower valid_kl_weight"
            ) from None

    def _metrics_row(self, scores: Estimates, beta: float) -> dict[str, Any]:
        config, state = self.config, self.state
        loss, nll, kl = (state.sums[:3] / state.sums[3]).tolist()
        name = "nll" if config.encoder == "none" else "nll_elbo"
        if self._importance_weighted:
            name = "nll_iw"
        row = {
            "epoch": state.epoch + 1,
            "step": state.step,
            "learning_rate": state.rate.learning_rate,
            "train_loss": loss,
            "train_nll": nll,
            "valid_nll": scores[name]["value"],
            "valid_ppl": scores[name.replace("nll", "ppl")]["value"],
        }
        if config.encoder != "none":
            row |= {"kl_weight": beta, "train_kl": kl, "valid_kl": scores["kl"]["value"]}
        return row

    def evaluate(self) -> Iterator[Progress]:
        """Evaluate the parameters of the best or last epoch on the test split and write the result."""
        config, test = self.config, self.corpus.test
        self._phase = "evaluate"
        self.model.load_state_dict(self.state.tested_parameters(config))
        if self.state.evaluation.id != (identity := evaluation_id(config)):
            # What an earlier attempt has scored with other fields does not count.
            self.state.evaluation = EvaluationState(id=identity)
        evaluation = Evaluation(
            self.model,
            test,
            config,
            self.state.evaluation,
            split_name="test",
            samples=config.iw_samples,
            rough=self.state.precision,
            unknown=self.corpus.vocabulary.unknown_id,
        )
        estimates = yield from self._score(evaluation)
        estimates |= latent_estimates(self.model, test, config)
        self.attempt.clock(self.state, self._phase)
        parameters = sum(p.numel() for p in self.model.parameters())
        self.attempt.finish(self.state, estimates, parameters)

    def _score(self, evaluation: Evaluation) -> Generator[Progress, None, Estimates]:
        """Finish an evaluation, from where an earlier attempt stopped."""
        for done in evaluation.score():
            give_back_spare_memory()
            if self._due():
                yield from self._report(fraction=done if self._phase == "evaluate" else None)
        estimates = evaluation.estimates()
        self.state.evaluation = EvaluationState()
        return estimates

    def save(self) -> None:
        """Bring the state up to date and save it."""
        self.attempt.clock(self.state, self._phase)
        if self._phase == "train":  # in evaluation the model holds the tested ones instead
            self.state.parameters = copy_parameters(self.model)
            self.state.optimiser = self.learner.optimiser.state()
        self.state.sums = self.state.sums.cpu()
        self.attempt.write_steps(self._log)  # first: what a checkpoint knows is always in the log, too
        self.attempt.save(self.state)

    def _due(self) -> bool:
        """Whether it is time to report or to save."""
        since = time.monotonic() - self._reported
        return since >= self.runtime.progress_seconds or self.attempt.save_is_due()

    def _check_finite(self) -> None:
        if not bool(torch.isfinite(self.state.sums).all()):
            raise DivergedError(
                f"the loss is not finite in epoch {self.state.epoch + 1}, by step {self.state.step}; try a "
                "lower learning_rate"
            )

    def _check_bounded(self) -> None:
        """Compare with guessing, which costs log V per token: no model that learns is far above that."""
        train, state = self.corpus.train, self.state
        guessing = math.log(len(self.corpus.vocabulary)) * train.num_tokens / len(train)
        # As it is minimised, or without weights and free bits: either may be large where all is well.
        loss = float(state.sums[:2].min() / state.sums[3])
        if loss > EXPLODED * guessing:
            raise DivergedError(
                f"the loss has exploded in epoch {state.epoch + 1}: {loss:.3g} nats per sentence, where "
                f"guessing costs {guessing:.3g}; try a lower learning_rate"
            )

    def _report(
        self, metrics: dict[str, Any] | None = None, fraction: float | None = None
    ) -> Iterator[Progress]:
        """Yield the progress. The run may be closed here, so its state must be finite."""
        state, config = self.state, self.config
        self._check_finite()
        self.attempt.write_steps(self._log, older_than=STEP_LOG_SECONDS)
        if self.attempt.save_is_due():
            self.save()
        if fraction is None:
            steps = config.max_epochs * self.learner.batches_per_epoch
            fraction = min(1.0, state.step / min(steps, config.max_steps or steps))
        self.attempt.clock(state, self._phase)
        yield Progress(
            phase=self._phase,
            epoch=state.epoch,
            step=state.step,
            fraction=fraction,
            metrics=metrics,
            epochs=config.max_epochs,
            pace=self._pace if self._phase == "train" else None,
        )
        self.attempt.skip_time()
        self._reported = time.monotonic()
