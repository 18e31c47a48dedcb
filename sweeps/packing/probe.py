"""A probe: short training and evaluation of a cell, which measure the memory and speed of its runs."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch

from lvae_core.config import RunConfig
from lvae_core.data.batches import collate, epoch_order
from lvae_core.data.corpus import Corpus, Split
from lvae_core.evaluation.latent import latent_estimates
from lvae_core.evaluation.likelihood import sentence_statistics
from lvae_core.model.layers.precision import compute_in, resolve
from lvae_core.training.arithmetic import CONTEXT_BYTES, set_arithmetic
from lvae_core.training.optimisation.parts import STEPS, make_learner
from lvae_core.training.optimisation.step import Memory, Moment
from lvae_core.training.runtime import Runtime
from sweeps.packing.choose import Sample

_QUANTILES = (0.5, 0.17, 0.83)
"""Quantiles of the lengths of the first epoch's batches: those whose steps are timed."""

_LATENT_SENTENCES = 1024
"""Enough to make the mutual information compute as much at once as it ever does."""


class Probe:
    """The work of a run, without its folder: real batches, real steps, real estimates."""

    def __init__(self, config: RunConfig, corpus: Corpus, *, device: str, threads: int) -> None:
        self._config, self._corpus, self._device = config, corpus, device
        set_arithmetic(config, Runtime(device=device, threads=threads))
        self._learner = make_learner(config, corpus, device)
        self._model = self._learner.model
        self._training_step = STEPS[config.step]()
        # Most epochs of a run are late ones.
        self._remembered: Memory = self._training_step.late(config)
        self._precision = resolve(config.precision, device)
        self._step = 0
        batches = sorted(
            epoch_order(corpus.train.lengths, config.batch_size, config.batching, config.seed, 0),
            key=lambda batch: int(corpus.train.lengths[batch].max()),
        )
        self._batches = [batches[int(at * len(batches))] for at in _QUANTILES]
        self._middle = self._sentences_of_medium_length()
        self._before = 0

    def warm_up(self) -> None:
        """Do the work that takes the most memory; this also builds everything that is built only once."""
        config, train, test = self._config, self._corpus.train, self._corpus.test
        for _ in range(2):
            self._train(_longest(train, config.batch_size))
        for batch in self._batches:
            self._train(batch)
        longest = _longest(test, config.eval_batch_size)
        positions = len(longest) * int(test.lengths[longest].max()) * self._config.group
        # As many draws of whole batches as are ever computed at once ...
        draws = min(config.iw_samples, max(2, -(-config.eval_chunk_tokens // positions)))
        self._score(test, longest, replace(config, iw_samples=draws, iw_exact_samples=0))
        # ... and of one sentence.
        draws = -(-config.eval_chunk_tokens // (self._config.group * int(test.lengths[longest[-1]])))
        draws = min(config.iw_samples, max(2, config.iw_exact_samples + 1, draws))
        self._score(test, longest[-1:], replace(config, iw_samples=draws))
        some = np.linspace(0, len(test) - 1, min(len(test), _LATENT_SENTENCES)).astype(np.int64)
        latent_estimates(self._model, _part(test, some), config)
        self._score(test, self._middle, config)
        self._wait()
        # Only now has every library loaded what it keeps on the GPU.
        self._before = self._outside()

    def measure(
        self, seconds: float, *, steps: int = 1, now: Callable[[], float] = time.perf_counter
    ) -> Sample:
        """Time training, and then evaluation, each for at least ``seconds``.

        Args:
            seconds: the least time of each.
            steps: the least number of training steps, on batches of different lengths.
            now: the clock.
        """
        train = _rate(self._train_forever(), seconds, steps, now, self._wait)
        evaluate = _rate(self._score_forever(), seconds, 1, now, self._wait)
        return Sample(self._memory(), train, evaluate)

    def _sentences_of_medium_length(self) -> np.ndarray:
        """Test sentences of medium length, enough of them to compute as much at once as a run does."""
        config, lengths = self._config, self._corpus.test.lengths
        order = np.argsort(lengths, kind="stable")
        start = len(order) // 2
        draws = self._config.group * (1 if config.encoder == "none" else config.iw_samples)
        sentences = config.eval_chunk_tokens // (draws * int(lengths[order[start]]))
        return order[start : start + min(config.eval_batch_size, max(1, sentences))]

    def _train(self, indices: np.ndarray) -> int:
        config = self._config
        compute_in(self._model, self._precision)
        batch = collate(self._corpus.train, indices).to(self._device)
        moment = Moment(self._step, 1.0, config.learning_rate)
        self._training_step.take(self._learner, batch, moment, self._remembered)
        self._step += 1
        return int(self._corpus.train.lengths[indices].sum())

    def _train_forever(self) -> Iterator[int]:
        while True:
            for batch in self._batches:
                yield self._train(batch)

    def _score(self, split: Split, indices: np.ndarray, config: RunConfig) -> int:
        part = _part(split, indices)
        for _ in sentence_statistics(
            self._model, part, config, split_name="test", samples=config.iw_samples, rough=self._precision
        ):
            pass
        return part.num_tokens

    def _score_forever(self) -> Iterator[int]:
        while True:
            tokens = self._score(self._corpus.test, self._middle, self._config)
            # This infers once more, which takes time if inference takes steps.
            latent_estimates(self._model, _part(self._corpus.test, self._middle), self._config)
            yield tokens

    def _wait(self) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize()

    def _outside(self) -> int:
        """Bytes of the GPU that this process, alone there, has taken in addition to torch's tensors."""
        if not self._device.startswith("cuda"):
            return 0
        free, total = torch.cuda.mem_get_info()
        return total - free - torch.cuda.memory_reserved()

    def _memory(self) -> int:
        if self._device.startswith("cuda"):
            return max(self._before, CONTEXT_BYTES) + torch.cuda.max_memory_reserved()
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _rate(
    work: Iterator[int], seconds: float, pieces: int, now: Callable[[], float], wait: Callable[[], None]
) -> float:
    """Tokens per second of ``work``, which yields the tokens of each piece."""
    since, tokens = now(), 0
    for number, done in enumerate(work, start=1):
        tokens += done
        if number >= pieces and now() - since >= seconds:
            break
    wait()
    return tokens / (now() - since)


def _longest(split: Split, number: int) -> np.ndarray:
    """The ``number`` longest sentences: no batch of a run is larger."""
    return np.argsort(split.lengths, kind="stable")[-number:]


def _part(split: Split, indices: np.ndarray) -> Split:
    """Some sentences of a split."""
    sentences = [split.sentence(int(index)) for index in indices]
    return Split(np.concatenate(sentences), np.cumsum([0, *map(len, sentences)]))
