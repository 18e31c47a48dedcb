"""A disk that fills in the middle of a command: one line with the remedy, and the same command resumes."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import analysis.summarize
from lvae_core.__main__ import main
from lvae_core.storage import local, retrying
from sweeps import paper_grid
from sweeps.cluster import scratch_folder

from ..logs import expect_log
from .faults import Disk
from .small_run import SmallRun, make_small_run, outcome

RETRY_SECONDS = 0.05


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> SmallRun:
    return make_small_run(None, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def undisturbed(small) -> Path:
    folder = small.folder / "undisturbed"
    assert main(small.arguments(folder)) == 0
    return folder


@pytest.fixture
def fill_at(disk, monkeypatch) -> Callable[[str, int], None]:
    """A function that makes the disk fill just before the n-th write of a file; time-outs are short."""
    monkeypatch.setattr(retrying, "RETRY_SECONDS", RETRY_SECONDS)
    put, left = local._put, {}

    def filling(target: Path, *arguments: object) -> bool:
        left[target.name] = left.get(target.name, 0) - 1
        if left[target.name] == 0:
            fill(disk)
        return put(target, *arguments)

    monkeypatch.setattr(local, "_put", filling)

    def fill_at(file: str, nth: int) -> None:
        left[file] = nth

    return fill_at


def fill(disk: Disk) -> None:
    """Fill the disk to its last page."""
    with ballast(disk).open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(disk.folder).free == 0


def ballast(disk: Disk) -> Path:
    """The file that fills the disk."""
    return disk.folder / "ballast"


@pytest.mark.parametrize(
    ("file", "nth", "failing"),
    [
        ("claim-1.json", 1, "claim-1.json"),
        ("config.json", 1, "config.json"),
        ("metrics.jsonl", 1, "provenance.json"),  # an empty file takes no page
        ("metrics.jsonl", 2, "metrics.jsonl"),
        ("provenance.json", 1, "provenance.json"),
        ("checkpoint.pt", 1, "checkpoint.pt"),
        ("checkpoint.pt", 2, "checkpoint.pt"),
        ("checkpoint.pt", 5, "checkpoint.pt"),
        ("result.json", 1, "result.json"),
    ],
)
def test_a_run_whose_disk_fills_resumes_to_the_same_bits_once_there_is_space(
    small, undisturbed, disk, fill_at, capsys, file, nth, failing
):
    out = disk.folder / "run"
    capsys.readouterr()
    fill_at(file, nth)
    with expect_log("lvae.storage"):
        assert main(small.arguments(out)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("warning: ")] == [
        f"warning: {out}/{failing}: No space left on device; trying again for up to {RETRY_SECONDS:g} s"
    ]
    assert lines[-1].startswith(f"error: {out}/{failing}: No space left on device; tried again for 0.")
    resume = " to resume it" if list(out.glob("checkpoint*.pt")) else ""
    assert lines[-1].endswith(f" s; free some space on its disk, then do the same again{resume}")
    assert not [name for name in os.listdir(out) if name.startswith(("claim", "."))]
    ballast(disk).unlink()
    assert main(small.arguments(out)) == 0
    assert "warning" not in capsys.readouterr().err
    assert outcome(out) == outcome(undisturbed)
    assert set(os.listdir(out)) == set(os.listdir(undisturbed))


def test_an_evaluation_whose_disk_fills_is_made_once_there_is_space(
    small, undisturbed, disk, fill_at, capsys
):
    out = disk.folder / "run"
    assert main(small.arguments(out)) == 0
    before = outcome(out)
    evaluate = ["evaluate", str(out), "--set", "iw_samples=5"]
    fill(disk)
    with expect_log("lvae.storage"):
        assert main(evaluate) == 2
    assert "; free some space on its disk, then do the same again" in capsys.readouterr().err
    assert outcome(out) == before
    ballast(disk).unlink()
    assert main(evaluate) == 0
    assert outcome(out) == before


def test_a_summary_on_a_full_disk_is_refused_in_one_line(undisturbed, disk, monkeypatch, capsys):
    fill(disk)
    place = f"{disk.folder}/summary"
    monkeypatch.setattr("sys.argv", ["summarize.py", str(undisturbed), "--out", place, "--no-figures"])
    with pytest.raises(SystemExit) as end:
        analysis.summarize.main()
    assert end.value.code == 2
    line = f"error: --out {place}: cannot be written (No space left on device); give another folder\n"
    assert capsys.readouterr().err == line


def test_a_sweep_does_not_start_where_ray_has_no_space_for_its_logs(disk, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RAY_TMPDIR", str(disk.folder))
    monkeypatch.setattr(scratch_folder, "_LONGEST_SOCKET", 300)  # pytest's folders have long paths
    grid = ["--datasets", "toy", "--systems", "lstm-lm", "--settings", "standard", "--seeds", "1"]
    assert paper_grid.main([*grid, "--storage", str(tmp_path / "runs")]) == 2
    line = (
        f"error: {disk.folder}: 1.0 MB free, and Ray needs 20 MB for its logs; free some space there, or "
        "set RAY_TMPDIR to another folder with a short path\n"
    )
    assert capsys.readouterr().err == line
    assert not (tmp_path / "runs").exists()
