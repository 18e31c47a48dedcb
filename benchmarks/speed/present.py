"""Format the figures as a table and as JSON, and describe the machine. Never imports torch."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from speed.cases import PLAIN, Case, Job, Mode
from speed.launch import Figures

Results = dict[Job, Figures]
"""Measurements -> their figures."""

FLAGS = ("amx_bf16", "avx512_bf16", "avx2")
"""Processor flags that determine the speed of bfloat16 and float32."""

NOTES = """\
tokens/s: at the median pass; each predicted token counts once, not L or S times.
run: 1x2 is one run on 2 threads; 2x1 is two concurrent runs on 1 thread each, with summed tokens/s.
ms/step and peak MiB (of the whole process; on CUDA of its tensors) are those of one run.
ratio: relative to the tokens/s of plain. Plain code does not average states: lstm-vae-avg is compared with
plain lstm-vae at the same L, which decodes L times and computes L softmaxes.
of limit: time that the variant's matrix products (counted in speed/limit.py) would take at the speed of the
softmax's products, measured in the same processes, as a share of the whole time; float32 only.
sa-vae: a step has 20 steps of inference and the way back through them. lstm-vae-ain: 15 updates of the
encoder and one of the decoder, each with all gradients; the tokens count once.
iw500: log-likelihoods from 500 samples per sentence; a step is a batch of sentences."""


class Row(NamedTuple):
    """The figures of a case and variant; ``ratio`` is None if plain was not measured."""

    case: str
    variant: str
    mode: Mode
    figures: Figures
    ratio: float | None


def rows(selected: Sequence[Case], results: Mapping[Job, Figures]) -> Iterator[Row]:
    """Yield the measured figures of the selected cases, in order."""
    for case in selected:
        for mode in case.modes:
            plain = results.get(case.job(PLAIN[0], mode))
            for variant in case.variants:
                figures = results.get(case.job(variant, mode))
                if figures is None:
                    continue
                speed = figures.tokens_per_second.median
                ratio = None if plain is None else speed / plain.tokens_per_second.median
                yield Row(case.name, variant, mode, figures, ratio)


def table(selected: Sequence[Case], results: Mapping[Job, Figures]) -> Table:
    """Make the table: one section per case, one line per measurement."""
    shown = Table(title="lvae_core and plain code", caption=NOTES, caption_justify="left")
    for name in ("variant", "run"):
        shown.add_column(name, no_wrap=True)
    for name in ("tokens/s", "quartiles", "ms/step", "ratio", "of limit", "peak MiB"):
        shown.add_column(name, justify="right", no_wrap=True)
    above = ""
    for case, variant, mode, figures, ratio in rows(selected, results):
        if case != above:
            shown.add_section()
            shown.add_row(case)
        speed = figures.tokens_per_second
        shown.add_row(
            f"  {variant}",
            str(mode),
            f"{speed.median:,.0f}",
            f"{speed.lower:,.0f}–{speed.upper:,.0f}",
            f"{figures.step_seconds * 1000:,.1f}",
            "" if ratio is None else f"{ratio:.2f}",
            "" if figures.of_limit is None else f"{figures.of_limit:.0%}",
            f"{figures.peak_memory_bytes / 2**20:,.0f}",
        )
        above = case
    return shown


def records(selected: Sequence[Case], results: Mapping[Job, Figures], device: str) -> str:
    """Format the figures as JSON. ``threads`` is per process: 2 for 1x2, 1 for 2x1."""
    listed = [
        {
            "case": row.case,
            "variant": row.variant,
            "device": device,
            "threads": row.mode.threads,
            "tokens_per_second": row.figures.tokens_per_second.median,
            "ratio_to_plain": row.ratio,
            "of_limit": row.figures.of_limit,
            "peak_memory_bytes": row.figures.peak_memory_bytes,
        }
        for row in rows(selected, results)
    ]
    return json.dumps(listed, indent=1) + "\n"


def machine(gpu: str, torch: str) -> str:
    """Describe processor, relevant flags, GPU and versions in one line.

    ``gpu`` is the name of the GPU and ``torch`` the version of torch; "" if none or unknown.
    """
    name, flags = platform.processor() or platform.machine(), "not known"
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        known = {key.strip(): value.strip() for key, _, value in lines}
        name = known.get("model name", name)
        flags = ", ".join(f for f in FLAGS if f in known.get("flags", "").split()) or "none"
    parts = [f"{name}, {os.cpu_count()} cores (of {', '.join(FLAGS)}: {flags})"]
    parts += [gpu] * bool(gpu) + [f"torch {torch}"] * bool(torch)
    return "; ".join([*parts, f"Python {platform.python_version()}", platform.platform()])
