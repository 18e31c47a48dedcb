"""What the device is, and how long it takes to start the smallest kernel."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch

from gpu.records import Record, Settings, check, note, run_part
from lvae_core.training.provenance import processor
from lvae_core.training.runtime import check_device

OLDEST_TORCH = (2, 11)


def work(settings: Settings) -> Iterator[Record]:
    """Describe the device and the versions; check that they can be used."""
    yield check("device", lambda: usable(settings))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"{processor()}, {cores} cores; Python {sys.version.split()[0]}, numpy {np.__version__}"
    yield note("machine", f"{text}, torch {torch.__version__}", torch=torch.__version__)
    if not settings.is_gpu:
        return
    card = torch.cuda.get_device_properties(settings.device)
    text = f"{card.name}, {card.total_memory / 2**30:.0f} GiB, capability {card.major}.{card.minor}"
    cudnn = torch.backends.cudnn.version()
    yield note(
        "GPU", f"{text}, CUDA {torch.version.cuda}, cuDNN {cudnn}", gpu=card.name, memory=card.total_memory
    )
    micros = launch_seconds(settings.device) * 1e6
    yield note("launch of a kernel", f"{micros:.1f} µs", launch_seconds=micros / 1e6)


def usable(settings: Settings) -> str:
    """Check the device and the version of torch."""
    check_device(settings.device)
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    assert version >= OLDEST_TORCH, f"torch {torch.__version__} is older than 2.11"
    if settings.is_gpu:
        assert torch.cuda.is_bf16_supported(including_emulation=False), "no bfloat16 instructions"
    return f"{settings.device} can be used"


def launch_seconds(device: str) -> float:
    """Time that the CPU takes to start a kernel which does nothing to speak of."""
    x = torch.ones(1, device=device)
    times = []
    for _ in range(5):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(1000):
            x += 1
        torch.cuda.synchronize(device)
        times.append((time.perf_counter() - start) / 1000)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(run_part(work))
