"""One run from first step to final estimates, as an iterator that can be stopped anywhere."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch

from lvae_core import checkpoint
from lvae_core.allocator import keep_freed_memory
from lvae_core.batches import collate, epoch_order, eval_order
from lvae_core.config import InputError, RunConfig, fingerprint
from lvae_core.corpus import Corpus, Split
from lvae_core.evaluate import latent_estimates, likelihood_estimates, sentence_statistics
from lvae_core.kernels import compute_in, resolve
from lvae_core.model import TextModel
from lvae_core.objective import objective
from lvae_core.optimiser import descend
from lvae_core.provenance import describe_attempt
from lvae_core.record import DamagedError, RunFolder
from lvae_core.schedule import Plateau, kl_weight
from lvae_core.state import TrainState, copy_parameters


class DivergedError(Exception):
    """The loss is not a number or infinite. The message says in which epoch and by which step."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and how a run executes: nothing here can change its numbers on one machine type.

    The number of threads can change the last bits (sums are split differently), so runs to be compared
    bit for bit use the same number.
    """

    device: str = "cpu"
    threads: int = 1
    checkpoint_epochs: int = 1
    """Write a checkpoint at the end of every so many epochs."""
    checkpoint_seconds: float = 600.0
    """…and whenever this much time has passed since the last, in an epoch or in evaluation."""
    progress_seconds: float = 1.0
    """Yield a :class:`Progress` about this often."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come."""

    phase: Literal["train", "evaluate", "done"]
    epoch: int
    """Epochs finished."""
    step: int
    """Gradient steps taken."""
    fraction: float
    """Of this phase, 0 to 1: of training, if it goes on to max_epochs, or of the final evaluation."""
    metrics: dict[str, Any] | None = None
    """The row of metrics.jsonl, in the one Progress that follows the end of an epoch."""


def execute(
    config: RunConfig, corpus: Corpus, folder: RunFolder, runtime: Runtime
) -> Generator[Progress, None, None]:
    """Train, evaluate and write ``folder``, going on from its checkpoint if it has one.

    Yields often; between two yields the run may be closed (``close()``), upon which it saves a checkpoint
    and stops. The last Progress has phase "done", after ``result.json`` is written; a folder that already
    holds a result yields just that.

    Raises:
        DivergedError: the loss is no longer finite.
        InputError: the folder holds another config than ``config``.
        DamagedError: the folder's config.json or result.json is not what was written.
    """
    identity = fingerprint(config, corpus.data_sha256)
    result = folder.read_json("result.json")
    _claim(folder, config, identity)
    if result is not None and result.get("fingerprint") != identity:
        raise DamagedError(f"{folder}/result.json: not the result of this run; move it away")
    if result is None:
        run = _Run(config, corpus, folder, runtime, identity)
        try:
            yield from run.train()
            yield from run.evaluate()
        except GeneratorExit:
            # Raised at a yield and nowhere else, where the state is whole.
            run.save()
            raise
        result = folder.read_json("result.json") or {}
    yield Progress(phase="done", epoch=result["epochs"], step=result["steps"], fraction=1.0)


def _claim(folder: RunFolder, config: RunConfig, identity: str) -> None:
    present = folder.read_config()
    if present is None:
        folder.write_config(config, identity)
    elif present[1] != identity:
        raise InputError(
            f"{folder}/config.json: belongs to another run (config, data or version differ); "
            "give another --out or move the folder away"
        )


class _Run:
    """A run in this process: the model on its device and the state that is saved."""

    def __init__(
        self, config: RunConfig, corpus: Corpus, folder: RunFolder, runtime: Runtime, identity: str
    ) -> None:
        self.config, self.corpus, self.folder, self.runtime = config, corpus, folder, runtime
        set_arithmetic(config, runtime)
        self.model = TextModel(config, len(corpus.vocabulary)).to(runtime.device)
        self.batches_per_epoch = math.ceil(len(corpus.train) / config.batch_size)
        self.state = checkpoint.load(folder, identity) or TrainState(
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
        folder.write_metrics(self.state.metrics)
        self._write_provenance()

    def train(self) -> Iterator[Progress]:
        """Epochs until the last, each ended by a validation and a row of metrics."""
        state, runtime = self.state, self.runtime
        while not state.finished_training(self.config):
            yield from self._train_epoch()
            row = yield from self._validate()
            if state.epoch % runtime.checkpoint_epochs == 0 or state.finished_training(self.config):
                self.save()
            self.folder.write_metrics(state.metrics)
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
        self.folder.write_json("result.json", result)
        self.folder.clear_failure()

    def save(self) -> None:
        """Write the whole state as the folder's checkpoint."""
        self._clock()
        if self._phase == "train":  # in evaluation the model holds the best parameters instead
            self.state.parameters = copy_parameters(self.model)
        self.state.sums = self.state.sums.cpu()
        checkpoint.save(self.folder, self.state)
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

    def _write_provenance(self) -> None:
        try:
            earlier = (self.folder.read_json("provenance.json") or {}).get("attempts", [])
            if not isinstance(earlier, list):
                raise DamagedError(f"{self.folder}/provenance.json: damaged, its attempts are no list")
        except DamagedError as damage:
            # It explains the numbers and is not part of them: no reason to stop.
            warnings.warn(
                f"{damage}; set aside as {self.folder.set_aside('provenance.json')}", stacklevel=1
            )
            earlier = []
        attempt = describe_attempt(
            device=self.runtime.device,
            threads=self.runtime.threads,
            precision=self.state.precision,
            data_sha256=self.corpus.data_sha256,
        )
        self.folder.write_json("provenance.json", {"attempts": [*earlier, attempt]})


def check_device(device: str) -> None:
    """Raise :class:`InputError` unless a run can execute on ``device``, such as cpu or cuda:0."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"device {device!r}: not usable here ({reason}); try cpu") from None


def set_arithmetic(config: RunConfig, runtime: Runtime) -> None:
    """Process-wide settings that a run's numbers or its speed depend on."""
    keep_freed_memory()
    torch.set_num_threads(runtime.threads)
    if config.deterministic:
        # cuBLAS reads it when it is first used; without it torch refuses to be deterministic.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.deterministic)
    # cuDNN would compute an LSTM's float32 with ten bits of mantissa unless told otherwise.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    # It would fill every fresh tensor to expose reads of what was never written; there are none here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
