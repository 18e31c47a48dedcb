"""A sweep that evaluates trained runs again on a real Ray: killed, resumed, and done."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lvae_core.__main__ import main as core
from sweeps.launching.progress.board import Board
from sweeps.paper_grid import main

from .nodes import is_alive, process_tree, wait_until
from .test_sweep_run import SCRIPT, SUMMARIZE, WITHOUT_SEEDS

pytestmark = pytest.mark.usefixtures("one_ray_for_all")

TRAIN = [*WITHOUT_SEEDS, "--seeds", "1"]
FIELDS = ("iw_samples=6000", "iw_exact_samples=0")
KEPT = [word for word in TRAIN if not word.startswith("iw_samples=")]  # a field is given once
AGAIN = [*KEPT, "--set", *FIELDS, "--checkpoint-minutes", "0"]


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def numbers(folder: Path) -> dict[str, Any]:
    """The reproducible fields of the evaluation in a folder."""
    (file,) = folder.glob("evaluation-*.json")
    record = json.loads(file.read_text())
    return {name: record[name] for name in record if name not in ("attempt", "evaluate_seconds", "sha256")}


@pytest.mark.slow  # test_evaluate_again.py evaluates and kills without Ray, test_evaluations.py plans
def test_a_sweep_evaluates_again_survives_a_kill_and_leaves_the_training_alone(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(TRAIN) == 0
    study = tmp_path / "runs" / "paper"
    trained = contents(study)
    shutil.copytree(study, tmp_path / "alone")
    capsys.readouterr()

    assert main([*AGAIN, "--dry-run"]) == 0
    line = f"1 run to evaluate again ({', '.join(FIELDS)})"
    assert line in capsys.readouterr().out
    assert contents(study) == trained

    with subprocess.Popen(
        [sys.executable, str(SCRIPT), *AGAIN],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
    ) as first:
        saved = wait_until(lambda: any(study.rglob("evaluation-*.checkpoint.pt")))
        killed = process_tree(first.pid)
        for pid in killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        printed, _ = first.communicate(timeout=240)
    assert saved, printed
    assert line in printed
    assert wait_until(lambda: not any(map(is_alive, killed)))
    (progress,) = study.rglob("evaluation-*.checkpoint.pt")
    assert not list(study.rglob("evaluation-*[0-9a-f].json")), "it was killed in the middle"

    assert main(AGAIN) == 0
    out = capsys.readouterr().out
    assert "evaluated again: 1 of 1 run" in out
    assert f"next: python {SUMMARIZE} runs/paper --evaluation {' '.join(FIELDS)}" in out
    assert not progress.exists()
    after = contents(study)
    assert {path: after[path] for path in trained} == trained

    folder = progress.parent
    settings = [part for field in FIELDS for part in ("--set", field)]
    assert core(["evaluate", str(tmp_path / "alone" / folder.name), *settings]) == 0
    assert numbers(folder) == numbers(tmp_path / "alone" / folder.name)

    capsys.readouterr()
    assert main(AGAIN) == 0
    assert "nothing to start: 2 of 2 runs are done" in capsys.readouterr().out
    assert contents(study) == after


class KillingBoard(Board):
    """Kill the process of the second part when it reports for the first time."""

    killed = 0

    def report(self, name: str, report: Mapping[str, Any]) -> None:
        super().report(name, report)
        if name.endswith("part 2/2") and report["phase"] == "evaluate" and not KillingBoard.killed:
            KillingBoard.killed = report["pid"]
            os.kill(report["pid"], signal.SIGKILL)


@pytest.mark.slow
def test_an_evaluation_in_parts_has_the_numbers_of_the_whole_though_the_process_of_a_part_dies(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(TRAIN) == 0
    study = tmp_path / "runs" / "paper"
    shutil.copytree(study, tmp_path / "alone")
    capsys.readouterr()
    monkeypatch.setattr("sweeps.planning.evaluation_parts.PART_SECONDS", 1e-9)
    monkeypatch.setattr("sweeps.sweep.Board", KillingBoard)
    monkeypatch.setattr("sweeps.launching.launch._slots", lambda *_: 2)
    fields = ("iw_samples=20000", "iw_exact_samples=0")
    assert main([*KEPT, "--set", *fields, "--checkpoint-minutes", "0"]) == 0
    out = capsys.readouterr().out
    assert "__seed0: evaluated in 2 parts at the same time" in out
    assert KillingBoard.killed
    assert "__seed0 part 2/2: its process or node was lost (1)" in out
    assert "__seed0 part 2/2: scored" in out
    assert "evaluated again: 1 of 1 run" in out
    assert not list(study.rglob("*.checkpoint.pt"))
    (file,) = study.rglob("evaluation-*.json")
    settings = [word for field in fields for word in ("--set", field)]
    assert core(["evaluate", str(tmp_path / "alone" / file.parent.name), *settings]) == 0
    assert numbers(file.parent) == numbers(tmp_path / "alone" / file.parent.name)
