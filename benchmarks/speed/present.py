"""The figures as a table and as records, and the machine they come from. No torch here."""

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
"""What has been measured."""

FLAGS = ("amx_bf16", "avx512_bf16", "avx2")
"""Of a processor: what the speed of bfloat16 and of float32 hangs on."""

NOTES = """\
tokens/s: at the median pass; each predicted word counts once, not L or S times.
run: 1x2 is one run on 2 threads; 2x1 two runs at once on 1 thread each, their tokens/s added up.
ms/step and peak MiB (of the whole process; on CUDA of its tensors) are those of one run.
ratio: to plain's tokens/s. Plain code has no averaging of states: beside lstm-vae-avg stands plain's
lstm-vae with the same L, which decodes L times and computes L softmaxes.
of limit: what the matrix products of the variant (counted in speed/limit.py) would take at the
speed of the softmax's alone, timed in the same processes, as a part of all time; float32 only.
iw500: log-likelihoods from 500 samples a sentence; a step is a batch of sentences."""


class Row(NamedTuple):
    """The figures of a case and variant; ``ratio`` is None where plain was not measured."""

    case: str
    variant: str
    mode: Mode
    figures: Figures
    ratio: float | None


def rows(selected: Sequence[Case], results: Mapping[Job, Figures]) -> Iterator[Row]:
    """What was measured of the selected cases, in order."""
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
    """A section for each case, a line for each of its rows."""
    shown = Table(title="lvae_core beside plain code", caption=NOTES, caption_justify="left")
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
    """The same as JSON. ``threads`` is that of one process: 2 for 1x2; 1 for 2x1, two runs added up."""
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
    """The processor, its flags of interest, the GPU if one was used, and versions: one line.

    ``gpu`` and ``torch`` are its name and the version, "" where there is none or it is not known.
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
