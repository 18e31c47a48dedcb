"""One run from first step to final estimates, as an iterator that can be stopped anywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from typing import Any, Literal

import torch

from lvae_core.config import RunConfig
from lvae_core.data.batches import collate, epoch_order, eval_order
from lvae_core.data.corpus import Corpus, Split
from lvae_core.evaluation.latent import latent_estimates
from lvae_core.evaluation.likelihood import likelihood_estimates, sentence_statistics
from lvae_core.identity import fingerprint
from lvae_core.model.layers.precision import compute_in, resolve
from lvae_core.model.text_model import TextModel
from lvae_core.run_folder.claims import Claim, acquire
from lvae_core.run_folder.folder import DamagedError, RunFolder, metrics_sha256
from lvae_core.training.attempt import intact, open_run, set_aside
from lvae_core.training.failures import DivergedError
from lvae_core.training.objective import objective
from lvae_core.training.provenance import describe_attempt
from lvae_core.training.runtime import Progress, Runtime, give_back_spare_memory, set_arithmetic
from lvae_core.training.schedule import Plateau, kl_weight
from lvae_core.training.state import TrainState, copy_parameters, load_checkpoint, save_checkpoint
from lvae_core.training.step import descend

EXPLODED = 10.0
"""A mean training loss this many times that of guessing every word is the end of a run."""


def execute(
    config: RunConfig,
    corpus: Corpus,
    folder: RunFolder,
    runtime: Runtime,
    claim: Claim | None = None,
) -> Generator[Progress, None, None]:
    """Train, evaluate and write ``folder``, going on from its checkpoint if it has one.

    Yields often; between two yields the run may be closed (``close()``), upon which it saves a checkpoint
    and stops. The last Progress has phase "done", after ``result.json`` is written; a folder that already
    holds a result yields just that. What is damaged in the folder is set aside and reported as
    :class:`~lvae_core.run_folder.folder.DamageWarning`, and the run goes on from the last good state.

    Args:
        config: of the run.
        corpus: that ``config`` asks for.
        folder: of the run.
        runtime: how it is executed.
        claim: on ``folder``; it is released at the end. None: one is acquired.

    Raises:
        DivergedError: the loss is no longer finite, or is far above that of guessing.
        HeldError: another process is at work on the run.
        ClaimLostError: another process has taken it over.
        InputError: the folder holds another config than ``config``.
        DamagedError: the folder's result.json is that of another run.
        OSError: the storage failed; what has been saved so far is whole.
    """
    identity = fingerprint(config, corpus.data_sha256)
    with claim or acquire(folder, runtime.launch) as claim:
        result = open_run(folder, config, identity)
        if result is None:
            run = _Run(config, corpus, folder, runtime, identity, claim)
            try:
                yield from run.train()
                yield from run.evaluate()
            except GeneratorExit:
                # Raised at a yield and nowhere else, where the state is whole.
                run.save()
                raise
            result = folder.read_json("result.json") or {}
    yield Progress(phase="done", epoch=result["epochs"], step=result["steps"], fraction=1.0)


class _Run:
    """A run in this process: the model on its device and the state that is saved."""

    def __init__(
        self,
        config: RunConfig,
        corpus: Corpus,
        folder: RunFolder,
        runtime: Runtime,
        identity: str,
        claim: Claim,
    ) -> None:
        self.config, self.corpus, self.folder, self.runtime = config, corpus, folder, runtime
        self.claim = claim
        set_arithmetic(config, runtime)
        self.model = TextModel(config, len(corpus.vocabulary)).to(runtime.device)
        self.batches_per_epoch = math.ceil(len(corpus.train) / config.batch_size)
        self.state = load_checkpoint(folder, identity) or TrainState(
            fingerprint=identity,
            precision=resolve(config.precision, runtime.device),
            parameters=copy_parameters(self.model),
            best_parameters=copy_parameters(self.model),
            plateau=Plateau(config.learning_rate),
            vocabulary=list(corpus.vocabulary.words),
        )
        self.model.load_state_dict(self.state.parameters)
        self._phase: Literal["train", "evaluate"] = "train"
        self._saved = self._reported = self._clocked = time.monotonic()
        self._take_back_metrics()
        self._write_provenance()

    def train(self) -> Iterator[Progress]:
        """Epochs until the last, each ended by a validation and a row of metrics."""
        state, runtime = self.state, self.runtime
        while not state.finished_training(self.config):
            yield from self._train_epoch()
            row = yield from self._validate()
            # In this order, so that what a checkpoint knows is always in the metrics, too.
            self.folder.write_metrics(state.metrics)
            if state.epoch % runtime.checkpoint_epochs == 0 or state.finished_training(self.config):
                self.save()
            yield from self._report(row)

    def _train_epoch(self) -> Iterator[Progress]:
        config, state = self.config, self.state
        compute_in(self.model, state.precision)
        lengths = self.corpus.train.lengths
        order = epoch_order(lengths, config.batch_size, config.batching, config.seed, state.epoch)
        while state.batch < len(order) and not 0 < config.max_steps <= state.step:
            self._step(order[state.batch])
            if self._due():
                yield from self._report()
        self._check_finite()
        self._check_bounded()

    def _step(self, indices: Any) -> None:
        config, state = self.config, self.state
        batch = collate(self.corpus.train, indices).to(self.runtime.device)
        beta = kl_weight(config, state.step, self.batches_per_epoch)
        terms = objective(self.model, batch, config, kl_weight=beta, step=state.step)
        terms.loss.backward()  # type: ignore[no-untyped-call]
        descend(self.model.parameters(), state.plateau.learning_rate, config.max_grad_norm)
        means = torch.stack([terms.loss.detach(), terms.nll, terms.kl, torch.ones_like(terms.kl)])
        state.sums = state.sums.to(means.device) + means.double() * len(indices)
        state.batch += 1
        state.step += 1

    def _validate(self) -> Generator[Progress, None, dict[str, Any]]:
        """Score the epoch that has just been trained; returns its row of metrics."""
        config, state = self.config, self.state
        scores = yield from self._estimate(self.corpus.valid, "valid", config.valid_samples)
        beta = kl_weight(config, state.step, self.batches_per_epoch)
        row = self._metrics_row(scores, beta)
        if not math.isfinite(row["valid_ppl"]):
            raise DivergedError(f"validation perplexity is {row['valid_ppl']} in epoch {row['epoch']}")
        annealing = config.encoder != "none" and beta < config.kl_weight
        state.plateau = state.plateau.after(row["epoch"], row["valid_ppl"], config, annealing=annealing)
        row["best_ppl"] = state.plateau.best
        if state.plateau.best_epoch == row["epoch"]:
            state.best_parameters = copy_parameters(self.model)
        state.metrics.append(row)
        state.epoch, state.batch, state.sums = row["epoch"], 0, torch.zeros_like(state.sums)
        return row

    def _metrics_row(self, scores: dict[str, dict[str, float]], beta: float) -> dict[str, Any]:
        config, state = self.config, self.state
        loss, nll, kl = (state.sums[:3] / state.sums[3]).tolist()
        name = "nll" if config.encoder == "none" else "nll_elbo"
        row = {
            "epoch": state.epoch + 1,
            "step": state.step,
            "learning_rate": state.plateau.learning_rate,
            "train_loss": loss,
            "train_nll": nll,
            "valid_nll": scores[name]["value"],
            "valid_ppl": scores[name.replace("nll", "ppl")]["value"],
        }
        if config.encoder != "none":
            row |= {"kl_weight": beta, "train_kl": kl, "valid_kl": scores["kl"]["value"]}
        return row

    def evaluate(self) -> Iterator[Progress]:
        """The estimates of the best epoch's parameters on the test split, then the result."""
        config, test = self.config, self.corpus.test
        self._phase = "evaluate"
        self.model.load_state_dict(self.state.best_parameters)
        estimates = yield from self._estimate(test, "test", config.iw_samples)
        estimates |= latent_estimates(self.model, test, config)
        self._clock()
        self._write_result(estimates)

    def _estimate(
        self, split: Split, name: str, samples: int
    ) -> Generator[Progress, None, dict[str, dict[str, float]]]:
        """The likelihood estimates of a split, begun where the state says an earlier attempt stopped."""
        config, state = self.config, self.state
        batches = len(eval_order(split.lengths, config.eval_batch_size))
        for rows in sentence_statistics(
            self.model,
            split,
            config,
            split_name=name,
            samples=samples,
            start=state.evaluated_batches,
            rough=state.precision,
        ):
            earlier = state.statistics
            state.statistics = rows if earlier is None else torch.cat([earlier, rows])
            state.evaluated_batches += 1
            give_back_spare_memory()
            if self._due():
                done = state.evaluated_batches / batches
                yield from self._report(fraction=done if self._phase == "evaluate" else None)
        assert state.statistics is not None, "a split has at least one sentence"
        estimates = likelihood_estimates(state.statistics, split.num_tokens, config)
        state.statistics, state.evaluated_batches = None, 0
        return estimates

    def _write_result(self, estimates: dict[str, Any]) -> None:
        state, test = self.state, self.corpus.test
        if not all(math.isfinite(v) for entry in estimates.values() for v in entry.values()):
            raise DivergedError("an estimate on the test split is not finite")
        result = {
            "fingerprint": self.state.fingerprint,
            "config": self.config.to_dict(),
            "data_sha256": self.corpus.data_sha256,
            "metrics_sha256": metrics_sha256(state.metrics),
            "precision": state.precision,
            "estimates": estimates,
            "tokens": test.num_tokens,
            "sentences": len(test),
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "best_epoch": state.plateau.best_epoch,
            "epochs": state.epoch,
            "steps": state.step,
            "train_seconds": round(state.train_seconds, 3),
            "evaluate_seconds": round(state.evaluate_seconds, 3),
        }
        self.claim.check()
        self.folder.write_json("result.json", result)
        self.folder.clear_failure()

    def save(self) -> None:
        """Write the whole state as the folder's checkpoint."""
        self._clock()
        if self._phase == "train":  # in evaluation the model holds the best parameters instead
            self.state.parameters = copy_parameters(self.model)
        self.state.sums = self.state.sums.cpu()
        self.claim.check()
        save_checkpoint(self.folder, self.state)
        self._saved = time.monotonic()

    def _due(self) -> bool:
        """Whether it is time to report or to save."""
        now = time.monotonic()
        return now - self._reported >= self.runtime.progress_seconds or self._save_due(now)

    def _save_due(self, now: float) -> bool:
        return now - self._saved >= self.runtime.checkpoint_seconds

    def _clock(self) -> None:
        """Add the time since the last call to the phase that it was spent in."""
        now = time.monotonic()
        if self._phase == "train":
            self.state.train_seconds += now - self._clocked
        else:
            self.state.evaluate_seconds += now - self._clocked
        self._clocked = now

    def _check_finite(self) -> None:
        if not bool(torch.isfinite(self.state.sums).all()):
            raise DivergedError(
                f"the loss is not finite in epoch {self.state.epoch + 1}, by step {self.state.step}"
            )

    def _check_bounded(self) -> None:
        """Nothing that learns is that far above guessing, which costs log V a token."""
        train, state = self.corpus.train, self.state
        guessing = math.log(len(self.corpus.vocabulary)) * train.num_tokens / len(train)
        loss = float(state.sums[0] / state.sums[3])
        if loss > EXPLODED * guessing:
            raise DivergedError(
                f"the loss has exploded in epoch {state.epoch + 1}: {loss:.3g} nats a sentence, where "
                f"guessing costs {guessing:.3g}; try a lower learning_rate"
            )

    def _report(
        self, metrics: dict[str, Any] | None = None, fraction: float | None = None
    ) -> Iterator[Progress]:
        """Yield where the run stands: a point at which it may be closed, so its state must be good."""
        state, config = self.state, self.config
        self._check_finite()
        if self._save_due(time.monotonic()):
            self.save()
        if fraction is None:
            steps = config.max_epochs * self.batches_per_epoch
            fraction = min(1.0, state.step / min(steps, config.max_steps or steps))
        self._clock()
        yield Progress(
            phase=self._phase,
            epoch=state.epoch,
            step=state.step,
            fraction=fraction,
            metrics=metrics,
        )
        # Time in which the run was suspended is not its own.
        self._clocked = self._reported = time.monotonic()

    def _take_back_metrics(self) -> None:
        """Write the rows of the checkpoint; later ones will come again."""
        rows, known = intact(self.folder, "metrics.jsonl", self.folder.read_metrics), self.state.metrics
        if rows is not None and rows[: len(known)] != known and self.folder.has("metrics.jsonl"):
            damage = DamagedError(f"{self.folder}/metrics.jsonl: damaged, not the rows of the checkpoint")
            set_aside(self.folder, "metrics.jsonl", damage)
        self.folder.write_metrics(known)

    def _write_provenance(self) -> None:
        provenance = intact(
            self.folder, "provenance.json", lambda: self.folder.read_json("provenance.json")
        )
        earlier = (provenance or {}).get("attempts", [])
        attempt = describe_attempt(
            from_step=self.state.step,
            device=self.runtime.device,
            threads=self.runtime.threads,
            precision=self.state.precision,
            data_sha256=self.corpus.data_sha256,
        )
        self.folder.write_json("provenance.json", {"attempts": [*earlier, attempt]})
