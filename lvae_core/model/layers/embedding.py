"""The table of word vectors: torch's own, whose gradient on a CPU has the rows of the words read alone."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Embedding(nn.Embedding):
    """Ids -> vectors, (...) -> (..., D).

    A batch reads a few hundred of ten thousand words: of a gradient for all of them nearly every number
    would be a zero to write, to square and to subtract. On a GPU, where memory is fast and counting the
    words waits for the device, it is dense.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The vectors of ``input``, ids of any shape."""
        return F.embedding(input, self.weight, sparse=not self.weight.is_cuda)

    def __call__(self, input: Tensor) -> Tensor:
        """Typed face of ``forward``."""
        result: Tensor = super().__call__(input)
        return result
