"""Which runs the flags, the grid files and the presets of a sweep ask for."""

from __future__ import annotations

import pytest
import tyro

from sweeps import paper_grid
from sweeps.grid_options import Options
from sweeps.paper_grid import main

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_lists_make_a_product_and_zips_pair_their_values():
    arguments = [
        "--datasets",
        "toy",
        "--systems",
        "lstm-vae",
        "--settings",
        "standard",
        "--num-samples",
        "1",
    ]
    arguments += ["--seeds", "3..4", "--set", "dropout=0.3,0.5", "batch_size=8"]
    arguments += ["--zip", "hidden_size=4,8", "embedding_size=2,3", "--set", "latent_size=2,3"]
    configs = tyro.cli(Options, args=arguments).grid().configs()
    found = [
        (c.seed, c.dropout, c.batch_size, c.latent_size, c.hidden_size, c.embedding_size) for c in configs
    ]
    pairs = [(4, 2), (8, 3)]
    assert found == [
        (s, d, 8, z, *pair) for s in (3, 4) for d in (0.3, 0.5) for z in (2, 3) for pair in pairs
    ]


def test_a_written_grid_plans_the_runs_of_the_flags_into_the_same_study(tmp_path, capsys):
    flags = ["--preset", "demo", "--datasets", "toy", "topics", "--seeds", "1,4", "--protocol", "original"]
    flags += ["--systems", "lstm-lm", "lstm-vae-fb", "--num-samples", "1", "--max-epochs", "3"]
    flags += ["--set", "dropout=0.3,0.5", "--zip", "hidden_size=4,8", "latent_size=2,3"]
    assert main([*flags, "--dry-run", "--write-grid", "my_grid.toml"]) == 0
    assert f"next: python {paper_grid.__file__} --grid my_grid.toml" in capsys.readouterr().out
    given = tyro.cli(Options, args=flags)
    read = tyro.cli(Options, args=["--grid", "my_grid.toml"])
    assert len(given.grid().configs()) > 20
    assert read.grid().configs() == given.grid().configs()
    assert read.folder == given.folder == "runs/demo"
    assert [path.name for path in tmp_path.iterdir()] == ["my_grid.toml"]


GRID_FILE = """
datasets = ["toy"]
settings = ["standard"]
seeds = 1
[systems]
lstm-lm = {}
lstm-vae = [1]
[set]
max_epochs = 3
free_bits = 4.0
[[zip]]
kl_weight = [0.5, 1.0]
kl_start = [0.0, 0.1]
"""


def test_flags_change_a_grid_file_as_they_change_a_preset(tmp_path):
    (tmp_path / "mine.toml").write_text(GRID_FILE)

    def runs(*flags):
        configs = tyro.cli(Options, args=["--grid", "mine.toml", *flags]).grid().configs()
        return [(c.system, c.seed, c.max_epochs, c.free_bits, c.kl_weight) for c in configs]

    vaes = [("lstm-vae", 0, 3, 4.0, 0.5), ("lstm-vae", 0, 3, 4.0, 1.0)]
    assert runs() == [("lstm-lm", 0, 3, 0.0, 1.0), *vaes]
    assert runs("--systems", "lstm-lm", "--seeds", "5..5") == [("lstm-lm", 5, 3, 0.0, 1.0)]
    assert runs("--max-epochs", "4", "--systems", "lstm-vae", "--set", "free_bits=2") == [
        ("lstm-vae", 0, 4, 2.0, 0.5),
        ("lstm-vae", 0, 4, 2.0, 1.0),
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--grid", "mine.toml", "--preset", "demo"], "--grid mine.toml --preset demo: give one of them"),
        (["--grid", "no.toml"], "no.toml: cannot be read (No such file or directory)"),
        (["--grid", "."], ".: a folder; give a grid file"),
        (["--grid", "mine.toml", "--set", "kl_weight=0.3"], "mine.toml: pairs kl_weight with other fields"),
        (["--grid", "mine.toml", "--write-grid", "new.toml"], "--write-grid new.toml: add --dry-run"),
        (["--grid", "mine.toml", "--dry-run", "--write-grid", "mine.toml"], "mine.toml: exists already"),
        (["--dry-run", "--write-grid", "no/new.toml"], "--write-grid no/new.toml: there is no folder no;"),
        (["--dry-run", "--write-grid", "/proc/new.toml"], "--write-grid /proc/new.toml: cannot be written"),
        (["--grid", "mine.toml", "--systems", "sa-vea"], "did you mean 'sa-vae'"),
    ],
)
def test_a_grid_file_that_cannot_be_used_is_one_line(flags, message, tmp_path, capsys):
    (tmp_path / "mine.toml").write_text(GRID_FILE)
    assert main(flags) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == ""  # no plan comes before it
    assert line.startswith("error: ")
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_a_zip_replaces_what_the_preset_sets():
    arguments = ["--preset", "demo", "--datasets", "pydocs", "--systems", "lstm-lm", "--seeds", "1"]
    arguments += ["--settings", "standard", "--zip", "hidden_size=8,16", "max_epochs=3,4"]
    configs = tyro.cli(Options, args=arguments).grid().configs()
    assert [(c.hidden_size, c.max_epochs) for c in configs] == [(8, 3), (16, 4)]


