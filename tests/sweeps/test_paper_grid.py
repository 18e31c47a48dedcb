from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lvae_core.data.corpus import load
from lvae_core.identity import fingerprint
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import open_study
from lvae_core.systems import recipe
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps import paper_grid
from sweeps.grid_options import Options
from sweeps.paper_grid import main, shares_of, usual_devices
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.planning.resources import Resources
from sweeps.planning.times.durations import Speed
from sweeps.planning.workload import Workload
from sweeps.sweep import Swept

from ..logs import expect_log
from .scripts import run_script

SCRIPT = Path(__file__).parents[2] / "sweeps" / "paper_grid.py"
TOY = ["--datasets", "toy", "--seeds", "1"]

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_without_its_data_the_paper_says_how_to_run_the_demo(tmp_path):
    done = run_script("paper_grid.py")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ptb: no train file")
    assert line.endswith(f"python {SCRIPT} --preset demo")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path):
    done = run_script("paper_grid.py", "--preset", "demo", "--seeds", "3", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    (total,) = [line for line in done.stdout.splitlines() if "│ all" in line]
    assert total.replace("│", "").split()[:4] == ["all", "33", "0", "0"]
    assert done.stdout.splitlines()[-1] == "a dry run of runs/demo: nothing was started"
    assert "about: rough times, from counted operations" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_for_a_cluster_measures_nothing_here(tmp_path, capsys):
    grid = ["--preset", "demo", "--datasets", "toy", "--systems", "lstm-lm", "--seeds", "1"]
    assert main([*grid, "--dry-run", "--address", "10.0.0.1:6379"]) == 0
    out = capsys.readouterr().out
    assert "unknown until one run has finished" in out
    assert "the machines of a cluster cannot be measured from here" in out
    (total,) = [line for line in out.splitlines() if "│ all" in line]
    assert "–" in total
    assert "0.00" not in out


@pytest.mark.parametrize(
    ("more", "devices"),
    [
        ([], ["1", "6", "8"]),
        (["--max-concurrent", "2"], ["1", "2", "8"]),
        (["--max-concurrent", "2", "--cpus-per-run", "2"], ["1", "4", "8"]),
        (["--max-concurrent", "8"], ["1", "6", "8"]),
        (["--devices", "3"], ["3"]),
    ],
)
def test_a_dry_run_gives_the_time_on_the_cores_of_this_machine(more, devices, monkeypatch, capsys):
    monkeypatch.setattr("sweeps.paper_grid.cores_here", lambda: 6)
    monkeypatch.setattr("sweeps.planning.times.calibration.measure_rate", lambda *shape: 1e9)
    assert main([*TOY, "--systems", "lstm-lm", "--dry-run", *more]) == 0
    out = capsys.readouterr().out
    rows = out.partition("longest runs first")[2].splitlines()
    assert [row.split()[1] for row in rows if row.startswith("│")] == devices
    assert out.count("plus about 20 s to start Ray") == 1


def test_the_cost_of_runs_to_do_is_that_of_their_probed_share():
    variants = [replace(recipe("lstm-vae", dataset="toy"), latent_size=size) for size in (2, 4)]
    runs = [
        PlannedRun(
            config=replace(config, seed=seed), name=f"{number}-{seed}", status="done" if seed else "left"
        )
        for number, config in enumerate(variants)
        for seed in range(3)
    ]
    todo = [run for run in runs if run.status == "left" and run.config.latent_size == 2]
    per_run = {run.name: Resources(gpus=0.25) for run in todo}
    plan = Plan(runs, Speed())
    workload = Workload(
        plan=plan, corpora={}, study=open_study("runs/x"), resources=Resources(gpus=1.0), per_run=per_run
    )
    assert shares_of(workload, todo) == {runs[0].variant: 0.25, runs[3].variant: 1.0}


def test_times_for_a_cluster_leave_out_this_machine_and_its_start():
    assert usual_devices(Resources(), is_remote=True) == [1, 8]
    assert usual_devices(Resources(gpus=1), is_remote=False) == [1, 8]


def test_a_dry_run_says_that_no_run_would_fit_on_this_machine(tmp_path, capsys):
    """It is no error: the plan may be for another machine."""
    grid = ["--preset", "demo", "--datasets", "toy", "--systems", "lstm-lm", "--seeds", "1"]
    many = ["--cpus-per-run", "10000", "--dry-run"]
    assert main([*grid, *many, "--address", "10.0.0.1:6379"]) == 0
    assert "would be refused" not in capsys.readouterr().out
    assert main([*grid, *many]) == 0
    expected = "a launch with these options would be refused: --cpus-per-run 10000: this machine has "
    assert expected in capsys.readouterr().out


def test_a_dry_run_says_that_its_storage_cannot_be_written(tmp_path, capsys):
    grid = ["--preset", "demo", "--datasets", "toy", "--systems", "lstm-lm", "--seeds", "1", "--dry-run"]
    (tmp_path / "file").write_text("")
    for storage in (f"{tmp_path}/file", f"file://{tmp_path}/file/below", "/proc/below"):
        assert main([*grid, "--storage", storage]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "would be refused" in line]
        assert f"refused: {storage}/demo: cannot be written (" in line
    assert main([*grid, "--storage", f"{tmp_path}/new/folder"]) == 0
    assert "would be refused" not in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_preset_of_all_systems_plans_into_the_study_of_the_paper(tmp_path, capsys):
    assert main(["--preset", "all", "--datasets", "toy", "--seeds", "1", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"│ cnn-vae-init +│ standard +│ +1 │", out)
    assert not re.search(r"│ cnn-vae-init +│ inputless", out)
    assert "parent" not in out  # the language model is a cell of the grid
    (total,) = [line for line in out.splitlines() if "│ all" in line]
    assert total.replace("│", "").split()[:4] == ["all", "18", "0", "0"]
    systems = ["--systems", "cnn-vae-init", "--settings", "inputless"]
    assert main(["--preset", "all", "--datasets", "toy", "--seeds", "1", "--dry-run", *systems]) == 0
    out = capsys.readouterr().out
    assert re.search(r"│ cnn-vae-init +│ inputless +│ +1 │", out)
    assert "1 parent is trained first" in out
    assert Options(preset="all").folder == Options().folder


def test_the_original_protocol_names_the_systems_that_have_one(tmp_path, capsys):
    arguments = ["--preset", "all", "--datasets", "toy", "--seeds", "1", "--protocol", "original"]
    assert main([*arguments, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert (
        "by their authors' protocols: lstm-vmf-vae, cnn-lm, cnn-vae-init, sa-vae, lstm-vae-ain; as in "
        "Kruengkrai (2019): lstm-lm, lstm-vae, lstm-vae-avg"
    ) in out
    assert "1 parent is trained first" in out  # for as many epochs as its child


@pytest.mark.parametrize("interrupted", [True, False])
def test_an_interrupted_launch_names_only_the_command_that_resumes_it(interrupted, monkeypatch, capsys):
    def sweep(options, workload, *others, declared_seeds):
        return Swept(workload.plan, failed=False, interrupted=interrupted)

    monkeypatch.setattr(paper_grid, "sweep", sweep)
    monkeypatch.setattr(paper_grid, "print_next", lambda *_: print("next: summarize"))
    words = [*TOY, "--systems", "lstm-lm", "--settings", "standard"]
    assert main(words) == (130 if interrupted else 0)
    out = capsys.readouterr().out
    last = out.splitlines()[-1]
    resume = f"interrupted; resume with: python {SCRIPT} {' '.join(words)}"
    assert last == (resume if interrupted else "next: summarize")
    assert ("next:" in out) != interrupted


@pytest.mark.parametrize(
    ("storage", "named"),
    [
        ([], "runs"),
        (["--storage", "results"], "results"),
        (["--storage", "file://results"], "file://results"),
    ],
)
def test_results_are_not_left_where_a_job_ends(storage, named, tmp_path, monkeypatch, capsys):
    place = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_1"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    assert main([*TOY, *storage, "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --storage {named}: is in the job's copy")
    assert list(place.iterdir()) == []
    monkeypatch.setenv("HOME", str(tmp_path))
    for outside in (str(tmp_path / "results"), "~/results"):
        assert main([*TOY, "--storage", outside, "--dry-run"]) == 0


def test_views_are_not_left_where_a_job_ends(tmp_path, monkeypatch, capsys):
    place = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_1"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    monkeypatch.delenv("WANDB_DIR", raising=False)
    command = [*TOY, "--storage", str(tmp_path / "results"), "--dry-run"]
    for option in (["--tensorboard"], ["--wandb", "offline"]):
        assert main([*command, *option]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {' '.join(option)}: would write to the job's copy of the code")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    assert main([*command, "--wandb", "offline"]) == 0


def test_settings_may_be_several_and_repeated(tmp_path, capsys):
    changes = ["--set", "hidden_size=4", "latent_size=3", "--set", "dropout=0", "--max-epochs", "2"]
    assert main([*TOY, *changes, "--dry-run"]) == 0
    bad = ["--set", "hidden_size=4", "--set", "dropout=2"]
    assert main([*TOY, *bad, "--dry-run"]) == 2
    assert "dropout = 2.0" in capsys.readouterr().err


def test_averaging_one_sample_is_said_to_be_plain(capsys):
    assert main([*TOY, "--systems", "lstm-vae-avg", "--num-samples", "1", "5", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.count("with L = 1 is lstm-vae") == 1
    assert "once only, give lstm-vae-avg = [5] in a grid file" in out
    assert main([*TOY, "--systems", "lstm-vae-avg", "--num-samples", "5", "--dry-run"]) == 0
    assert "is lstm-vae:" not in capsys.readouterr().out


def test_a_bound_of_one_sample_is_said_to_be_the_elbo(capsys):
    for samples, count in ((("1", "5"), 1), (("5",), 0)):
        arguments = ("--systems", "lstm-iwae", "--num-samples", *samples, "--dry-run")
        assert main([*TOY, *arguments]) == 0
        assert (
            capsys.readouterr().out.count("note: lstm-iwae with L = 1 has the bound of lstm-vae") == count
        )


def test_a_dry_run_names_a_damaged_file_and_leaves_it(tmp_path, capsys):
    from lvae_core.data.corpus import load
    from lvae_core.identity import fingerprint
    from lvae_core.run_folder.names import run_name
    from sweeps.planning.grid import Grid

    (config,) = Grid(
        datasets=("toy",), systems={"lstm-lm": (1,)}, settings=("standard",), seeds=1
    ).configs()
    name = run_name(config, fingerprint(config, load("toy").data_sha256))
    folder = tmp_path / "runs" / "paper" / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{")
    with expect_log("lvae.run_folder"):
        assert main([*TOY, "--systems", "lstm-lm", "--settings", "standard", "--dry-run"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {folder}/config.json: damaged")
    assert line.endswith("; launching repairs it")
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_a_list_has_the_folder_and_the_status_of_each_run_and_starts_nothing(tmp_path, capsys):
    words = ["--datasets", "toy", "--systems", "lstm-lm", "--settings", "standard", "--seeds", "2"]
    words += ["--set", "dropout=0.25,0.5", "--declare-seeds", "2", "--list"]
    corpus, names = load("toy"), []
    for seed in range(2):
        for dropout in (0.25, 0.5):
            config = replace(recipe("lstm-lm", dataset="toy", seed=seed), dropout=dropout)
            names.append(run_name(config, fingerprint(config, corpus.data_sha256)))
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{name}  left  dropout={dropout}" for name, dropout in zip(names, (0.25, 0.5) * 2, strict=True)
    ]
    assert list(tmp_path.iterdir()) == []
    open_study("runs/paper").run(names[1]).write_failure("code", "no", "")
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"{names[1]}  failed  dropout=0.5"
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "4 runs: 1 failed, 3 left; nothing was started"
    assert main([*words, "--dry-run"]) == 2
    assert capsys.readouterr().err == "error: --list --dry-run: give one of them\n"


def test_a_list_marks_parents_and_says_how_far_an_unfinished_run_is(tmp_path, capsys):
    words = ["--datasets", "toy", "--systems", "cnn-vae-init", "--settings", "standard", "--seeds", "1"]
    assert main([*words, "--list", "--quiet"]) == 0
    parent, child = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"toy__lstm-lm__standard__L0__seed0__\w{8}  left  parent of other runs", parent)
    assert re.fullmatch(r"toy__cnn-vae-init__standard__L1__seed0__\w{8}  left", child)
    config = recipe("lstm-lm", dataset="toy")
    name = run_name(config, fingerprint(config, load("toy").data_sha256))
    attempt = execute(config, load("toy"), open_study("runs/paper").run(name), Runtime())
    while next(attempt).metrics is None:
        pass
    attempt.close()
    assert main([*TOY, "--systems", "lstm-lm", "--settings", "standard", "--list", "--quiet"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"{name}  left (1 of {config.max_epochs} epochs)"


def test_a_quiet_command_prints_its_result_alone_and_a_verbose_one_what_it_reads(
    tmp_path, capsys, monkeypatch
):
    # Rough times, which the two commands would measure one after the other, may differ.
    monkeypatch.setattr("sweeps.planning.times.calibration.measure_rate", lambda *shape: 1e9)
    words = tmp_path / "words"
    words.mkdir()
    for split, line in {"train": "a b", "valid": "b a", "test": "a a b"}.items():
        (words / f"{split}.txt").write_text(f"{line}\n\nb b a {split}\n")
    command = ["--datasets", str(words), "--systems", "lstm-lm", "--seeds", "1", "--dry-run"]
    command += ["--storage", str(tmp_path / "runs")]
    printed = {}
    for option in ("--quiet", "--verbose"):
        with expect_log("lvae.data", "blank line", optional=option == "--quiet"):
            assert main([*command, option]) == 0
        printed[option] = capsys.readouterr()
    assert printed["--quiet"].err == ""
    assert printed["--quiet"].out == printed["--verbose"].out
    lines = printed["--verbose"].err.splitlines()
    assert f"info: lvae.data: {words}/train.txt: read 2 sentences" in lines
    assert any(line.startswith(f"warning: {words}/train.txt:2: 1 blank line skipped") for line in lines)
    assert main([*command, "--verbose", "--quiet"]) == 2
    assert capsys.readouterr().err == "error: --verbose and --quiet: give one of them\n"


def test_a_dry_run_counts_retries_and_says_which_would_diverge_again(tmp_path, capsys):
    words = ["--datasets", "toy", "--systems", "lstm-lm", "--settings", "standard", "--seeds", "2"]
    words += ["--study", "s", "--set", "learning_rate=1,1e30", "--dry-run"]
    study = open_study("runs/s")
    corpus = load("toy")
    for seed, kind in ((0, "diverged"), (1, "code")):
        config = replace(recipe("lstm-lm", dataset="toy", seed=seed), learning_rate=1e30)
        key = fingerprint(config, corpus.data_sha256)
        folder = study.run(run_name(config, key))
        folder.write_config(config, key)
        folder.write_failure(kind, "the loss is nan", "")

    def printed(*more: str) -> tuple[list[str], str]:
        assert main([*words, *more]) == 0
        out = capsys.readouterr().out
        (total,) = [line for line in out.splitlines() if "│ all" in line]
        return total.replace("│", "").split()[1:4], out

    counts, out = printed()
    assert counts == ["2", "0", "2"]
    assert "diverge" not in out
    counts, out = printed("--retry-failed")
    assert counts[:2] == ["4", "0"]
    note = (
        "1 of 2 runs to retry diverged: a run that diverged would diverge again, because a run is determin"
    )
    assert note in out
