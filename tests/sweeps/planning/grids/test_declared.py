"""A sweep declares the number of seeds of its study, and says if it has more or fewer."""

from lvae_core.run_folder.declared_seeds import FILE, declare_seeds, read_declared_seeds
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.grid_options import Options
from sweeps.paper_grid import main
from sweeps.planning.grids.declared import declaration_note

GRID = ["--datasets", "toy", "--systems", "lstm-lm", "--settings", "standard"]


def configs(*seeds):
    return [recipe("lstm-lm", dataset="toy", seed=seed) for seed in seeds]


def note(study, grid, seeds, dry_option=""):
    return declaration_note(study, grid, seeds, dry_option=dry_option)


def test_a_sweep_declares_and_later_ones_say_what_differs(tmp_path):
    study = Study(str(tmp_path))
    assert note(study, configs(0, 1), None) == []
    assert note(study, configs(0, 1), 2) == [f"{tmp_path}: this declares 2 seeds in {FILE}"]
    assert read_declared_seeds(study) is None, "nothing is declared before the first run can start"
    declare_seeds(study, 2)
    (line,) = note(study, configs(0, 1), 2)
    assert line.startswith(f"{tmp_path}: declared 2 seeds before the first run (")
    assert line.endswith("UTC)")
    for dry_option in ("--dry-run", ""):  # what is declared already is said as such
        assert note(study, configs(0, 1), 2, dry_option=dry_option) == [line]
        (one,) = note(study, configs(0), 2, dry_option=dry_option)
        assert one.startswith(f"{line}; with this sweep it has 1: ")
    assert note(study, configs(0, 1), None) == []
    (fewer,) = note(study, configs(0), None)
    assert fewer.endswith("with this sweep it has 1: p-values stay interim until all 2 are done")
    (tmp_path / "toy__lstm-lm__standard__L0__seed7__0123abcd").mkdir()
    (more,) = note(study, configs(0, 1), None)
    assert more.endswith("with this sweep it has 3: reports will say that 1 seed was added")


def test_a_dry_run_and_a_list_declare_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for option in ("--dry-run", "--list"):
        assert main([*GRID, "--study", "x", "--declare-seeds", "3", option]) == 0
        assert f"runs/x: without {option}, this declares 3 seeds in {FILE}" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_declaration_that_is_of_no_use_is_refused_also_in_a_dry_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = [*GRID, "--study", "x", "--declare-seeds", "3"]
    assert main([*command, "--seeds", "4", "--dry-run"]) == 2
    assert "--declare-seeds 3: this grid has 4 seeds" in capsys.readouterr().err
    folder = tmp_path / "runs" / "x" / "toy__lstm-lm__standard__L0__seed7__0123abcd"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    for more in ([], ["--dry-run"]):
        assert main([*command, *more]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(
            "error: --declare-seeds 3: runs/x has 1 finished run, so the number would not"
        )
    assert read_declared_seeds(Study("runs/x")) is None


def test_a_launch_that_is_refused_declares_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*GRID, "--study", "x", "--declare-seeds", "3", "--cpus-per-run", "10000"]) == 2
    assert "--cpus-per-run 10000: this machine has" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_another_number_is_refused_before_anything_is_scheduled(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    study = Study("runs/x")
    declare_seeds(study, 3)
    assert main([*GRID, "--study", "x", "--declare-seeds", "4"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --declare-seeds 4: ")
    assert read_declared_seeds(study).seeds == 3


def test_a_preset_gets_the_declared_seeds_unless_seeds_are_given():
    assert Options(declare_seeds=3).grid().seeds == (0, 1, 2)
    assert Options(declare_seeds=3, seeds=("5..6",)).grid().seeds == (5, 6)