def test_what_differs_is_printed_in_a_dry_run_and_before_the_start(monkeypatch, capsys):
    labels = []

    def stop(options, workload, out, label, declared_seeds):
        labels.append([label(run.config) for run in workload.runs])
        raise KeyboardInterrupt

    def stop_at_once(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("sweeps.paper_grid.sweep", stop)
    arguments = ["--datasets", "toy", "--systems", "lstm-lm", "lstm-vae", "--settings", "standard"]
    arguments += ["--num-samples", "1", "--seeds", "3..5", "--set", "latent_size=2,3", "dropout=0"]

    def rows(out: str) -> list[list[str]]:
        return [line.replace("│", " ").split() for line in out.splitlines() if line.startswith("│")]

    assert main([*arguments, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "seeds of each cell: 3..5" in out
    # The table of costs names what differs, and is the only one with these lines.
    cells = [["lstm-lm", "–", "3"], ["lstm-vae", "1", "latent_size=2"], ["lstm-vae", "1", "latent_size=3"]]
    assert [row[:3] for row in rows(out) if row[0].startswith("lstm")] == cells
    assert main(arguments) == 130
    out = capsys.readouterr().out
    assert rows(out)[:3] == [
        ["lstm-lm", "–", "–", "3..5", "3", "0"],
        ["lstm-vae", "1", "2", "3..5", "3", "0"],
        ["lstm-vae", "1", "3", "3..5", "3", "0"],
    ]
    (heading,) = [line for line in out.splitlines() if "latent_size ┃" in line]
    assert heading.replace("┃", " ").split() == ["system", "L", "latent_size", "seeds", "to", "do", "done"]
    assert labels[0][:3] == [
        "toy__lstm-lm__standard__L0__seed3",
        "toy__lstm-vae__standard__L1__seed3 latent_size=2",
        "toy__lstm-vae__standard__L1__seed3 latent_size=3",
    ]
    assert main([*arguments, "--quiet"]) == 130
    out, err = capsys.readouterr()
    assert "latent_size" not in out
    assert "resume from the last checkpoints" in err
    # A dry run has nothing to resume.
    monkeypatch.setattr("sweeps.paper_grid.dry_run", stop_at_once)
    assert main([*arguments, "--dry-run"]) == 130
    assert capsys.readouterr().err == "stopped; nothing was started\n"


def test_a_dry_run_without_axes_names_the_seeds_beside_the_plan(capsys):
    assert main(["--datasets", "toy", "--seeds", "3,7", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "seeds of each cell: 3,7\n" in out
    assert out.count("lstm-vae-avg") == 4  # two settings and two L, once each
    assert main(["--datasets", "toy", "--seeds", "1", "--dry-run"]) == 0
    assert "seed of each cell: 0\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], {("pydocs", 6), ("topics", 20)}),
        (["--datasets", "topics"], {("topics", 20)}),
        (["--datasets", "toy", "topics"], {("toy", 6), ("topics", 20)}),
        (["--datasets", "pydocs", "--max-epochs", "3"], {("pydocs", 3)}),
        (["--max-epochs", "8"], {("pydocs", 8), ("topics", 8)}),
    ],
)
def test_datasets_choose_among_the_grids_of_a_preset(given, expected):
    grid = tyro.cli(Options, args=["--preset", "demo", *given]).grid()
    assert {(config.dataset, config.max_epochs) for config in grid.configs()} == expected
