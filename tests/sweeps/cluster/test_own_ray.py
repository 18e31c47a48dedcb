"""What the logs of a launch's own Ray say of its end, and who may ask it for its status."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.cluster import daemons
from sweeps.cluster.own_ray import OWN_RAY, is_own_ray, logged_error, status_hint
from sweeps.cluster.replaced import environment

RAYLET = """\
[2026-11-30 11:16:39,100 I 30 31] (raylet) main.cc:5: Starting
[2026-11-30 11:16:41,171 F 30 31] (raylet) agent_manager.cc:90: agent_name = runtime_env_agent failed.
[2026-11-30 11:16:42,171 E 30 31] (raylet) logging.cc:496: *** SIGABRT received ***
/lib/libc.so.6(+0x2724a) [0x7f869ea4524a]
"""
GCS = "[2026-11-30 11:16:42,171 E 30 31] (gcs_server) gcs_server.cc:90: cannot listen\n"


def logs_of(folder: Path, attempt: int, **texts: str) -> None:
    logs = folder / f"r{attempt}" / "session_2026-11-30_11-16-42_123456_7" / "logs"
    logs.mkdir(parents=True)
    for name, text in texts.items():
        (logs / f"{name}.out").write_text(text)


def test_the_fatal_line_of_the_last_attempt_counts_and_else_the_last_error(tmp_path: Path) -> None:
    assert logged_error(tmp_path) == ""
    logs_of(tmp_path, 1, gcs_server=GCS, raylet=RAYLET)
    assert logged_error(tmp_path) == "agent_name = runtime_env_agent failed"
    logs_of(tmp_path, 2, gcs_server=GCS)
    assert logged_error(tmp_path) == "cannot listen"


def test_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    logs_of(tmp_path, 1, raylet=f"{RAYLET * 1000}{'[state-dump]' * 1000}")
    assert logged_error(tmp_path) == "agent_name = runtime_env_agent failed"


@pytest.mark.parametrize("has_logs", [True, False])
def test_the_death_of_a_process_is_told_with_its_time_and_reason(
    has_logs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(daemons, "end_launch", lambda line, is_own_ray: said.append(line))
    monkeypatch.setattr(daemons.time, "strftime", lambda _: "11:16:42")
    if has_logs:
        logs_of(tmp_path, 1, raylet=RAYLET)
    daemons.end_without("raylet", folder=tmp_path)
    why = "agent_name = runtime_env_agent failed"
    killed = "its log names no error, so it may have been killed"
    assert said == [f"Ray's process raylet died at 11:16:42 ({why if has_logs else killed})"]


def test_only_a_cluster_of_others_is_asked_for_its_status() -> None:
    assert (is_own_ray(), status_hint()) == (False, "; see `ray status`")
    with environment(OWN_RAY):
        assert (is_own_ray(), status_hint()) == (True, "")
