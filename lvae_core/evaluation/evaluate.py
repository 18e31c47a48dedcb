"""Evaluate one split batch by batch: a resumable job that needs a model and no training run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lvae_core.config import RunConfig
from lvae_core.data.batches import eval_order
from lvae_core.data.corpus import Split
from lvae_core.evaluation.likelihood import column_count, likelihood_estimates, sentence_statistics
from lvae_core.model.layers.precision import Arithmetic
from lvae_core.model.text_model import TextModel

Estimates = dict[str, dict[str, Any]]
"""Name -> {"value", "stderr", …}; see :mod:`lvae_core.run_folder.estimates`."""


@dataclass
class EvaluationState:
    """Progress of the evaluation of a split: tensors and plain values, to be saved and restored."""

    batches: int = 0
    """Batches done, in the order of :func:`lvae_core.data.batches.eval_order`."""
    statistics: Tensor | None = None
    """Statistics of their sentences, (sentences, n); None before the first batch."""
    id: str = ""
    """Which evaluation of the test split it is, see :func:`lvae_core.identity.evaluation_id`; "" in
    validation, which belongs to training."""


class Evaluation:
    """The likelihood estimates of one split, batch by batch.

    Args:
        model: on its device.
        split: to evaluate.
        config: of the run.
        state: where an earlier attempt stopped; it is updated after every batch.
        split_name: "valid" or "test", part of the key of the noise.
        samples: S, draws per sentence.
        rough: arithmetic of rough scores; see :func:`sentence_statistics`.
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
    ) -> None:
        self.state = state
        self._split, self._config = split, config
        if state.statistics is not None and state.statistics.shape[1] != column_count(split_name, config):
            # An earlier version of the code computed less of each sentence.
            state.batches, state.statistics = 0, None
        self._rows = sentence_statistics(
            model,
            split,
            config,
            split_name=split_name,
            samples=samples,
            start=state.batches,
            rough=rough,
        )

    def score(self) -> Iterator[float]:
        """Score the batches that are left; yield after each what part of all is done."""
        total = len(eval_order(self._split.lengths, self._config.eval_batch_size))
        for rows in self._rows:
            earlier = self.state.statistics
            self.state.statistics = rows if earlier is None else torch.cat([earlier, rows])
            self.state.batches += 1
            yield self.state.batches / total

    def estimates(self) -> Estimates:
        """Return the estimates once every batch is scored."""
        rows = self.state.statistics
        assert rows is not None, "a split has at least one sentence"
        assert len(rows) == len(self._split), "score every batch first"
        return likelihood_estimates(rows, self._split.num_tokens, self._config)
