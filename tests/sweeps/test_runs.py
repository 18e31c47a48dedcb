"""Runs of a study are listed, moved and deleted by selection, and only if that is safe."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tyro
from rich.console import Console

from lvae_core.config import RunConfig
from lvae_core.identity import fingerprint
from lvae_core.run_folder import claims
from lvae_core.run_folder.claims import HeldError, Holder, acquire
from lvae_core.run_folder.folder import RunFolder
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.planned_runs import FILE as PLANNED_RUNS
from lvae_core.run_folder.planned_runs import write_planned_runs
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps import runs
from sweeps.planning import relocated_runs

RUN = "mine__lstm-lm__standard__L0__seed0__699bbdd3"
FAR = Holder("theirs", "spot-7", "another machine", 1, "5")


def write(place: Path, seed: int = 0, *, done: bool = False, **fields: object) -> RunFolder:
    config = RunConfig(dataset="toy", seed=seed, **fields)  # type: ignore[arg-type]
    return write_config(place, config, done=done)


def write_config(place: Path, config: RunConfig, *, done: bool = False) -> RunFolder:
    identity = fingerprint(config, "d" * 64)
    folder = Study(str(place)).run(run_name(config, identity))
    folder.write_config(config, identity)
    folder.write_metrics([{"epoch": 1}, {"epoch": 2}])
    if done:
        folder.write_json("result.json", {})
    else:
        folder.write_failure("diverged", "the loss is nan", "…")
    return folder


def write_claim(folder: RunFolder, beat: int = 0) -> None:
    """Claim a run for a process of another machine, or renew its claim."""
    folder.write_json("claim-1.json", {**dataclasses.asdict(FAR), "beat": beat})


@pytest.fixture
def study(tmp_path: Path) -> Path:
    place = tmp_path / "study"
    for seed in range(2):
        write(place, seed, done=True)
        write(place, seed, learning_rate=0.5)
    (place / "notes.txt").write_text("mine")
    return place


def names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def on_a_terminal(*arguments: str, width: int = 80) -> str:
    """What the command prints on a terminal of this width."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    options = tyro.cli(runs.Options, args=list(arguments))
    assert runs.act(options, console) == 0
    return console.file.getvalue()


def test_a_listing_in_a_pipe_has_whole_names_state_epochs_size_and_what_differs(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert runs.main(["list", str(study)]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if "toy__" in line]
    assert {row[0] for row in rows} == set(Study(str(study)).run_names())
    assert sorted(row[1] for row in rows) == ["done", "done", "failed", "failed"]
    assert {tuple(row[2:4]) for row in rows} == {("epochs:", "2")}
    assert sorted(row[6] for row in rows) == ["learning_rate=0.5"] * 2 + ["learning_rate=1"] * 2
    assert "4 runs" in out
    assert on_a_terminal("list", str(study), "--names", width=60) == out


def test_a_listing_on_a_terminal_shows_every_seed_and_only_fields_of_the_system(tmp_path: Path) -> None:
    place = tmp_path / "study"
    for seed in (8, 9):
        for config in (
            recipe("lstm-lm", dataset="toy"),
            recipe("lstm-vae", dataset="toy", num_samples=5),
            recipe("lstm-vae", dataset="toy", num_samples=5, setting="inputless"),
        ):
            latent_size = {"latent_size": 2} if config.system == "lstm-lm" else {"latent_size": seed}
            write_config(place, replace(config, seed=seed, **latent_size))
    out = on_a_terminal("list", str(place))
    assert max(map(len, out.splitlines())) <= 80
    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]
    assert sorted(row[:6] for row in table) == [
        ["lstm-lm", "standard", "–", "8", "failed", ""],
        ["lstm-lm", "standard", "–", "9", "failed", ""],
        ["lstm-vae", "inputless", "5", "8", "failed", "latent_size=8"],
        ["lstm-vae", "inputless", "5", "9", "failed", "latent_size=9"],
        ["lstm-vae", "standard", "5", "8", "failed", "latent_size=8"],
        ["lstm-vae", "standard", "5", "9", "failed", "latent_size=9"],
    ]


def test_what_differs_between_datasets_is_not_listed_and_what_differs_within_one_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "study"
    base = recipe("lstm-vae", dataset="toy", num_samples=1)
    other = replace(base, dataset="topics", hidden_size=64, max_epochs=3, min_count=2, dropout=0.1)
    for config in (base, replace(other, seed=1), other, replace(other, latent_size=3)):
        write_config(place, config)
    assert runs.main(["list", str(place)]) == 0
    lines = capsys.readouterr().out.splitlines()[:-1]
    differing: dict[str, set[str]] = {line.partition("__")[0]: set() for line in lines}
    for line in lines:
        differing[line.partition("__")[0]] |= {word for word in line.split() if "=" in word}
    assert differing == {"toy": set(), "topics": {"latent_size=2", "latent_size=3"}}


