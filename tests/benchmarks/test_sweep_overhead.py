"""The benchmark of Ray's overhead: it measures the command, not itself."""

import os

import numpy as np
import sweep_overhead
from rich.console import Console
from sweep_overhead import Launch, growth_table, run_through_ray

MIB = 2**20

COMMAND = """
import os, sys
from pathlib import Path

if os.fork():  # as in sweeps/guardian.py
    os.wait()
    sys.exit()
held = bytearray(b"x") * (100 * 2**20)
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
run = Path(options["--storage"], options["--study"], "run")
run.mkdir(parents=True)
(run / "result.json").write_text("{}")
for _ in range(4):  # more than a pipe holds, so this process lives until most is read
    print("-" * 2**16, flush=True)
"""
"""Stands for sweeps/paper_grid.py: a small process, and a child that holds 100 MiB."""


def test_the_memory_of_a_launch_is_that_of_its_driver_without_the_benchmark_s_own(tmp_path, monkeypatch):
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    monkeypatch.setattr(sweep_overhead, "SCRIPT", script)
    held = np.ones(300 * MIB, np.uint8)
    launch = run_through_ray([], str(tmp_path / "study"), {**os.environ, "LVAE_ADDRESS": "none"})
    assert 100 * MIB <= launch.driver_bytes < 200 * MIB < held.nbytes


def test_every_number_of_runs_is_compared_with_a_plain_loop():
    # 100 runs in 10 s in a loop: 0.1 s each. Through Ray 0.25 s, 0.08 s, and 90 s more for 1,400 more.
    costs = {"driver_bytes": 100 * MIB, "silence": 1.0, "driver_seconds": 2.0, "end_seconds": 1.0}
    launches = {100: Launch(seconds=25.0, **costs), 1500: Launch(seconds=115.0, **costs)}
    console = Console(width=120, record=True)
    console.print(growth_table(launches, 10.0))
    rows = [line.split("│")[1:5] for line in console.export_text().splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["100 in a plain loop", "10.0", "0.100", "1"],
        ["100", "25.0", "0.250", "2.50"],
        ["1500", "115.0", "0.077", "0.77"],
        ["each between 100 and 1500", "", "0.064", "0.64"],
    ]
