"""Speed and memory of training steps and evaluations on the device, with plain code as the baseline."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from speed.cases import PLAIN, TRAINING, Case, cases
from speed.limit import flops_per_token
from speed.measure import repeated, set_arithmetic, synthetic_text, time_passes
from torch import Tensor

from gpu import graphs
from gpu.clock import GRAPHS, Clock, Timing
from gpu.records import Record, Settings, check, note, run_part
from lvae_core.data.batches import collate
from lvae_core.training.runtime import Runtime

IW_AVG = "ptb/lstm-vae-avg/L10/iw500/standard"
"""A case that core_speed.py lacks: the evaluation whose decoders cost most."""

FIRST = (
    *("ptb/lstm-vae/L1/standard", "ptb/lstm-vae-avg/L10/standard", "ptb/lstm-vae/L10/standard"),
    *("ptb/lstm-vae/iw500/standard", IW_AVG, "ptb/lstm-lm/standard", "ptb/lstm-vae-avg/L5/standard"),
    *("ptb/lstm-vae/L5/standard", "ptb/lstm-vae/L1/inputless", "ptb/lstm-vae-avg/L10/inputless"),
)
"""The most informative cases; the others follow in the order of core_speed.py."""

LARGE_CHUNK = ", large chunks"
"""Ends the name of an evaluation that computes 131,072 decoder positions at once, not 16,384."""


def selected(settings: Settings) -> list[Case]:
    """The cases, the most informative first."""
    known = cases(quick=False)
    evaluation = known["ptb/lstm-vae/iw500/standard"]
    averaged = replace(
        known["ptb/lstm-vae-avg/L10/standard"].config, iw_samples=evaluation.config.iw_samples
    )
    known[IW_AVG] = replace(evaluation, name=IW_AVG, baseline=IW_AVG, config=averaged)
    ordered = sorted(known.values(), key=lambda case: (*FIRST, case.name).index(case.name))
    if settings.tiny:
        return [case.tiny() for case in ordered]
    # On a GPU an evaluation takes whole batches.
    return [replace(case, config=replace(case.config, eval_batch_size=32)) for case in ordered]


def variants(case: Case, settings: Settings) -> list[str]:
    """The variants of a case, the baseline first."""
    if case.task == "train":
        # A graph would keep the counter of Adam's steps, and cannot read the state of a generator. An
        # aggressive step looks at its losses.
        config = case.config
        kept = config.optimiser == "sgd" and config.objective == "elbo" and config.step == "joint"
        graphed = settings.is_gpu and kept and config.inference == "amortised"
        ends = ("", GRAPHS) if graphed else ("",)
        return [PLAIN[0], *(name + end for name in case.variants if name not in PLAIN for end in ends)]
    plain = [PLAIN[0]] if case.name != IW_AVG else []
    two_phase = "ours two-phase"
    return [*plain, "ours float32", two_phase, two_phase + LARGE_CHUNK, f"{two_phase}, rough in bfloat16"]


def work(settings: Settings) -> Iterator[Record]:
    """Measure the device's limits, then every variant of every case."""
    clock = Clock(settings.device, 0.1, 0.1) if settings.tiny else Clock(settings.device, 0.6, 1.0)
    limits = {}
    for precision in ("float32", "tf32", "bfloat16") if settings.is_gpu else ("float32", "bfloat16"):
        limits[precision] = clock.limit(precision, 8192 if settings.is_gpu else 256)
        text = f"{limits[precision] / 1e12:,.3g} TFLOP/s in products of square matrices"
        yield note(f"peak, {precision}", text, flops_per_second=limits[precision])
    if settings.wants("preparing batches"):
        yield preparation(cases(quick=False)[FIRST[0]], settings, clock.seconds)
    graph_bits = "a graph gives the bits of its step"
    baselines: dict[str, float] = {}
    for case, variant in jobs(settings):
        name = f"{case.name}, {variant}"
        key = case.baseline if variant in PLAIN else name
        if not settings.wants(name) or key in baselines:
            continue
        if variant.endswith(GRAPHS) and graph_bits:
            yield check(graph_bits, lambda: compare_graph(settings))
            graph_bits = ""
        try:
            found = clock.time(*resolved(case, variant))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            yield note(name, "out of memory")
            continue
        except (RuntimeError, ArithmeticError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            yield {"name": name, "passed": False, "text": f"{type(error).__name__}: {reason}"}
            continue
        baselines[key] = found.tokens_per_second
        yield record(name, case, variant, found, baselines.get(case.baseline), limits)


def preparation(case: Case, settings: Settings, seconds: float) -> Record:
    """Time what a step does on the CPU before its first kernel: collate a batch and begin to send it.

    Batches are not prefetched: no step waits for the GPU, so the CPU prepares the next batch while the GPU
    still computes. Only where this takes a large part of ms/step could prefetching gain something.
    """
    case = case.tiny() if settings.tiny else case
    split = synthetic_text(case)
    order = np.arange(len(split)).reshape(-1, case.batch_size)

    def run() -> Tensor:
        for indices in order:
            batch = collate(split, indices).to(settings.device)
        return batch.words

    passes = repeated(run, torch.device(settings.device))
    timed = statistics.median(time_passes(passes, at_least=3, seconds=seconds)) / len(order)
    text = f"{timed * 1e3:,.3f} ms/step to collate and send, {case.name}"
    return note("preparing batches", text, seconds_per_step=timed)


def jobs(settings: Settings) -> list[tuple[Case, str]]:
    """All measurements: of the informative cases, then those with graphs, then of the other cases.

    A capture that fails can leave the process unable to go on.
    """
    every = [(case, variant) for case in selected(settings) for variant in variants(case, settings)]
    return sorted(every, key=lambda job: (job[0].name not in FIRST) * 2 or int(job[1].endswith(GRAPHS)))


def resolved(case: Case, variant: str) -> tuple[Case, str]:
    """The case and the variant's name in speed/cases.py."""
    if not variant.endswith(LARGE_CHUNK):
        return case, variant
    return replace(case, config=replace(case.config, eval_chunk_tokens=131_072)), variant.removesuffix(
        LARGE_CHUNK
    )


def record(
    name: str, case: Case, variant: str, found: Timing, plain: float | None, limits: dict[str, float]
) -> Record:
    """Make the record of a timing."""
    low = "bfloat16" in variant
    known, bare = resolved(case, variant.removesuffix(GRAPHS))
    rate = found.tokens_per_second * flops_per_token(known, bare)
    share = rate / limits["bfloat16" if low else "float32"]
    ratio = None if plain is None else found.tokens_per_second / plain
    parts = [f"{found.tokens_per_second:,.0f} tokens/s", f"{found.step_seconds * 1e3:,.2f} ms/step"]
    parts += [f"{ratio:.2f} × plain"] if ratio is not None else []
    parts += [f"{share:.0%} of peak"]
    parts += [f"{found.peak_bytes / 2**20:,.0f} MiB"] if found.peak_bytes else []
    return note(
        name,
        ", ".join(parts),
        case=case.name,
        variant=variant,
        tokens_per_second=found.tokens_per_second,
        steps_per_second=1 / found.step_seconds,
        ratio_to_plain=ratio,
        share_of_peak=share,
        peak_memory_bytes=found.peak_bytes,
    )


def compare_graph(settings: Settings) -> str:
    """Compare replayed steps with steps."""
    case = cases(quick=False)["ptb/lstm-vae/L1/standard"]
    for variant in TRAINING:
        config = case.our_config(variant)
        set_arithmetic(config, Runtime(device=settings.device))
        text = synthetic_text(case)
        assert graphs.same_bits(config, case.num_classes, text, settings.device, 5), (
            f"{variant}: other bits"
        )
    return "losses and parameters of 5 steps, float32 and bfloat16"


if __name__ == "__main__":
    sys.exit(run_part(work))