def test_a_field_that_only_some_runs_read_is_listed_only_if_it_differs_among_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = recipe("lstm-vae", dataset="toy", num_samples=1)
    for dropout in (0.0, 0.3):  # without dropout, no run reads how its masks are drawn
        write_config(tmp_path / "study", replace(base, dropout=dropout))
    assert runs.main(["list", str(tmp_path / "study")]) == 0
    lines = capsys.readouterr().out.splitlines()[:-1]
    assert [line.partition("B  ")[2] for line in lines] == ["dropout=0", "dropout=0.3"]


def test_runs_of_one_seed_are_in_the_order_of_their_values(tmp_path: Path) -> None:
    place = tmp_path / "study"
    for seed in (10, 9):
        for size in (128, 16, 8):
            config = recipe("lstm-vae", dataset="toy", num_samples=5, seed=seed)
            write_config(place, replace(config, latent_size=size))
    table = [
        line.split("│")[1:-1] for line in on_a_terminal("list", str(place)).splitlines() if "│" in line
    ]
    assert [(row[2].strip(), row[4].strip()) for row in table] == [
        (seed, f"latent_size={size}") for seed in ("9", "10") for size in (8, 16, 128)
    ]


def test_one_run_is_counted_as_one_and_a_small_one_has_a_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "s")
    size = sum(path.stat().st_size for path in (tmp_path / "s" / folder.name).iterdir())
    shown = f"{size} bytes" if size < 1000 else f"{size / 1024:.0f} KiB"
    assert runs.main(["list", str(tmp_path / "s")]) == 0
    row, total = capsys.readouterr().out.splitlines()
    assert f"epochs: 2  {shown}" in row
    assert total == f"1 run, {shown}"
    assert f" {shown}" in on_a_terminal("list", str(tmp_path / "s"))
    assert runs.main(["delete", str(tmp_path / "s"), "--where", "seed=0"]) == 0
    assert "1 run would be deleted; add --yes" in capsys.readouterr().out


