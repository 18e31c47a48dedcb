"""Runs as commands and calls carry them out: stopped by errors of the callback, and failed."""

from __future__ import annotations

import errno
import json
import os

import pytest

from lvae_core.__main__ import main
from lvae_core.errors import InputError
from lvae_core.run_folder.claims import read_claim
from lvae_core.run_folder.folder import RunFolder, reproducible
from lvae_core.training.carry_out import carry_out
from lvae_core.training.failures import DivergedError
from lvae_core.training.runtime import Progress

from .. import tiny
from .runs import CORPUS, OFTEN, execute, run, short


class CallbackError(Exception):
    """An error of a progress callback."""


def raises_at(phase: str):
    def progress(report: Progress) -> None:
        if report.phase == phase:
            raise CallbackError

    return progress


def carry(config, folder, progress=lambda report: None) -> bool:
    return carry_out(folder, lambda: execute(config, CORPUS, folder, OFTEN), progress)


@pytest.mark.parametrize("phase", ["train", "evaluate", "done"])
def test_an_error_of_the_callback_saves_and_releases_the_run_and_is_no_failure_of_it(phase, tmp_path):
    config, folder = short(), tiny.folder(tmp_path)
    with pytest.raises(CallbackError) as kept:  # its traceback refers to the run
        carry(config, folder, raises_at(phase))
    assert folder.has("result.json" if phase == "done" else "checkpoint.pt")
    assert not folder.has("failure.json")
    assert read_claim(folder) is None
    assert carry(config, folder)
    whole = tiny.folder(tmp_path, "whole")
    run(config, whole)
    assert reproducible(folder.read_json("result.json")) == reproducible(whole.read_json("result.json"))
    assert kept.value


def test_an_error_of_the_run_is_recorded(tmp_path):
    config, folder = short("lstm-lm", learning_rate=1e9, max_grad_norm=0.0), tiny.folder(tmp_path)
    with pytest.raises(DivergedError):
        carry(config, folder)
    assert folder.read_json("failure.json")["class"] == "diverged"


def test_a_full_disk_does_not_hide_why_a_run_failed(tmp_path, monkeypatch):
    def fail(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunFolder, "write_failure", fail)
    with pytest.raises(DivergedError):
        carry(short("lstm-lm", learning_rate=1e9, max_grad_norm=0.0), tiny.folder(tmp_path))


def test_an_error_of_the_storage_is_one_line(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunFolder, "write_metrics", fail)
    # Nothing has been saved that could be resumed.
    with pytest.raises(InputError, match=r"No space left on device.*do the same again$"):
        carry(short(), tiny.folder(tmp_path))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
def test_another_folder_is_asked_for_where_none_can_be_made():
    with pytest.raises(InputError) as refused:
        carry(short(), tiny.folder("/proc/x"))
    assert str(refused.value).endswith(
        "no folder can be made in /proc; give another folder, then do the same again"
    )


def test_a_display_that_cannot_be_written_is_one_line_of_the_command(tmp_path, monkeypatch, capsys):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "events")

    monkeypatch.setattr("lvae_core.cli.train.Display.show", fail)
    (tmp_path / "run.json").write_text(json.dumps(short(max_epochs=1).to_dict()))
    assert main(["run", str(tmp_path / "run.json"), "--out", str(tmp_path / "run")]) == 2
    assert "error: events: No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "run" / "failure.json").exists()
