"""Evaluate one split batch by batch: a resumable job that needs a model and no training run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lvae_core.config import RunConfig
from lvae_core.data.batches import eval_order
from lvae_core.data.corpus import Split
from lvae_core.errors import InputError
from lvae_core.evaluation.likelihood import columns_of, likelihood_estimates, sentence_statistics
from lvae_core.model.layers.precision import Arithmetic
from lvae_core.model.text_model import TextModel

Estimates = dict[str, dict[str, Any]]
"""Name -> {"value", "stderr", …}; see :mod:`lvae_core.run_folder.estimates`."""


@dataclass(frozen=True)
class Part:
    """One of ``count`` parts of a split: every ``count``-th batch, from batch ``number`` on.

    So all parts take about as long, though later batches have longer sentences.
    """

    number: int = 1
    count: int = 1

    @staticmethod
    def parse(text: str) -> Part:
        """Read ``K/N``. Raises InputError if it is not that, or if K is not one of 1 … N."""
        match = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
        if match is None or int(match[1]) > int(match[2]):
            raise InputError(f"--part {text}: give K/N with K from 1 to N, such as 2/8")
        return Part(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def batches(self, split: Split, config: RunConfig) -> range:
        """Numbers of its batches, in the order of :func:`lvae_core.data.batches.eval_order`."""
        return range(self.number - 1, len(eval_order(split.lengths, config.eval_batch_size)), self.count)


WHOLE = Part()


@dataclass
class EvaluationState:
    """Progress of the evaluation of a split: tensors and plain values, to be saved and restored."""

    batches: int = 0
    """Batches done, in the order of :meth:`Part.batches`."""
    statistics: Tensor | None = None
    """Statistics of their sentences, (sentences, n); None before the first batch."""
    id: str = ""
    """Which evaluation of the test split it is, see :func:`lvae_core.identity.evaluation_id`; "" in
    validation, which belongs to training."""


class Evaluation:
    """The likelihood estimates of one split or of one part of it, batch by batch.

    Args:
        model: on its device.
        split: to evaluate.
        config: of the run.
        state: where an earlier attempt stopped; it is updated after every batch.
        split_name: "valid" or "test", part of the key of the noise.
        samples: S, draws per sentence.
        rough: arithmetic of rough scores; see :func:`sentence_statistics`.
        part: of the split.
        unknown: the class of unknown words; None if the vocabulary has none.
    """

    def __init__(
        self,
        model: TextModel,
        split: Split,
        config: RunConfig,
        state: EvaluationState,
        *,
        split_name: str,
        samples: int,
        rough: Arithmetic,
        part: Part = WHOLE,
        unknown: int | None = None,
    ) -> None:
        self.state = state
        self._split, self._config = split, config
        self._columns = columns_of(split_name, config, unknown)
        if state.statistics is not None and state.statistics.shape[1] != len(self._columns):
            # An earlier version of the code computed less of each sentence.
            state.batches, state.statistics = 0, None
        self._batches = part.batches(split, config)
        self._rows = sentence_statistics(
            model,
            split,
            config,
            split_name=split_name,
            samples=samples,
            start=part.number - 1 + part.count * state.batches,
            step=part.count,
            rough=rough,
            unknown=unknown,
        )

    def score(self) -> Iterator[float]:
        """Score the batches that are left; yield after each which share is done."""
        for rows in self._rows:
            earlier = self.state.statistics
            self.state.statistics = rows if earlier is None else torch.cat([earlier, rows])
            self.state.batches += 1
            yield self.state.batches / len(self._batches)

    def estimates(self) -> Estimates:
        """Return the estimates once every batch is scored."""
        rows = self.state.statistics
        assert rows is not None, "a split has at least one sentence"
        assert len(rows) == len(self._split), "score every batch first"
        return likelihood_estimates(rows, self._split.num_tokens, self._config, self._columns)


def join(parts: Sequence[Tensor], split: Split, config: RunConfig) -> Tensor:
    """The statistics of a whole split from those of its parts 1 … n: (sentences, columns)."""
    order = eval_order(split.lengths, config.eval_batch_size)
    n = len(parts)
    batches = [torch.split(rows, [len(batch) for batch in order[k::n]]) for k, rows in enumerate(parts)]
    return torch.cat([batches[i % n][i // n] for i in range(len(order))])
