"""W&B is away, returns or answers nonsense: runs are not affected, and missing content is sent later."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lvae_core.run_folder.claims import acquire
from sweeps.wandb_mirror.follow import POLL_SECONDS
from sweeps.wandb_push import main

from ..commands import python
from ..wandb_server.server import Server
from .kit import (
    KEY,
    PROJECT,
    ROOT,
    Mirror,
    Work,
    assert_mirrored,
    begin,
    complete,
    environment,
    mirrored,
    rows,
    until,
)

Push = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def push(server: Server, home: Path) -> Push:
    """The command, for the W&B of this test."""

    def push(*arguments: str, key: str | None = KEY) -> subprocess.CompletedProcess[str]:
        command = [*python(), str(ROOT / "sweeps" / "wandb_push.py"), *arguments, "--project", PROJECT]
        env = environment(home, server.url, key)
        return subprocess.run(
            command, env=env, cwd=home, capture_output=True, text=True, timeout=240, check=False
        )

    return push


def test_what_an_unreachable_server_missed_is_pushed_once(
    server: Server, start: Callable[..., Mirror], push: Push, work: Work, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    folder, partial = (begin(study, seed, epochs=2) for seed in range(2))
    work.begin(folder)
    with server.down():
        mirror = start()
        complete(folder)
        work.end(folder)
        ended = mirror.end()
        assert (ended.sent, ended.left) == (0, 2)
        assert ended.out == (
            "W&B lacks 2 runs (W&B cannot be reached); nothing is lost, next: "
            f"python {ROOT}/sweeps/wandb_push.py {study} --project {PROJECT}\n"
        )
        down = push(str(study))
        assert (down.returncode, down.stdout) == (2, "")
        assert down.stderr.startswith("error: W&B cannot be reached")
    assert server.runs == {}
    under_way = begin(study, 2, epochs=2)
    with acquire(under_way, "another launch"):
        done = push(str(study))
    assert done.returncode == 0, done.stderr
    assert f"W&B has 2 runs at {server.url}/reader/{PROJECT}" in done.stdout
    assert "skipped 1 run under way" in done.stdout
    for pushed in (folder, partial):
        assert_mirrored(server, pushed)
    assert mirrored(server, partial).states == ["running", "preempted"]
    assert len(server.runs) == 2

    before = list(server.requests)
    assert push(str(study)).returncode == 0
    sent_anew = [request for request in server.requests[len(before) :] if request != "GET /healthz"]
    # The runs that had been under way have ended; nothing else is sent again.
    assert sent_anew.count("UpsertBucket") >= 1
    assert len(server.runs) == 3
    assert mirrored(server, folder).states == ["running", "finished"]
    before = list(server.requests)
    assert push(str(study)).returncode == 0
    assert set(server.requests[len(before) :]) == {"GET /healthz"}
    # A lost or unreliable cursor costs one more request; neither costs a row.
    (study / folder.name / "wandb.json").write_text("{}")
    before = list(server.requests)
    assert push(str(study), "--again").returncode == 0
    assert server.requests[len(before) :].count("RunResumeStatus") == 3
    for pushed in (folder, partial, under_way):
        assert_mirrored(server, pushed)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["down", "broken"])
def test_a_server_that_goes_and_comes_back_misses_nothing(
    server: Server, start: Callable[..., Mirror], work: Work, tmp_path: Path, how: str
) -> None:
    study = tmp_path / "study"
    folder, later = begin(study, epochs=1), begin(study, seed=1, epochs=2)
    work.begin(folder, later)
    mirror = start()
    until(lambda: bool(server.runs) and len(mirrored(server, folder).history) == 1)
    with server.down() if how == "down" else server.failing():
        folder.write_metrics(rows(2))
        time.sleep(POLL_SECONDS + 1)
        complete(later)
        work.end(later)
        folder.write_metrics(rows(3))
        time.sleep(POLL_SECONDS + 1)
    complete(folder)
    assert mirror.end().left == 0
    for name in (folder, later):
        assert_mirrored(server, name)


@pytest.mark.slow
def test_the_mirror_survives_the_death_of_the_librarys_process(
    server: Server, start: Callable[..., Mirror], work: Work, tmp_path: Path
) -> None:
    folder = begin(tmp_path / "study", epochs=1)
    work.begin(folder)
    mirror = start()
    until(lambda: bool(server.runs) and len(mirrored(server, folder).history) == 1)
    children = Path(f"/proc/{mirror.process.pid}/task/{mirror.process.pid}/children").read_text().split()
    (core,) = [int(pid) for pid in children if b"wandb-core" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(core, signal.SIGKILL)
    folder.write_metrics(rows(3))
    until(lambda: len(mirrored(server, folder).history) == 3)
    complete(folder)
    assert mirror.end().left == 0
    assert_mirrored(server, folder)


@pytest.mark.slow
def test_what_the_server_refuses_counts_as_not_sent(
    server: Server, start: Callable[..., Mirror], push: Push, tmp_path: Path
) -> None:
    refused, other = (begin(tmp_path / "study", seed, epochs=2) for seed in range(2))
    for folder in (refused, other):
        complete(folder)
    present = refused.read_config()
    assert present is not None
    server.refuse = present[1]
    ended = start().end()
    assert (ended.sent, ended.left) == (1, 1)  # it delays no other run
    assert_mirrored(server, other)
    assert "does not have all" in ended.out
    assert {"file_stream"} == {line.split("/")[-1].split()[0] for line in server.unknown}
    server.refuse = ""
    server.unknown.clear()
    assert push(str(tmp_path / "study")).returncode == 0
    for folder in (refused, other):
        assert_mirrored(server, folder)


def test_unusable_input_to_the_push_is_one_line(
    push: Push, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    for place, line in (
        (nowhere, "there is no such study; give one that a sweep has written"),
        (tmp_path, "not a study: it holds no run folder; give one that a sweep has written"),
    ):
        assert main([str(place)]) == 2
        assert capsys.readouterr() == ("", f"error: {place}: {line}\n")
    done = push(begin(tmp_path / "study").store.url, key=None)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: no API key for http://127.0.0.1")