def test_without_yes_nothing_is_touched(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = names(study)
    assert runs.main(["delete", str(study), "--where", "state=failed"]) == 0
    assert "2 runs would be deleted; add --yes to do it" in capsys.readouterr().out
    assert names(study) == before


def test_the_selected_runs_are_deleted_and_no_others(study: Path) -> None:
    assert runs.main(["delete", str(study), "--where", "learning_rate=0.50", "seed=1,2", "--yes"]) == 0
    assert len(Study(str(study)).run_names()) == 3
    assert "notes.txt" in names(study)
    assert not any(name.startswith(".deleted") for name in names(study))


def listed(place: Path, where: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The names of the runs that a selection lists."""
    assert runs.main(["list", str(place), "--where", where]) == 0
    return {line.split()[0] for line in capsys.readouterr().out.splitlines() if "__" in line}


def test_own_datasets_are_selected_by_name_or_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "study"
    mine = write_config(place, recipe("lstm-lm", dataset="texts/mine")).name
    toy = write_config(place, recipe("lstm-lm", dataset="toy")).name
    for text in ("mine", "texts/mine", "mine,yelp"):
        assert listed(place, f"dataset={text}", capsys) == {mine}
    assert listed(place, "dataset=toy,mine", capsys) == {mine, toy}
    assert listed(place, "dataset=texts", capsys) == set()


def test_datasets_that_differ_in_the_case_of_letters_are_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "study"
    upper, lower = (
        write_config(place, recipe("lstm-lm", dataset=f"texts/{name}")).name for name in ("Mine", "mine")
    )
    assert listed(place, "dataset=Mine", capsys) == {upper}
    assert listed(place, "system=LSTM-LM", capsys) == {upper, lower}
    assert listed(place, "state=Failed", capsys) == {upper, lower}
    assert runs.main(["delete", str(place), "--where", "dataset=texts/mine", "--yes"]) == 0
    assert names(place) == {upper}


def test_switches_are_selected_by_every_spelling_that_sets_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "study"
    base = recipe("lstm-lm", dataset="toy")
    on, off = (write_config(place, replace(base, linear_bias=value)).name for value in (True, False))
    for text, name in (("1", on), ("True", on), ("0", off), ("false", off)):
        assert listed(place, f"linear_bias={text}", capsys) == {name}


def test_fields_of_lists_are_selected_by_lists_in_brackets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "study"
    base = recipe("cnn-vae", dataset="toy")
    short, long = (write_config(place, replace(base, cnn_dilations=text)).name for text in ("1,2", "1,2,4"))
    assert listed(place, "cnn_dilations=[1,2,4]", capsys) == {long}
    assert listed(place, "cnn_dilations=[1, 2],[8]", capsys) == {short}
    assert listed(place, "cnn_dilations=[1,2],[1,2,4]", capsys) == {short, long}
    for text, problem in (
        ("1,2,4", "write 'cnn_dilations=[1,2,4]' for one value"),
        ("[1,2", "brackets do not match"),
        ("[1,b]", "must be positive whole numbers"),
    ):
        assert runs.main(["list", str(place), "--where", f"cnn_dilations={text}"]) == 2
        error = capsys.readouterr().err
        assert problem in error
        assert f"--where cnn_dilations={text}" in error


def test_runs_are_moved_whole(study: Path, tmp_path: Path) -> None:
    moved = [name for name in Study(str(study)).run_names() if "seed1" in name]
    files = {name: names(study / name) for name in moved}
    assert runs.main(["move", str(study), "--where", "seed=1", "--to", str(tmp_path / "b"), "--yes"]) == 0
    assert {name: names(tmp_path / "b" / name) for name in moved} == files
    assert not set(moved) & names(study)


def test_a_run_that_a_process_works_on_is_left_alone(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(study, 7)

    def until_it_is_renewed(_: float) -> None:
        first = claims.read_claim(folder)
        while claims.read_claim(folder) == first:
            pass

    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(relocated_runs.time, "sleep", until_it_is_renewed)
    with acquire(folder, "a sweep"):
        assert runs.main(["delete", str(study), "--where", "seed=7", "--yes"]) == 1
        assert "left alone" in capsys.readouterr().out
        assert (study / folder.name / "config.json").exists()
    assert runs.main(["delete", str(study), "--where", "seed=7", "--yes"]) == 0
    assert not (study / folder.name).exists()


@pytest.mark.parametrize("action", [("delete",), ("move", "--to", "{other}")])
def test_runs_of_a_machine_that_is_gone_are_moved_or_deleted_after_one_wait(
    action: tuple[str, ...],
    study: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = [write(study, seed) for seed in (7, 8)]
    for folder in gone:
        write_claim(folder)
    slept: list[float] = []
    monkeypatch.setattr(relocated_runs.time, "sleep", slept.append)
    name, *options = [word.format(other=tmp_path / "other") for word in action]
    assert runs.main([name, str(study), "--where", "state=running,done", *options, "--yes"]) == 0
    out, err = capsys.readouterr()
    assert "4 of 4 runs" in out
    assert err == (
        "2 runs under way in process 1 on spot-7; waiting 60 s to see which processes are alive\n"
    )
    assert slept == [claims.STALE_SECONDS]
    assert not {folder.name for folder in gone} & names(study)
    if options:
        assert {folder.name for folder in gone} < names(tmp_path / "other")
        assert not list((tmp_path / "other").glob("*/claim-*.json"))


@pytest.mark.parametrize("finishes", [False, True])
def test_a_run_whose_process_proves_to_be_alive_is_left_alone(
    finishes: bool, study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It renews its claim; or it ends with a result, which nobody has asked to delete."""
    folder = write(study, 7)
    place = study / folder.name
    write_claim(folder)

    def sleep(_: float) -> None:
        if finishes:
            folder.write_json("result.json", {})
            (place / "claim-1.json").unlink()
        else:
            write_claim(folder, beat=1)

    monkeypatch.setattr(relocated_runs.time, "sleep", sleep)
    before = names(place) - {"claim-1.json"}
    assert runs.main(["delete", str(study), "--where", "state=running", "--yes"]) == 1
    assert f"left alone: {folder.name}: under way in process 1 on spot-7\n" in capsys.readouterr().out
    assert names(place) == before | {"result.json" if finishes else "claim-1.json"}


def test_a_run_is_not_moved_over_another(study: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "b", 1, done=True)
    place = tmp_path / "b" / other.name
    (place / "result.json").write_text("theirs")
    assert (
        runs.main(["move", str(study), "--where", "state=done", "--to", str(tmp_path / "b"), "--yes"]) == 1
    )
    assert (place / "result.json").read_text() == "theirs"
    assert (study / other.name).exists()


def test_links_are_never_followed(study: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "elsewhere", 5)
    target = tmp_path / "elsewhere" / outside.name
    (study / outside.name).symlink_to(target)
    inside = write(study, 6)
    (study / inside.name / "link").symlink_to(target)
    assert runs.main(["delete", str(study), "--where", "seed=5,6", "--yes"]) == 0
    assert (target / "config.json").exists()
    assert (study / outside.name).is_symlink()
    assert not (study / inside.name).exists()


@pytest.mark.parametrize("kept", [None, "declared-seeds.json", ".search.json", "notes.txt"])
@pytest.mark.parametrize("action", [("delete",), ("move", "--to", "{other}")])
def test_a_study_is_removed_with_its_last_run_unless_something_is_left(
    action: tuple[str, ...], kept: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, other = tmp_path / "study", tmp_path / "other"
    for seed in range(2):
        write(study, seed)
    if kept:
        (study / kept).write_text("{}")
    name, *options = [word.format(other=other) for word in action]

    def act(seed: str) -> str:
        assert runs.main([name, str(study), "--where", f"seed={seed}", *options, "--yes"]) == 0
        return capsys.readouterr().out

    # What an interrupted launch planned is nothing to keep.
    write_planned_runs(Study(str(study)), Study(str(study)).run_names())
    os.utime(study / PLANNED_RUNS, (0, time.time() - 301))
    assert "is removed" not in act("0")
    if kept:
        (study / PLANNED_RUNS).unlink()
    assert ("is removed" in act("1")) == (kept is None)
    assert study.exists() == (kept is not None)
    assert not kept or names(study) == {kept}


@pytest.mark.parametrize("held", [False, True])
def test_the_empty_lease_folder_of_a_mirror_keeps_no_study(held: bool, tmp_path: Path) -> None:
    study = tmp_path / "study"
    write(study, 0)
    with acquire(Study(str(study)).run(".wandb-0a1b2c3d"), "a mirror") as lease:
        if not held:
            lease.release()
        assert (study / ".wandb-0a1b2c3d").is_dir()
        assert runs.main(["delete", str(study), "--where", "seed=0", "--yes"]) == 0
        assert study.exists() == held


def test_an_empty_folder_of_the_user_keeps_a_study(tmp_path: Path) -> None:
    write(tmp_path / "study", 0)
    (tmp_path / "study" / ".notes").mkdir()
    assert runs.main(["delete", str(tmp_path / "study"), "--where", "seed=0", "--yes"]) == 0
    assert names(tmp_path / "study") == {".notes"}


@pytest.mark.parametrize("more", [(), ("toy__lstm-vae__standard__L1__seed0__00000000",)])
def test_a_study_in_which_a_launch_is_about_to_begin_is_kept(more: tuple[str, ...], tmp_path: Path) -> None:
    study = tmp_path / "study"
    write(study, 0)
    write_planned_runs(Study(str(study)), [*Study(str(study)).run_names(), *more])
    assert runs.main(["delete", str(study), "--where", "seed=0", "--yes"]) == 0
    assert study.exists() == bool(more)


def test_nobody_can_claim_a_run_while_it_is_moved(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move, tried = relocated_runs.move, []

    def look(place: Path, target: Path) -> str:
        with pytest.raises(HeldError):
            acquire(Study(str(place.parent)).run(place.name), "another launch")
        tried.append(place)
        return move(place, target)

    monkeypatch.setattr(relocated_runs, "move", look)
    other = tmp_path / "other"
    assert runs.main(["move", str(study), "--where", "seed=1", "--to", str(other), "--yes"]) == 0
    assert len(tried) == 2
    assert sorted(place.name for place in tried) == sorted(names(other))
    assert not list(other.glob("*/claim-*.json")), "whoever moved them works on them no longer"
    assert set(names(study)).isdisjoint(names(other))


def test_a_whole_number_may_be_written_with_a_point(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.main(["list", str(study), "--where", "seed=1.0", "--names"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 runs")


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("seed=0..1", 4),
        ("seed=1..9", 2),
        ("seed=1..1,7", 2),
        ("seed=2..9", 0),
        ("learning_rate=0.1..0.5", 2),
        ("learning_rate=0.5..1", 4),
    ],
)
def test_a_range_selects_the_numbers_from_end_to_end(
    study: Path, where: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.main(["list", str(study), "--where", where, "--names"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{count} runs")


def test_a_listing_names_fields_in_the_order_of_the_config_whatever_the_hashes(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "embedding_size": 8, "latent_size": 4, "batch_size": 2, "dropout": 0.25}
    write(tmp_path)
    write(tmp_path, **sizes)
    script = str(Path(runs.__file__))
    printed = {
        subprocess.run(
            [sys.executable, script, "list", str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    (out,) = printed
    (line,) = [line for line in out.splitlines() if "hidden_size=16" in line]
    fields = [name for name in (f.name for f in dataclasses.fields(RunConfig)) if name in sizes]
    assert re.findall(r"(\w+)=", line) == fields


def test_a_folder_of_studies_is_not_taken_for_an_empty_study(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent)
    write(study.parent / "other")
    (study.parent / "notes").mkdir()
    for arguments in (["list", "."], ["delete", ".", "--where", "state=failed", "--yes"]):
        assert runs.main(arguments) == 2
        assert capsys.readouterr().err == (
            "error: .: holds no run itself, but studies: other, study; give one of them, such as other\n"
        )
    assert len(names(study)) == 5
    assert runs.main(["list", "notes"]) == 0  # an empty folder may be a study
    assert capsys.readouterr().out.startswith("0 runs")


def test_a_selection_may_have_values_that_only_earlier_versions_wrote(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(study, replace(RunConfig(dataset="toy"), system="my-vae"))
    assert runs.main(["list", str(study), "--where", "system=my-vae,LSTM-lm"]) == 0
    assert "1 run," in capsys.readouterr().out


def test_a_selection_without_runs_is_no_error(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = names(study)
    assert runs.main(["delete", str(study), "--where", "seed=99", "--yes"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("nothing to do: no run has seed=99\n", "")
    assert names(study) == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("delete", "{study}", "--yes"), "delete: say which runs"),
        (("list", "{study}", "--where", "colour=red"), "unknown config field 'colour': the most"),
        (
            ("list", "{study}", "--where", "lr=0.5"),
            "unknown config field 'lr': did you mean 'learning_rate'?",
        ),
        (("list", "{study}", "--where", "seed=3..1"), "seed=3..1: is empty; write LOW..HIGH"),
        (("list", "{study}", "--where", "seed=1..x"), "seed=x: must be a whole number"),
        (
            ("delete", "{study}", "--where", "state=done,finished"),
            "there is no such state; choose from done, running, failed, unfinished, unreadable",
        ),
        (("list", "{study}", "--where", "learning_rate=fast"), "learning_rate=fast: must be a number"),
        (("list", "{study}", "--where", "seed=1,2.5"), "seed=2.5: must be a whole number"),
        (("list", "{study}", "--where", "seed"), "write it as field=value"),
        (("list", "{study}", "--where", "seed=1", "seed=2"), "given twice"),
        (
            ("delete", "{study}", "--where", "system=lstm-vea", "--yes"),
            "--where system=lstm-vea: unknown system 'lstm-vea': did you mean 'lstm-vae'?",
        ),
        (("list", "{study}", "--where", "setting=standart"), "did you mean 'standard'?"),
        (("list", "{study}", "--where", "optimiser=sdg,adam"), "did you mean 'sgd'?"),
        (("list", "nowhere"), "there is no such folder"),
        (("list", "s3://bucket/study"), "works on local folders"),
        (("move", "{study}", "--where", "seed=1"), "say where to"),
        (("move", "{study}", "--where", "seed=1", "--to", "{study}"), "is the study itself"),
        (("move", "{study}", "--where", "seed=1", "--to", "{study}/in"), "lies within the study"),
        (
            ("move", "{study}", "--where", "seed=1", "--to", "{study}-text"),
            "is a dataset, with train.txt in it",
        ),
        (("list", "{study}-text"), "is a dataset, with train.txt in it; give a study"),
        (
            ("move", "{study}", "--where", "seed=1", "--to", "{study}-2/a b"),
            "--to: the name of a study cannot be 'a b': use letters, digits",
        ),
        (
            ("delete", "{study}", "--where", "seed=1", "--to", "{study}-2", "--yes"),
            "only move has a target; leave it out",
        ),
        (("move", "{study}", "--where", "seed=1", "--to", f"{{study}}-2/{RUN}"), f"{RUN} is a run; give a"),
        (
            ("move", "{study}", "--where", "seed=1", "--to", f"{{study}}-2/{RUN}/in"),
            f"{RUN} is a run; give a",
        ),
    ],
)
def test_bad_input_ends_in_one_line_and_status_2(
    study: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], complaint: str
) -> None:
    before, text = names(study), Path(f"{study}-text")
    text.mkdir()
    (text / "train.txt").write_text("a\n")
    assert runs.main([argument.format(study=study) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert names(study) == before
