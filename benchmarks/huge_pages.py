"""Measure training with huge pages against training without them, at the size of Penn Treebank.

    python benchmarks/huge_pages.py [--pairs 3] [--threads 1]

The baseline is the same training in a process that the kernel gives no huge pages (PR_SET_THP_DISABLE). The
processes take turns, so that other programs of the machine slow both.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.table import Table
from speed import ours
from speed.cases import cases
from speed.measure import synthetic_text
from speed.present import machine

from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.runtime import Runtime

CASES = ("ptb/lstm-lm/standard", "ptb/lstm-vae/L1/standard", "ptb/lstm-vae-avg/L5/standard")

_PR_SET_THP_DISABLE = 41  # <linux/prctl.h>
_WARM_UP, _SECONDS = 4, 8.0
_THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def main(
    pairs: Annotated[int, tyro.conf.arg(help="Measurements of each kind.")] = 3,
    threads: Annotated[int, tyro.conf.arg(help="Threads of each process.")] = 1,
    child: Annotated[str, tyro.conf.arg(help="CASE or CASE,without: measure one in this process.")] = "",
) -> None:
    """Measure and print one table."""
    if child:
        name, _, without = child.partition(",")
        print(rate(name, threads, huge=not without))
        return
    print(machine("", torch.__version__))
    print(f"huge pages of this kernel: {_THP.read_text().strip()}")
    table = Table(
        "case", "without, tokens/s", "with", "ratio", title=f"{threads} threads, median of {pairs}"
    )
    for name in CASES:
        found: dict[str, list[float]] = {name: [], f"{name},without": []}
        for _ in range(pairs):
            for kind, rates in found.items():
                command = [sys.executable, __file__, "--threads", str(threads), "--child", kind]
                rates.append(float(subprocess.run(command, check=True, capture_output=True).stdout))
        huge, small = (median(rates) for rates in found.values())
        table.add_row(name, f"{small:,.0f}", f"{huge:,.0f}", f"{huge / small:.2f}")
    Console().print(table)


def rate(name: str, threads: int, *, huge: bool) -> float:
    """Tokens per second of training in this process.

    Raises:
        OSError: the kernel cannot keep huge pages from a process.
    """
    if not huge and ctypes.CDLL(None).prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0):
        raise OSError("this kernel cannot keep huge pages from a process")
    case = cases(quick=False)[name]
    split, config = synthetic_text(case), case.our_config("ours float32")
    set_arithmetic(config, Runtime(threads=threads))
    take_pass = ours.training(config, case.num_classes, split, "cpu")
    for _ in range(_WARM_UP):
        take_pass()
    begun, passes = time.perf_counter(), 0
    while time.perf_counter() - begun < _SECONDS:
        take_pass()
        passes += 1
    return passes * split.num_tokens / (time.perf_counter() - begun)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
