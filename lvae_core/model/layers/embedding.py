"""The embedding: torch's own, with a sparse gradient on a CPU."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Embedding(nn.Embedding):
    """A table of word vectors: ids (...) -> vectors (..., D).

    A batch reads a few hundred of ten thousand words, so nearly all of a dense gradient would be zeros to
    write, square and subtract. On a GPU the gradient is dense: memory is fast there, and a sparse gradient
    would wait for the device to count the words.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Look up the vectors of ``input``, ids of any shape."""
        return F.embedding(input, self.weight, sparse=not self.weight.is_cuda)

    def __call__(self, input: Tensor) -> Tensor:
        """Call ``forward``, with types."""
        result: Tensor = super().__call__(input)
        return result
