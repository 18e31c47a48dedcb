"""The cores that a plan counts on this machine are those that Ray counts there."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from ray._private import utils

from sweeps.planning.resources import cores_here

V1 = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")


# Ray leaves the file open.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "1600000 100000\n"}, 8),
        (dict(zip(V1, ("-1\n", "100000\n"), strict=True)), 8),
        (dict(zip(V1, ("300000\n", "100000\n"), strict=True)), 3),
        ({"cpu.max": "no numbers\n"}, 8),
    ],
    ids=["none", "unlimited", "two", "fraction", "more", "unlimited-1", "three-1", "odd"],
)
def test_in_a_container_its_quota_counts(
    files: dict[str, str],
    cores: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert cores_here(tmp_path) == cores
    with caplog.at_level(logging.CRITICAL):  # Ray logs the odd file
        quota = utils._get_docker_cpus(
            str(tmp_path / V1[0]), str(tmp_path / V1[1]), str(tmp_path / "none"), str(tmp_path / "cpu.max")
        )
    assert min(8, int(quota or 8)) == cores


def test_less_than_a_core_counts_as_one(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores_here(tmp_path) == 1
