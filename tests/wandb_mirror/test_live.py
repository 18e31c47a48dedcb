"""The real wandb client in the mirror's own process, against a server that remembers all it is sent."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lvae_core.run_folder.folder import RunFolder

from ..wandb_server.server import Server
from .kit import (
    KEY,
    PROJECT,
    ROOT,
    Mirror,
    Work,
    assert_mirrored,
    assert_only_locks,
    begin,
    complete,
    mirrored,
    rows,
    until,
)


def train_on(server: Server, folder: RunFolder, epochs: int) -> None:
    """Have the run train on to ``epochs`` and see the rows arrive."""
    folder.write_metrics(rows(epochs))
    identity = folder.read_config()[1]  # type: ignore[index]
    until(lambda: identity in server.runs and len(server.runs[identity].history) >= epochs)


def test_a_run_is_followed_row_by_row_and_ends_with_its_estimates(
    server: Server, start: Callable[..., Mirror], work: Work, tmp_path: Path, home: Path
) -> None:
    folder = begin(tmp_path / "study")
    work.begin(folder)
    mirror = start()
    assert mirror.ready
    for epochs in (1, 3):
        train_on(server, folder, epochs)
        run = mirrored(server, folder)
        assert run.rows() == folder.read_metrics()
        assert run.states == ["running"]
    result = complete(folder)
    work.end(folder)
    until(lambda: run.states[-1] == "finished")
    ended = mirror.end()
    assert (ended.sent, ended.left) == (1, 0)
    assert f"{tmp_path / 'study'}: runs sent: 0, under way: 1, to send: 0" in ended.err.splitlines()
    assert_mirrored(server, folder)

    assert run.states == ["running", "finished"]
    assert run.project == PROJECT
    assert run.fields["displayName"] == folder.name
    assert run.fields["groupName"] == "toy__lstm-vae__standard__L5"
    assert run.fields["jobType"] == "train"
    assert run.fields["tags"] == ["study", "toy", "lstm-vae", "standard", "L5"]
    assert result["config"].items() <= run.config.items()
    assert run.config["cell"] == "toy__lstm-vae__standard__L5"
    assert run.config["provenance"]["commit"] == "c" * 40
    # The axis: every metric ("2": a glob) is stepped by the first defined one ("1": epoch).
    epoch, everything = run.client["m"]
    assert (epoch["1"], everything["2"], everything["5"]) == ("epoch", "*", 1)

    # W&B does not learn where the mirror runs, and no file contains the key.
    assert not {"host", "repo", "commit"} & run.fields.keys()
    assert not re.search(f"secret-host|{tmp_path}|{ROOT}", json.dumps(run.fields))
    files = [path for place in (tmp_path, home) for path in place.rglob("*") if path.is_file()]
    assert any("wandb.json" in path.name for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert len(server.keys) == 1


@pytest.mark.slow  # test_points.py kills a mirror, too
def test_a_killed_mirror_continues_from_what_the_server_has(
    server: Server, start: Callable[..., Mirror], work: Work, tmp_path: Path
) -> None:
    folder = begin(tmp_path / "study")
    work.begin(folder)
    first = start()
    train_on(server, folder, 3)
    first.kill()
    # The run lost its last epoch and another mirror sees it train that one again.
    folder.write_metrics(rows(2))
    second = start()
    until(lambda: server.requests.count("RunResumeStatus") == 2)
    train_on(server, folder, 4)
    complete(folder)
    assert second.end().left == 0
    assert_mirrored(server, folder)


@pytest.mark.slow
def test_a_retried_run_continues_in_the_same_wandb_run(
    server: Server, start: Callable[..., Mirror], work: Work, tmp_path: Path
) -> None:
    folder = begin(tmp_path / "study", epochs=2)
    folder.write_failure("diverged", "the loss is not finite in epoch 3", "Traceback")
    stopped = begin(tmp_path / "study", seed=1, epochs=1)
    first = start()
    assert first.end().sent == 2
    run = mirrored(server, folder)
    assert run.states == ["running", "failed"]
    assert run.summary["failure/class"] == "diverged"
    assert run.summary["failure/message"] == "the loss is not finite in epoch 3"
    assert mirrored(server, stopped).states == ["running", "preempted"]

    work.begin(folder, stopped)
    second = start()
    until(lambda: run.states[-1] == "running" and mirrored(server, stopped).states[-1] == "running")
    for name in (folder, stopped):
        name.write_metrics(rows(3, seed=0 if name is folder else 1))
        complete(name)
    assert second.end().sent == 2
    for name in (folder, stopped):
        assert_mirrored(server, name)
    assert run.states == ["running", "failed", "running", "finished"]
    assert not [key for key in run.summary if key.startswith("failure/") and run.summary[key] is not None]


@pytest.mark.slow  # test_content.py detects them without a server
def test_rows_that_changed_are_kept_as_sent_and_reported(
    server: Server, start: Callable[..., Mirror], work: Work, tmp_path: Path
) -> None:
    folder = begin(tmp_path / "study")
    work.begin(folder)
    mirror = start()
    train_on(server, folder, 2)
    folder.write_metrics(rows(3, seed=5))
    complete(folder)
    assert "W&B: 1 run trained again with other numbers" in mirror.end().out
    assert mirrored(server, folder).rows() == [*rows(2), rows(3, seed=5)[2]]


@pytest.mark.slow  # test_mirror.py has the same with a stand-in for the client
def test_a_run_trained_anew_while_it_is_followed_is_reported(
    server: Server, start: Callable[..., Mirror], work: Work, tmp_path: Path
) -> None:
    folder = begin(tmp_path / "study", epochs=2)
    complete(folder)
    assert start().end().sent == 1
    folder.store.delete(f"{folder.name}/result.json")
    folder.write_metrics([])
    work.begin(folder)
    second = start()
    run = mirrored(server, folder)
    until(lambda: run.states[-1] == "running")
    folder.write_metrics(rows(3, seed=5))
    until(lambda: len(run.history) == 3)
    result = complete(folder)
    result["estimates"]["nll_elbo"]["value"] = 7.5
    folder.write_json("result.json", result)
    ended = second.end()
    assert (ended.sent, ended.left) == (1, 0)
    assert "W&B: 1 run trained again with other numbers" in ended.out
    assert run.rows() == [*rows(2), rows(3, seed=5)[2]]
    assert (run.states[-1], run.summary["test/nll_elbo"]) == ("finished", 7.5)


@pytest.mark.slow
def test_the_wandb_run_of_a_deleted_folder_ends_as_preempted(
    server: Server, start: Callable[..., Mirror], work: Work, tmp_path: Path
) -> None:
    folder, other = (begin(tmp_path / "study", seed, epochs=1) for seed in range(2))
    work.begin(folder)
    mirror = start()
    train_on(server, folder, 2)
    run = mirrored(server, folder)
    work.end(folder)
    shutil.rmtree(tmp_path / "study" / folder.name)
    until(lambda: run.states[-1] != "running")
    assert run.states == ["running", "preempted"]
    assert run.rows() == rows(2)
    ended = mirror.end()
    assert (ended.sent, ended.left) == (1, 0)
    assert [path.name for path in (tmp_path / "study").glob("toy*")] == [other.name]


def test_a_missing_key_is_reported_in_one_line(start: Callable[..., Mirror]) -> None:
    mirror = start(key=None)
    assert not mirror.ready
    out, err, status = mirror.end()
    assert err.startswith("error: no API key for http://127.0.0.1")
    assert (out, err.count("\n"), status) == ("", 1, 2)


def test_a_key_in_netrc_is_enough(server: Server, start: Callable[..., Mirror], home: Path) -> None:
    (home / "netrc").write_text(f"machine 127.0.0.1:{server.port}\nlogin user\npassword {KEY}\n")
    assert start(key=None).ready


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_ends_the_mirror_after_a_last_push(
    server: Server,
    start: Callable[..., Mirror],
    work: Work,
    home: Path,
    temporary: Path,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    """And leaves nothing behind."""
    folder = begin(tmp_path / "study", epochs=1)
    work.begin(folder)  # by a sweep that continues
    mirror = start()
    assert list(temporary.rglob("*wandb-media"))
    train_on(server, folder, 2)
    folder.write_metrics(rows(3))
    mirror.process.send_signal(number)
    assert mirror.process.wait(60) == 0
    assert_mirrored(server, folder)
    assert mirrored(server, folder).states == ["running", "preempted"]
    assert_only_locks(temporary)
    assert not list(home.glob("wandb/.mirror-*"))


@pytest.mark.slow
def test_only_one_of_two_mirrors_of_a_study_sends(
    server: Server, start: Callable[..., Mirror], tmp_path: Path
) -> None:
    folder = begin(tmp_path / "study", epochs=2)
    complete(folder)
    first = start()
    until(lambda: bool(server.runs) and mirrored(server, folder).states[-1] == "finished")
    before = len(server.requests)
    late = begin(tmp_path / "study", seed=1, epochs=1)
    second = start()
    until(lambda: mirrored_states(server, late) == ["running", "preempted"])
    ended = second.end()
    assert re.match(r"W&B lacks some runs \(process \d+ on .* is sending them\)", ended.out), ended
    assert server.requests[before:].count("RunResumeStatus") == 1
    # When the first one is gone, another one takes its place.
    first.kill()
    last = begin(tmp_path / "study", seed=2, epochs=1)
    assert start().end().sent == 3
    assert_mirrored(server, last)


def mirrored_states(server: Server, folder: RunFolder) -> list[str]:
    identity = folder.read_config()[1]  # type: ignore[index]
    return server.runs[identity].states if identity in server.runs else []
