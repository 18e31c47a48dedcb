"""bfloat16 by its bits: the upper half of a float32, rounded to nearest, ties to even."""

import numpy as np
import torch
from torch import Tensor

STEP = 2.0**-7
"""Between a number and the next, relative to the power of two below it. Rounding errs by half of it."""


def rounded(x: Tensor) -> Tensor:
    """``x`` (float32 or float64) through float32 to bfloat16, as float64."""
    bits = x.detach().numpy().astype(np.float32).view(np.uint32).astype(np.uint64)
    tie_to_even = (bits >> np.uint64(16)) & np.uint64(1)
    upper = (bits + np.uint64(0x7FFF) + tie_to_even) & np.uint64(0xFFFF0000)
    return torch.from_numpy(upper.astype(np.uint32).view(np.float32).astype(np.float64))
