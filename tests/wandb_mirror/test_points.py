"""Points within epochs in W&B: on their own axis, in order, each once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lvae_core.run_folder.digests import seal_rows
from lvae_core.run_folder.folder import DamagedError, RunFolder
from sweeps.wandb_mirror.content import is_same_line, read_content
from sweeps.wandb_mirror.cursor import Cursor

from ..wandb_server.server import Server
from .kit import Mirror, Work, assert_mirrored, begin, complete, mirrored, points, rows, until


def write(folder: RunFolder, within: float, epochs: int, seed: int = 0, speed: float = 1000.0) -> None:
    """Have the run train on, as the trainer does: the points before the row of their epoch."""
    folder.write_steps(seal_rows(points(within, seed, speed=speed)))
    folder.write_metrics(rows(epochs, seed))


def steps_of(folder: RunFolder) -> list[tuple[int, bool]]:
    content = read_content(folder)
    assert content is not None
    return [(line["step"], "train/loss" in line) for line in content.history]


def test_points_and_rows_are_one_history_by_step_that_only_grows(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study")
    whole = [(5, True), (10, True), (10, False), (15, True), (20, True), (20, False), (25, True)]
    for within, epochs, lines in ((0.5, 0, 1), (1, 0, 2), (1, 1, 3), (1.5, 1, 4), (2.5, 1, 5), (2.5, 2, 7)):
        write(folder, within, epochs)
        assert steps_of(folder) == whole[:lines]


def test_a_run_of_an_earlier_version_keeps_its_history_and_digest(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study", epochs=3)
    earlier = read_content(folder)
    assert earlier is not None
    assert earlier.history == rows(3)
    # Resumed by this version, it adds points after the rows that W&B already has.
    folder.write_steps(seal_rows(points(3.5)[6:]))
    now = read_content(folder)
    assert now is not None
    assert now.history[:3] == rows(3)
    assert [line["step"] for line in now.history[3:]] == [35]
    assert now.digest != earlier.digest
    folder.write_steps(b"")
    same = read_content(folder)
    assert same is not None
    assert same.digest == earlier.digest


def test_damaged_points_stop_a_run_under_way_and_not_a_finished_one(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study", epochs=1)
    folder.write_steps(b'{"step": 1}\n')
    with pytest.raises(DamagedError, match=r"steps\.jsonl"):
        read_content(folder)
    complete(folder)
    content = read_content(folder)
    assert content is not None
    assert content.history == rows(1)


def test_only_measured_fields_may_differ_between_two_readings(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study")
    histories = []
    for seed, speed in ((0, 1000.0), (0, 2000.0), (1, 1000.0)):
        write(folder, 0.5, 0, seed, speed)
        content = read_content(folder)
        assert content is not None
        histories.append(content.history[0])
    assert is_same_line(histories[0], histories[1])
    assert not is_same_line(histories[0], histories[2])


def test_a_cursor_counts_points(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study")
    write(folder, 1.5, 1)
    content = read_content(folder)
    assert content is not None
    assert (Cursor.after(content).rows, Cursor.after(content).lines) == (1, 4)


def test_points_arrive_once_on_their_own_axis_though_run_and_mirror_are_killed(
    server: Server, start: Callable[..., Mirror], work: Work, tmp_path: Path
) -> None:
    folder = begin(tmp_path / "study")
    work.begin(folder)
    first = start()
    write(folder, 1.5, 1)
    until(lambda: bool(server.runs) and len(mirrored(server, folder).history) == 4)
    run = mirrored(server, folder)
    assert run.history[0]["system/memory_mib"] == 513.0
    first.kill()
    # The run was killed, too, and trains its first epoch again, at another speed.
    write(folder, 1, 0, speed=500.0)
    second = start()
    until(lambda: server.requests.count("RunResumeStatus") == 2)
    write(folder, 3, 3, speed=500.0)
    complete(folder)
    work.end(folder)
    ended = second.end()
    assert ended.left == 0
    assert "other numbers" not in ended.out
    assert_mirrored(server, folder)
    assert [line["train/tokens_per_second"] for line in run.rows() if "train/loss" in line] == [
        *(1001.0, 1002.0, 1003.0),
        *(504.0, 505.0, 506.0),
    ]
    assert run.summary["epoch"] == 3
    # Each metric ("1": its name) has the place of its axis, counted from 1, as "5".
    places = {metric.get("1"): place for place, metric in enumerate(run.client["m"], start=1)}
    axes = {metric.get("1", metric.get("2")): metric.get("5") for metric in run.client["m"]}
    assert axes["train/loss"] == axes["system/memory_mib"] == places["step"]
    assert axes["*"] == places["epoch"]
