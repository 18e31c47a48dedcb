"""Runs, studies and data of another user: what can be read is used, the rest is refused in one line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lvae_core.__main__ import main
from lvae_core.config import from_dict
from lvae_core.data.corpus import load_for
from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.run_folder.claims import Holder, acquire, read_claim
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from sweeps import paper_grid, runs, wandb_push
from sweeps.wandb_mirror.cursor import sole_sender

from .small_run import make_small_run, outcome

REMEDY = "; ask its owner for access, or use a copy or another folder"
AGAIN = f"{REMEDY}, then do the same again to resume it"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a finished run below its study; the run's config is beside the study."""
    place = tmp_path_factory.mktemp("finished")
    small = make_small_run(None, place)
    config = from_dict(json.loads((place / "run.json").read_text()))
    corpus = load_for(config, data_dir=None)
    folder = place / "study" / run_name(config, fingerprint(config, corpus.data_sha256))
    folder.parent.mkdir()
    assert main(small.arguments(folder)) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch) -> Path:
    """A copy of the finished run, in a study, with its config in the present folder."""
    study = tmp_path / "study"
    shutil.copytree(finished.parent, study)
    shutil.copy(finished.parent.parent / "run.json", tmp_path)
    monkeypatch.chdir(tmp_path)
    return study / finished.name


def unfinish(run: Path) -> None:
    (run / "result.json").unlink()


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a command of the core refuses what it is given."""
    capsys.readouterr()
    assert main([*arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    return output.err.strip()


def test_a_finished_run_of_another_user_is_shown_and_generates(run, theirs, capsys):
    theirs.take(run.parent)
    before = outcome(run)
    with theirs.visit():
        assert main(["run", "run.json", "--out", str(run)]) == 0
        assert "nll_iw" in capsys.readouterr().out
        assert main(["generate", str(run), "--count", "1"]) == 0
    assert outcome(run) == before
    assert not [file for file in os.listdir(run) if file.startswith("claim")]


def test_a_finished_run_is_not_shown_as_the_result_of_another(run, theirs, capsys):
    theirs.take(run.parent)
    with theirs.visit():
        line = error_of(capsys, "run", "run.json", "--out", str(run), "--set", "learning_rate=2")
    assert line == f"error: {run}/claim-1.json: Permission denied{AGAIN}"


def test_an_unfinished_run_and_a_new_evaluation_are_refused_and_a_copy_resumes(
    run, finished, theirs, capsys, tmp_path
):
    theirs.take(run.parent)
    with theirs.visit():
        line = error_of(capsys, "evaluate", str(run), "--set", "iw_samples=5")
    assert line == f"error: {run}/claim-1.json: Permission denied{AGAIN}"
    unfinish(run)
    with theirs.visit():
        line = error_of(capsys, "run", "run.json", "--out", str(run))
        assert line == f"error: {run}/claim-1.json: Permission denied{AGAIN}"
        shutil.copytree(run, tmp_path / "copy")
        assert main(["run", "run.json", "--out", "copy"]) == 0
    assert outcome(tmp_path / "copy") == outcome(finished)


@pytest.mark.parametrize("folders", [0o700, 0o755])
def test_a_run_that_cannot_be_read_is_refused_in_one_line(run, theirs, capsys, folders):
    theirs.take(run.parent, folders, 0o600)
    with theirs.visit():
        for command in (("run", "run.json", "--out"), ("evaluate",), ("generate",)):
            line = error_of(capsys, *command, str(run))
            assert line.startswith(f"error: {run}")
            assert line.endswith(REMEDY) or line.endswith(AGAIN)
            assert ": Permission denied; " in line


def test_a_sticky_folder_with_files_of_another_user_is_refused_and_left_as_it_was(run, theirs, capsys):
    unfinish(run)
    theirs.take(run.parent, 0o1777, 0o644)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with theirs.visit():
        line = error_of(capsys, "run", "run.json", "--out", str(run))
    assert line == f"error: {run}/metrics.jsonl: Operation not permitted{AGAIN}"
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_released_claim_is_deleted_though_an_earlier_one_of_another_user_stays(run, theirs):
    folder = Study(str(run.parent)).run(run.name)
    with acquire(folder, "theirs"):
        stolen = (run / "claim-1.json").read_bytes().replace(b'"started":"', b'"started":"9')
    (run / "claim-1.json").write_bytes(stolen)  # damaged, so only a sweep that saw it stale takes over
    theirs.take(run, 0o1777, 0o644)
    with theirs.visit():
        acquire(folder, "mine", stale=read_claim(folder)).release()
    assert [file for file in os.listdir(run) if file.startswith("claim")] == ["claim-1.json"]


HIDING = ("unshare", "-m", "sh", "-c", 'mount -t proc -o hidepid=2 proc /proc && exec "$@"', "sh")
"""Before a command: it sees the processes of its own user only."""

CHECK = """
import os, sys
from lvae_core.run_folder.claims import Holder, _machine
started, *pids = sys.argv[1:]
machine = _machine()
os.setgroups([])
os.setgid(1234)
os.setuid(1234)
for pid in map(int, pids):
    print(os.path.exists(f"/proc/{pid}"), Holder("theirs", "here", machine, pid, started).is_gone())
