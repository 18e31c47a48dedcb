"""The content of a W&B run: facts of a run folder, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lvae_core.config import RunConfig
from lvae_core.identity import fingerprint
from lvae_core.run_folder.claims import acquire
from lvae_core.run_folder.folder import DamagedError, RunFolder
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from sweeps.wandb_mirror.content import Content, digest_of, is_in_training, read_content
from sweeps.wandb_mirror.cursor import BusyError, Cursor, read_cursor, sole_sender, write_cursor

from .kit import ROOT, begin, complete, rows


def content_of(folder: RunFolder) -> Content:
    content = read_content(folder)
    assert content is not None
    return content


def test_the_state_is_what_the_files_say(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study", epochs=2)
    assert content_of(folder).state == "preempted"
    folder.write_failure("out_of_memory", "no memory", "Traceback")
    failed = content_of(folder)
    assert failed.state == "failed"
    assert failed.summary["failure/class"] == "out_of_memory"
    assert failed.summary["failure/attempt"] == 1
    retried = failed.under_way()
    assert retried.state == "running"
    assert not [key for key in retried.summary if key.startswith("failure")]
    complete(folder)
    done = content_of(folder)
    assert done.state == "finished"
    assert done.summary["test/nll_elbo"] == 101.25
    assert done.summary["test/nll_elbo_stderr"] == 0.125
    assert (done.summary["test/au"], "test/au_stderr" in done.summary) == (3, False)
    assert done.summary["valid_ppl"] == rows(2)[-1]["valid_ppl"]
    assert done.rows == rows(2)
    assert len({content.digest for content in (failed, retried, done)}) == 3
    assert content_of(folder).digest == done.digest


def test_a_folder_without_a_config_has_no_content_yet(tmp_path: Path) -> None:
    assert read_content(Study(str(tmp_path)).run("anything")) is None


def test_damaged_numbers_are_an_error_and_damaged_provenance_is_not(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study", epochs=1)
    place = tmp_path / "study" / folder.name
    (place / "provenance.json").write_text("{}")
    assert content_of(folder).config["provenance"] == {}
    (place / "metrics.jsonl").write_text('{"epoch": 1}\n')
    with pytest.raises(DamagedError, match=r"metrics\.jsonl"):
        read_content(folder)


def test_a_finished_run_that_lacks_rows_is_damaged(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study", epochs=3)
    complete(folder)
    path = tmp_path / "study" / folder.name / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    with pytest.raises(DamagedError, match=r"metrics\.jsonl: damaged"):
        read_content(folder)
    path.unlink()
    with pytest.raises(DamagedError, match=r"metrics\.jsonl: missing"):
        read_content(folder)
    path.write_bytes(whole)
    assert content_of(folder).rows == rows(3)


@pytest.mark.parametrize("file", ["config.json", "metrics.jsonl", "result.json"])
def test_a_run_that_ends_between_two_reads_is_never_finished_without_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    folder = begin(tmp_path / "study", epochs=1)
    read = folder.store.read

    def read_and_end(path: str) -> bytes:
        if not path.endswith(file):
            return read(path)
        monkeypatch.undo()
        try:
            return read(path)
        finally:
            folder.write_metrics(rows(3))
            complete(folder)

    monkeypatch.setattr(folder.store, "read", read_and_end)
    content = content_of(folder)
    assert folder.has("result.json")
    assert (content.state, len(content.rows)) in {("finished", 3), ("preempted", 3), ("preempted", 1)}


def test_a_finished_run_without_its_config_is_read_from_its_result(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study", epochs=2)
    complete(folder)
    whole = content_of(folder)
    folder.store.delete(f"{folder.name}/config.json")
    assert content_of(folder) == whole


def test_tags_are_cut_to_the_length_that_wandb_accepts(tmp_path: Path) -> None:
    config = RunConfig(dataset=f"/data/{'x' * 80}", system="lstm-vae")
    folder = Study(str(tmp_path / "study")).run(run_name(config, fingerprint(config, "d" * 64)))
    folder.write_config(config, fingerprint(config, "d" * 64))
    assert content_of(folder).tags == ("study", "x" * 64, "lstm-vae", "standard", "L1")


def test_a_run_is_under_way_while_its_holder_lives(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study")
    assert not is_in_training(folder)
    with acquire(folder, "a launch"):
        assert is_in_training(folder)
    assert not is_in_training(folder)
    code = (
        "import os, sys; from lvae_core.run_folder.claims import acquire;"
        "from lvae_core.run_folder.study import Study;"
        "acquire(Study(sys.argv[1]).run(sys.argv[2]), 'killed'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, folder.store.url, folder.name], cwd=ROOT, check=False)
    assert folder.has("claim-1.json")
    assert not is_in_training(folder)


def test_a_cursor_belongs_to_one_target_and_is_empty_if_damaged(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study", epochs=2)
    complete(folder)
    cursor = Cursor.after(content_of(folder))
    assert (cursor.rows, cursor.finished) == (2, True)
    write_cursor(folder, "here", cursor)
    write_cursor(folder, "there", Cursor(rows=1))
    assert read_cursor(folder, "here") == cursor
    assert read_cursor(folder, "there") == Cursor(rows=1)
    assert read_cursor(folder, "elsewhere") == Cursor()
    file = tmp_path / "study" / folder.name / "wandb.json"
    changed = json.loads(file.read_text())
    changed["places"]["here"]["cursor"]["rows"] = 9
    file.write_text(json.dumps(changed))
    assert read_cursor(folder, "here") == Cursor()


def test_the_record_of_what_was_sent_does_not_bring_back_a_deleted_folder(tmp_path: Path) -> None:
    folder, other = (begin(tmp_path / "study", seed) for seed in range(2))
    shutil.rmtree(tmp_path / "study" / folder.name)
    write_cursor(folder, "here", Cursor(rows=1))
    assert [path.name for path in (tmp_path / "study").iterdir()] == [other.name]
    complete(other)
    other.store.delete(f"{other.name}/config.json")
    write_cursor(other, "here", Cursor(rows=1))
    assert read_cursor(other, "here") == Cursor(rows=1)


def test_a_finished_run_is_sent_again_in_a_study_of_another_name(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study", epochs=2)
    complete(folder)
    cursor = Cursor.after(content_of(folder))
    assert cursor.is_finished_in("study")
    assert not cursor.is_finished_in("renamed")
    earlier = {key: value for key, value in asdict(cursor).items() if key != "study"}
    assert Cursor(**earlier).is_finished_in("renamed")  # records of earlier versions do not say
    assert not replace(cursor, finished=False).is_finished_in("study")


def test_a_cursor_knows_whose_numbers_were_sent(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study", epochs=2)
    result = complete(folder)
    cursor = Cursor.after(content_of(folder))
    assert cursor.has_numbers_of(digest_of(result))
    assert cursor.has_numbers_of(digest_of({**result, "precision": "float32"}))  # W&B does not store it
    elsewhere = {**result, "estimates": {"nll_elbo": {"value": 1.0, "stderr": 0.5}}}
    for other in (elsewhere, {**result, "metrics_sha256": "0" * 64}):
        assert not cursor.has_numbers_of(digest_of(other))
        earlier = {key: value for key, value in asdict(cursor).items() if key != "result_digest"}
        assert Cursor(**earlier).has_numbers_of(digest_of(other))  # such records do not say
    assert not replace(cursor, finished=False).has_numbers_of(digest_of(result))


def test_content_that_is_not_sent_leaves_the_digest_of_earlier_versions(tmp_path: Path) -> None:
    """So that no finished run is sent once more."""
    folder = begin(tmp_path / "study", epochs=2)
    complete(folder)
    content = content_of(folder)
    assert content.result_digest
    assert replace(content, result_digest="").digest == content.digest


def test_a_pending_cursor_counts_once_its_directory_exists(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study")
    coming = tmp_path / "coming"
    write_cursor(folder, "offline", Cursor(rows=1), (str(coming), Cursor(rows=3)))
    assert read_cursor(folder, "offline") == Cursor(rows=1)
    coming.mkdir()
    assert read_cursor(folder, "offline") == Cursor(rows=3)


def test_a_cursor_detects_rows_that_changed(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study", epochs=3)
    cursor = Cursor.after(content_of(folder))
    for written, agrees in ((rows(5), True), (rows(2), True), (rows(3, seed=1), False)):
        folder.write_metrics(written)
        assert cursor.agrees(content_of(folder)) is agrees


def test_a_finished_run_of_fewer_rows_than_were_sent_disagrees(tmp_path: Path) -> None:
    folder = begin(tmp_path / "study", epochs=3)
    cursor = Cursor.after(content_of(folder))
    folder.write_metrics(rows(2))
    complete(folder)
    assert not cursor.agrees(content_of(folder))


def test_a_cursor_remembers_rows_that_a_run_no_longer_has(tmp_path: Path) -> None:
    """A run that is trained anew begins with none, and W&B keeps the former ones."""
    folder = begin(tmp_path / "study", epochs=3)
    cursor = Cursor.after(content_of(folder))
    folder.write_metrics([])
    begun = Cursor.after(content_of(folder), cursor)
    assert (begun.rows, begun.rows_sha256, begun.lines) == (3, cursor.rows_sha256, 3)
    folder.write_metrics(rows(4, seed=1))
    assert not begun.agrees(content_of(folder))
    folder.write_metrics(rows(4))
    assert begun.agrees(content_of(folder))
    assert Cursor.after(content_of(folder), begun) == Cursor.after(content_of(folder))


def test_one_process_sends_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with sole_sender("a"), sole_sender("b"), pytest.raises(BusyError), sole_sender("a"):
        raise AssertionError("two senders of one run")
    with sole_sender("a"):
        pass
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
