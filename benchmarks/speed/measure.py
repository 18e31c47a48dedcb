"""Time one variant of one case in this process and print a report as one line of JSON.

    cd benchmarks; python -m speed.measure ptb/lstm-vae/L1/standard "ours bfloat16" --threads 2

It needs only torch and numpy, so it can be run by hand on a machine that has nothing else.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lvae_core import rng
from lvae_core.command import print_error
from lvae_core.data.batches import collate
from lvae_core.data.corpus import Split
from lvae_core.errors import InputError, check_name
from lvae_core.model.counts import DECODERS
from lvae_core.model.layers.softmax import CHUNK_LOGITS
from lvae_core.training.allocator import keep_freed_memory
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.runtime import Runtime, check_device
from speed import ours, plain, plain_systems
from speed.cases import PLAIN, Case, cases
from speed.limit import is_float32

WARM_SECONDS = 2.0
LIMIT_SECONDS = 0.5
"""Time to measure bare matrix products; up to twice as long if three passes take longer."""


def main() -> int:
    """Warm up, measure and print; with ``--together`` in step with others (see :func:`await_others`)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("case")
    parser.add_argument("variant")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="shortest total time of the timed passes (default: 4)"
    )
    parser.add_argument(
        "--within",
        type=float,
        default=math.inf,
        help="do fewer passes than usual if they would take longer than this many seconds",
    )
    parser.add_argument("--quick", action="store_true", help="measure the short form of the case")
    parser.add_argument("--tiny", action="store_true", help="measure the case at tiny sizes, to try it")
    parser.add_argument(
        "--nondeterministic", action="store_true", help="let our variants use nondeterministic algorithms"
    )
    parser.add_argument(
        "--together",
        action="store_true",
        help="wait for a line on standard input before timing, then keep working until the parent ends",
    )
    options = parser.parse_args()
    try:
        known = cases(quick=options.quick)
        check_name(options.case, known, "case")
        case = known[options.case].tiny() if options.tiny else known[options.case]
        check_name(options.variant, case.variants, "variant")
        check_device(options.device)
    except InputError as error:
        print_error(error)
        return 2

    run = make_pass(
        case, options.variant, options.device, options.threads, deterministic=not options.nondeterministic
    )
    device = torch.device(options.device)
    passes, until = repeated(run, device), time.perf_counter() + options.within
    # The first pass pays for preparing kernels for every length, the second for growing memory.
    warm = 0.0 if options.tiny else WARM_SECONDS
    time_passes(passes, at_least=case.warm_passes, seconds=warm, at_most=options.within / 2)
    if options.together:
        await_others()
    left = until - time.perf_counter()
    timed = time_passes(passes, at_least=case.min_passes, seconds=options.seconds, at_most=left)
    found = report(timed, options.device)  # before measuring the limit, which needs further memory
    found["flops_per_second"] = measure_limit(case, device) if is_float32(case, options.variant) else None
    print(json.dumps(found), flush=True)
    parent = os.getppid()
    while options.together and os.getppid() == parent:
        next(passes)  # keep the machine busy while the other processes are timed
    return 0


def make_pass(
    case: Case, variant: str, device: str, threads: int, *, deterministic: bool
) -> Callable[[], Tensor]:
    """Make the function to time: one step of ``variant`` on every batch of ``case``."""
    torch.set_num_threads(threads)
    split = synthetic_text(case)
    if variant not in PLAIN:
        config = replace(case.our_config(variant), deterministic=deterministic)
        set_arithmetic(config, Runtime(device=device, threads=threads))
        make = ours.training if case.task == "train" else ours.evaluation
        return make(config, case.num_classes, split, device)
    if variant == "plain+malloc":
        keep_freed_memory()
    # In float32 like ours: by default cuDNN would compute it with ten bits of mantissa.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(0)
    # The batches of plain code are prepared on the device, as is usual; ours collates in every step.
    order = np.arange(len(split)).reshape(-1, case.batch_size)
    batches = [collate(split, indices).words.to(device) for indices in order]
    if case.task == "train":
        return plain_systems.training(case.config, case.num_classes, batches)
    return plain.evaluation(case.config, case.num_classes, batches)


def synthetic_text(case: Case) -> Split:
    """Make the text of a case, batch after batch: fixed random words by Zipf's law, then ``</s>`` (0)."""
    generator = np.random.default_rng(rng.derive(0, "order", "core_speed"))
    frequency = 1 / np.arange(1, case.num_classes)  # of classes 1 to V - 1
    offsets = np.concatenate([[0], np.repeat(case.lengths, case.batch_size).cumsum()])
    tokens = 1 + generator.choice(len(frequency), size=offsets[-1], p=frequency / frequency.sum())
    tokens[offsets[1:] - 1] = 0
    return Split(tokens.astype(np.int32), offsets)


def repeated(run: Callable[[], Tensor], device: torch.device) -> Iterator[float]:
    """Repeat a pass for ever and yield the seconds of each.

    Raises:
        FloatingPointError: a result is not finite, so the timing would not be that of a real run.
    """
    while True:
        start = time.perf_counter()
        value = run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
        if not bool(torch.isfinite(value).all()):
            raise FloatingPointError("the loss is not finite")
        yield seconds


def time_passes(
    passes: Iterator[float], *, at_least: int, seconds: float, at_most: float = math.inf
) -> list[float]:
    """Time at least ``at_least`` passes for at least ``seconds`` seconds; return the seconds of each.

    Stop earlier, but after at least one pass, if another one would not end within ``at_most`` seconds.
    """
    start, timed = time.perf_counter(), [next(passes)]
    while len(timed) < at_least or time.perf_counter() - start < seconds:
        if time.perf_counter() - start + timed[-1] > at_most:
            break
        timed.append(next(passes))
    return timed


def measure_limit(case: Case, device: torch.device) -> float:
    """Measure the median FLOPs per second of this process in float32 products of the softmax's shapes.

    The products have the size of our chunks of logits, include both gradients in training, and write to
    preallocated memory.
    """
    H, V = DECODERS[case.config.decoder](case.config).output_size, case.num_classes
    rows = max(1, CHUNK_LOGITS[device.type] // V)
    hidden, weight, delta = (torch.randn(size, device=device) for size in ((rows, H), (V, H), (rows, V)))
    d_hidden, d_weight = torch.empty_like(hidden), torch.empty_like(weight)
    logits = torch.empty_like(delta)

    @torch.no_grad()
    def run() -> Tensor:
        torch.mm(hidden, weight.T, out=logits)
        if case.task == "train":
            torch.mm(delta, weight, out=d_hidden)
            torch.mm(delta.T, hidden, out=d_weight)
        return logits[0]

    passes = repeated(run, device)
    next(passes)
    products = 3 if case.task == "train" else 1
    timed = time_passes(passes, at_least=3, seconds=LIMIT_SECONDS, at_most=2 * LIMIT_SECONDS)
    return products * 2 * rows * H * V / statistics.median(timed)


def await_others() -> None:
    """Report the end of the warm-up and wait for a line on standard input."""
    print("ready", flush=True)
    sys.stdin.readline()


def report(seconds: list[float], device: str) -> dict[str, object]:
    """Make the report for the parent: seconds of each pass, peak memory, device and version of torch."""
    if device.startswith("cuda"):
        peak, name = torch.cuda.max_memory_allocated(device), torch.cuda.get_device_name(device)
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        peak, name = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, ""
    return {"seconds": seconds, "peak_memory_bytes": peak, "gpu": name, "torch": torch.__version__}


if __name__ == "__main__":
    sys.exit(main())