"""


def test_the_process_of_another_user_counts_as_alive_where_proc_hides_it(theirs):
    me = Holder.current("theirs")
    highest = Path("/proc/sys/kernel/pid_max").read_text().strip()
    done = subprocess.run(
        [*HIDING, sys.executable, "-c", CHECK, me.started, str(me.pid), highest],
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    assert done.stdout.split("\n") == ["False False", "False True", ""], done.stderr


@pytest.mark.parametrize("folders", [0o700, 0o744])
def test_a_listing_names_the_run_that_cannot_be_read_and_shows_the_others(run, theirs, capsys, folders):
    study = run.parent
    closed = study / run.name.replace("seed0", "seed1")
    shutil.copytree(run, closed)
    theirs.take(closed, folders, 0o600)
    with theirs.visit():
        assert runs.main(["list", str(study)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"{run.name}  done")
        assert lines[1].startswith(f"{closed.name}  unreadable")
        assert runs.main(["delete", str(study), "--where", "state=unreadable", "--yes"]) == 1
    assert f"left alone: {closed.name}: Permission denied" in capsys.readouterr().out
    assert closed.is_dir()


@pytest.mark.parametrize("folders", [0o755, 0o1777])
def test_a_run_in_a_study_of_another_user_is_neither_moved_nor_deleted(run, theirs, capsys, folders):
    theirs.take(run.parent, folders)
    os.chmod(run, 0o777)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with theirs.visit():
        for action in (("move", "--to", "mine"), ("delete",)):
            assert runs.main([action[0], "study", "--where", "seed=0", "--yes", *action[1:]]) == 1
            assert f"left alone: {run.name}: " in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert not any(Path("mine").iterdir())


def test_a_run_that_cannot_be_deleted_here_is_not_moved_to_another_disk(run, theirs, disk, capsys):
    theirs.take(run.parent)
    os.chmod(run, 0o777)
    disk.folder.chmod(0o777)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    target = str(disk.folder)
    with theirs.visit():
        assert runs.main(["move", "study", "--where", "seed=0", "--to", target, "--yes"]) == 1
    assert "left alone" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert not any(disk.folder.iterdir())
    theirs.give_back(run.parent)
    assert runs.main(["move", "study", "--where", "seed=0", "--to", target, "--yes"]) == 0
    assert {path.name: path.read_bytes() for path in (disk.folder / run.name).iterdir()} == before
    assert not run.parent.exists()


def test_data_of_another_user_that_cannot_be_read_are_named(run, finished, theirs, capsys):
    words = finished.parent.parent / "words"
    theirs.take(words, 0o755, 0o600)
    try:
        with theirs.visit():
            line = error_of(capsys, "run", "run.json", "--out", str(run))
    finally:
        theirs.give_back(words)
    assert line == f"error: {words}/train.txt: cannot be read (Permission denied); check the file"


def test_an_offline_push_is_refused_where_nothing_can_be_written(
    run, theirs, tmp_path, monkeypatch, capsys
):
    closed = tmp_path / "closed"
    closed.mkdir()
    theirs.take(closed)
    monkeypatch.setenv("WANDB_DIR", str(closed / "below"))
    with theirs.visit():
        assert wandb_push.main([str(run.parent), "--offline"]) == 2
    line = f"error: {closed}: cannot be written; set WANDB_DIR to a folder of yours\n"
    assert capsys.readouterr().err == line


def test_a_plan_names_the_file_of_another_user_that_cannot_be_read(run, finished, theirs, tmp_path, capsys):
    words = str(finished.parent.parent / "words")
    systems = ["--systems", "lstm-vae-avg", "--num-samples", "2", "--settings", "standard", "--seeds", "1"]
    grid = ["--datasets", words, *systems, "--study", "study", "--storage", str(tmp_path), "--dry-run"]
    theirs.take(run, 0o755, 0o600)
    with theirs.visit():
        assert paper_grid.main(grid) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: storage {run.parent}: {run.name}/")
    assert error.endswith(" in it cannot be read (Permission denied)")


def test_a_folder_of_locks_of_another_user_is_refused_with_a_remedy(theirs, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = tmp_path / f"lvae-wandb-{os.getuid()}"
    place.mkdir()
    theirs.take(place, 0o777)
    with (
        theirs.visit(),
        pytest.raises(InputError, match=f"{place}: belongs to another user; set TMPDIR"),
        sole_sender("a run"),
    ):
        pass
