"""One variant of one case, timed in a process of its own, and what was found as a line of JSON.

    cd benchmarks; python -m speed.measure ptb/lstm-vae/L1/standard "ours bfloat16" --threads 2

Needs torch and numpy alone, so it can be run by hand where there is nothing else.
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
from lvae_core.data.batches import collate
from lvae_core.data.corpus import Split
from lvae_core.errors import InputError, check_name
from lvae_core.model.layers.softmax import CHUNK_LOGITS
from lvae_core.training.runtime import Runtime, check_device, keep_freed_memory, set_arithmetic
from speed import ours, plain
from speed.cases import PLAIN, Case, cases
from speed.limit import is_float32

WARM_SECONDS = 2.0
LIMIT_SECONDS = 0.5
"""For which matrix products alone are timed, or for twice as long where three take longer."""


def main() -> int:
    """Warm up, measure, print; with ``--together`` in step with others (see :func:`await_others`)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("case")
    parser.add_argument("variant")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0, help="of timed passes, at least")
    parser.add_argument(
        "--within", type=float, default=math.inf, help="fewer passes than usual if they take longer"
    )
    parser.add_argument("--quick", action="store_true", help="the short form of the case")
    parser.add_argument("--nondeterministic", action="store_true", help="let ours use any algorithm")
    parser.add_argument("--together", action="store_true", help="wait for a line before timing; never end")
    options = parser.parse_args()
    try:
        known = cases(quick=options.quick)
        check_name(options.case, known, "case")
        case = known[options.case]
        check_name(options.variant, case.variants, "variant")
        check_device(options.device)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    run = make_pass(
        case, options.variant, options.device, options.threads, deterministic=not options.nondeterministic
    )
    device = torch.device(options.device)
    passes, until = repeated(run, device), time.perf_counter() + options.within
    # The first pass pays for the kernels of every length, the second for memory that has not settled.
    time_passes(passes, at_least=case.warm_passes, seconds=WARM_SECONDS, at_most=options.within / 2)
    if options.together:
        await_others()
    left = until - time.perf_counter()
    timed = time_passes(passes, at_least=case.min_passes, seconds=options.seconds, at_most=left)
    found = report(timed, options.device)  # before the limit is measured, which takes memory of its own
    found["flops_per_second"] = limit(case, device) if is_float32(case, options.variant) else None
    print(json.dumps(found), flush=True)
    parent = os.getppid()
    while options.together and os.getppid() == parent:
        next(passes)  # the others are still being timed beside this process
    return 0


def make_pass(
    case: Case, variant: str, device: str, threads: int, *, deterministic: bool
) -> Callable[[], Tensor]:
    """The function to be timed: one step of ``variant`` on every batch of ``case``."""
    torch.set_num_threads(threads)
    split = synthetic_text(case)
    if variant not in PLAIN:
        config = replace(case.our_config(variant), deterministic=deterministic)
        set_arithmetic(config, Runtime(device=device, threads=threads))
        make = ours.training if case.task == "train" else ours.evaluation
        return make(config, case.num_classes, split, device)
    if variant == "plain+malloc":
        keep_freed_memory()
    torch.manual_seed(0)
    # Ready on the device beforehand, as public code has them; ours collates in every step.
    order = np.arange(len(split)).reshape(-1, case.batch_size)
    batches = [collate(split, indices).words.to(device) for indices in order]
    make_plain = plain.training if case.task == "train" else plain.evaluation
    return make_plain(case.config, case.num_classes, batches)


def synthetic_text(case: Case) -> Split:
    """The batches of a case end to end: words by Zipf's law, the same every time, and ``</s>`` (0)."""
    generator = np.random.default_rng(rng.derive(0, "order", "core_speed"))
    frequency = 1 / np.arange(1, case.num_classes)  # of classes 1 to V - 1
    offsets = np.concatenate([[0], np.repeat(case.lengths, case.batch_size).cumsum()])
    tokens = 1 + generator.choice(len(frequency), size=offsets[-1], p=frequency / frequency.sum())
    tokens[offsets[1:] - 1] = 0
    return Split(tokens.astype(np.int32), offsets)


def repeated(run: Callable[[], Tensor], device: torch.device) -> Iterator[float]:
    """Seconds of one pass after the other, without end.

    Raises:
        FloatingPointError: a result is not finite, so that the arithmetic timed is not that of a run.
    """
    while True:
        since = time.perf_counter()
        value = run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - since
        if not bool(torch.isfinite(value).all()):
            raise FloatingPointError("the loss is not finite")
        yield seconds


def time_passes(
    passes: Iterator[float], *, at_least: int, seconds: float, at_most: float = math.inf
) -> list[float]:
    """So many passes at least, and until so many seconds have gone by; the seconds of each.

    Fewer, but one, where another like the last would not end within ``at_most`` seconds.
    """
    since, timed = time.perf_counter(), [next(passes)]
    while len(timed) < at_least or time.perf_counter() - since < seconds:
        if time.perf_counter() - since + timed[-1] > at_most:
            break
        timed.append(next(passes))
    return timed


def limit(case: Case, device: torch.device) -> float:
    """FLOPs a second of this process in float32 products of the softmax's shapes, at their median.

    As many logits as ours makes at once, in training both gradients, into memory that is there already.
    """
    H, V = case.config.hidden_size, case.num_classes
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
    """Say that the warm-up is over and wait for the word to go on."""
    print("ready", flush=True)
    sys.stdin.readline()


def report(seconds: list[float], device: str) -> dict[str, object]:
    """What the parent is told: the seconds of each pass, the peak memory, versions."""
    if device.startswith("cuda"):
        peak, name = torch.cuda.max_memory_allocated(device), torch.cuda.get_device_name(device)
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        peak, name = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, ""
    return {"seconds": seconds, "peak_memory_bytes": peak, "gpu": name, "torch": torch.__version__}


if __name__ == "__main__":
    sys.exit(main())
