"""Loading the corpora of a grid: folders by name, in jobs, and names that no folder can have."""

from __future__ import annotations

import pytest

from sweeps import search
from sweeps.paper_grid import main

SMALL = ("--systems", "lstm-lm", "--settings", "standard", "--seeds", "1", "--dry-run")


pytestmark = pytest.mark.usefixtures("elsewhere")


def write(folder):
    folder.mkdir(parents=True)
    for split, end in {"train": "c", "valid": "d", "test": "a"}.items():
        (folder / f"{split}.txt").write_text(f"a b c d\nb a c d {end}\n")


def test_a_dataset_is_found_by_its_name_in_the_data_folder(tmp_path, capsys):
    write(tmp_path / "corpora" / "mine")
    assert main(["--datasets", "mine", "--data-dir", "corpora", *SMALL]) == 0
    out = capsys.readouterr().out
    assert "plan: mine, standard" in out
    assert "│ lstm-lm " in out


def test_a_name_that_is_too_long_for_a_run_folder_is_refused(tmp_path, capsys):
    longest = 255 - len("__lstm-lm__standard__L0__seed0__01234567")
    write(tmp_path / ("n" * longest))
    assert main(["--datasets", "n" * longest, *SMALL]) == 0
    write(tmp_path / ("n" * (longest + 3)))
    capsys.readouterr()
    assert main(["--datasets", "n" * (longest + 3), *SMALL]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: dataset nnn")
    assert f"is 3 characters too long for the names of run folders (at most {longest} with" in line
    # The seeds on which a search repeats its best trials have a digit more.
    space = ["--dataset", "n" * longest, "--system", "lstm-lm", "--space", "dropout=0.1,0.2"]
    assert search.main([*space, "--seeds", "12", "--dry-run"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "is 1 characters too long for the names of run folders" in err.splitlines()[-1]


def test_in_a_job_the_error_says_that_ignored_data_do_not_travel(tmp_path, monkeypatch, capsys):
    place = tmp_path / "working_dir_files" / "_ray_pkg_1"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    for dataset in ("mine", "ptb"):
        assert main(["--datasets", dataset, "--storage", str(tmp_path / "results"), *SMALL]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "; in a job: data/ does not travel with it, see docs/cluster.md" in line
