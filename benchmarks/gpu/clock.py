"""Time the passes of variants on the device, one after another in one process, and the device's limits."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from speed import measure
from speed.cases import PLAIN, Case
from torch import Tensor

from gpu import graphs

GRAPHS = ", graphs"
"""Ends the name of a variant whose step is replayed as a CUDA graph."""


class Timing(NamedTuple):
    """Speed and memory of a variant in one process."""

    tokens_per_second: float
    """Predicted tokens of the text, at the median pass; not multiplied by L or S."""
    step_seconds: float
    peak_bytes: int
    """Peak memory of tensors on a GPU; 0 on a CPU, where it could not be told from other variants'."""


class Clock(NamedTuple):
    """How long each variant is timed on which device, after its warm-up."""

    device: str
    seconds: float
    warm_seconds: float

    def time(self, case: Case, variant: str, *, deterministic: bool = True) -> Timing:
        """Time a variant; the name of one of ours may end with GRAPHS."""
        run = make_pass(case, variant, self.device, deterministic=deterministic)
        on_gpu = self.device.startswith("cuda")
        passes = measure.repeated(run, torch.device(self.device))
        measure.time_passes(passes, at_least=2, seconds=self.warm_seconds)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        timed = statistics.median(measure.time_passes(passes, at_least=3, seconds=self.seconds))
        peak = torch.cuda.max_memory_allocated(self.device) if on_gpu else 0
        del run, passes
        gc.collect()
        if on_gpu:
            # Those of the streams of graphs would count in the peaks of all later cases.
            getattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None)()
            torch.cuda.empty_cache()
        return Timing(case.tokens / timed, timed / len(case.lengths), peak)

    def limit(self, precision: str, size: int) -> float:
        """Measure the FLOPs per second of products of square matrices: the peak that a share refers to."""
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        a, b = (torch.randn(size, size, device=self.device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        allowed = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"

        def run() -> Tensor:
            for _ in range(5):
                torch.mm(a, b, out=out)
            return out[0]

        try:
            passes = measure.repeated(run, torch.device(self.device))
            measure.time_passes(passes, at_least=2, seconds=self.warm_seconds / 4)
            timed = measure.time_passes(passes, at_least=3, seconds=self.seconds)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = allowed
        return 5 * 2 * size**3 / statistics.median(timed)


def make_pass(case: Case, variant: str, device: str, *, deterministic: bool) -> Callable[[], Tensor]:
    """Make the function to time. Plain code computes in float32 without TF32, and as fast as it can."""
    name = variant.removesuffix(GRAPHS)
    if variant in PLAIN:
        torch.set_deterministic_debug_mode("default")
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    elif name != variant:
        measure.set_arithmetic(
            replace(case.our_config(name), deterministic=deterministic), measure.Runtime(device=device)
        )
        return graphs.training(
            case.our_config(name), case.num_classes, measure.synthetic_text(case), device
        )
    return measure.make_pass(case, name, device, 1, deterministic=deterministic)
