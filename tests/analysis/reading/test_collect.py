import uuid
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.reading.collect import Runs, collect
from analysis.reading.sources import find_sources, open_source
from analysis.stats.missing_runs import with_missing
from lvae_core.errors import InputError
from lvae_core.run_folder.folder import RunFolder
from lvae_core.run_folder.study import Study

from ..conftest import WriteRun


def read(tmp_path: Path, *studies: str) -> Runs:
    return collect([open_source(str(tmp_path / study)) for study in studies or ("study",)])


def test_a_finished_run_is_one_row_with_everything_known_of_it(tmp_path: Path, write_run: WriteRun) -> None:
    folder = write_run("lstm-vae-avg", 5, "inputless", 3, max_epochs=7,
                       estimates={"nll_elbo": (118.5, 0.02), "kl": 10.5})  # fmt: skip
    folder.write_json(
        "provenance.json",
        {"attempts": [{"commit": "old"}, {"commit": "c0ffee", "dirty": True, "device": "cpu", "host": "h",
                                          "versions": {"torch": "2.13", "python": "3.11"}}]},
    )  # fmt: skip
    runs = read(tmp_path)
    assert len(runs.frame) == 1
    assert not runs.problems
    row = runs.frame.iloc[0].dropna().to_dict()
    assert {k: row[k] for k in ("dataset", "system", "setting", "num_samples", "seed", "status")} == {
        "dataset": "ptb", "system": "lstm-vae-avg", "setting": "inputless",
        "num_samples": 5, "seed": 3, "status": "done",
    }  # fmt: skip
    assert (row["nll_elbo"], row["nll_elbo_stderr"], row["kl"]) == (118.5, 0.02, 10.5)
    # A number that makes no sense for a run is absent, not zero.
    assert not {"kl_stderr", "nll", "nll_iw", "failure_class", "message"} & set(row)
    assert (row["max_epochs"], row["averaging"], row["deterministic"]) == (7, "hidden", True)
    assert (row["tokens"], row["sentences"], row["train_seconds"]) == (82430, 3761, 1800.0)
    assert (row["commit"], row["dirty"], row["versions"]) == ("c0ffee", True, "torch 2.13, python 3.11")
    assert row["study"] == str(tmp_path / "study")
    assert row["run"] == folder.name
    assert len(row["fingerprint"]) == 64
    assert row["numerics"] == "current"


def test_status_follows_from_the_files_there_are(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(seed=0)
    write_run(seed=1, status="failed")
    write_run(seed=2, status="unfinished")
    retried = write_run(seed=3)
    retried.write_failure("infrastructure", "node lost", "")
    frame = read(tmp_path).frame.set_index("seed")
    assert frame["status"].to_dict() == {0: "done", 1: "failed", 2: "unfinished", 3: "done"}
    assert frame.loc[1, "failure_class"] == "diverged"
    assert frame.loc[1, "failure_attempt"] == 1
    assert frame.loc[1, "message"] == "the loss is nan in epoch 2"
    assert frame.loc[2, "max_epochs"] == 30


def damaged(folder: RunFolder, file: str, content: bytes) -> RunFolder:
    folder.store.write(f"{folder.name}/{file}", content)
    return folder


def changed(folder: RunFolder, file: str, **changes: object) -> RunFolder:
    folder.write_json(file, (folder.read_json(file) or {}) | changes)
    return folder


DAMAGE: dict[str, Callable[[RunFolder], RunFolder]] = {
    "half a file": lambda f: damaged(f, "result.json", b'{"finger'),
    "empty": lambda f: damaged(f, "result.json", b""),
    "not text": lambda f: damaged(f, "result.json", b"\xff\xfe\x00"),
    "a list": lambda f: damaged(f, "result.json", b"[]"),
    "an empty object": lambda f: damaged(f, "result.json", b"{}"),
    "no estimates": lambda f: changed(f, "result.json", estimates=None),
    "no estimate": lambda f: changed(f, "result.json", estimates={}),
    "a count beyond any": lambda f: changed(f, "result.json", steps=10**30),
    "an estimate is a number": lambda f: changed(f, "result.json", estimates={"nll_elbo": 3.0}),
    "an estimate without value": lambda f: changed(f, "result.json", estimates={"nll_elbo": {}}),
    "an estimate of true": lambda f: changed(f, "result.json", estimates={"kl": {"value": True}}),
    "no tokens": lambda f: changed(f, "result.json", tokens=None),
    "half a token": lambda f: changed(f, "result.json", tokens=0.5),
    "a time that is text": lambda f: changed(f, "result.json", train_seconds="long"),
    "another fingerprint": lambda f: changed(f, "result.json", fingerprint="0" * 64),
    "an unknown field": lambda f: changed(f, "result.json", config={"colour": "red"}),
    "another seed": lambda f: changed(
        f, "result.json", config=(f.read_json("config.json") or {})["config"] | {"seed": 99}
    ),
}  # fmt: skip


@pytest.mark.parametrize("harm", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_result_is_reported_and_its_numbers_are_not_used(
    tmp_path: Path, write_run: WriteRun, harm: Callable[[RunFolder], RunFolder]
) -> None:
    write_run(seed=0)
    folder = harm(write_run(seed=1))
    runs = read(tmp_path)
    assert list(runs.frame["status"]) == ["done", "damaged"]
    assert pd.isna(runs.frame["nll_elbo"][1])
    assert len(with_missing(runs.frame)) == 2
    assert runs.frame["latent_size"][0] == runs.frame["latent_size"][1]  # from the intact config.json
    assert len(runs.problems) == 1
    assert runs.problems[0].endswith("; the sweep's command, run again, repairs the run")
    assert runs.problems[0].startswith(f"{folder}/result.json: damaged")
    assert "\n" not in runs.problems[0]


def test_nan_in_a_result_is_damage(tmp_path: Path, write_run: WriteRun) -> None:
    folder = write_run()
    text = folder.store.read(f"{folder.name}/result.json")
    damaged(folder, "result.json", text.replace(b"90.0", b"NaN"))
    runs = read(tmp_path)
    assert list(runs.frame["status"]) == ["damaged"]
    assert "result.json: damaged" in runs.problems[0]


@pytest.mark.parametrize("file", ["config.json", "failure.json"])
def test_a_damaged_file_of_a_run_without_result_is_reported(
    tmp_path: Path, write_run: WriteRun, file: str
) -> None:
    damaged(write_run(status="failed"), file, b"{")
    runs = read(tmp_path)
    assert list(runs.frame["status"]) == ["damaged"]
    assert file in runs.problems[0]


def test_the_config_of_another_run_is_reported_as_damage(tmp_path: Path, write_run: WriteRun) -> None:
    folder = write_run(status="unfinished")
    config = (folder.read_json("config.json") or {})["config"]
    changed(folder, "config.json", config=config | {"system": "lstm-vae-avg"})
    assert "config of another run" in read(tmp_path).problems[0]


def test_damaged_provenance_is_reported_but_the_numbers_are_used(
    tmp_path: Path, write_run: WriteRun
) -> None:
    damaged(write_run(), "provenance.json", b"oh")
    runs = read(tmp_path)
    assert list(runs.frame["status"]) == ["done"]
    assert "provenance.json" in runs.problems[0]


def test_a_run_that_is_a_file_is_reported(tmp_path: Path, write_run: WriteRun) -> None:
    name = write_run(seed=1).name.replace("seed1", "seed2")
    (tmp_path / "study" / name).write_text("not a folder")
    runs = read(tmp_path)
    assert list(runs.frame["status"]) == ["done", "damaged"]
    assert len(runs.problems) >= 1


def test_messages_are_made_safe_for_a_terminal(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(status="unfinished").write_failure("code", "\x1b[31mred\x1b[0m\nsecond\tline", "")
    assert list(read(tmp_path).frame["message"]) == ["[31mred [0m second line"]


def test_a_result_of_another_numerics_version_is_marked(tmp_path: Path, write_run: WriteRun) -> None:
    folder = write_run()
    result = folder.read_json("result.json") or {}
    other = "0123456789abcdef" * 4
    older = Study(str(tmp_path / "study")).run(folder.name[:-8] + other[:8])
    older.write_json("result.json", result | {"fingerprint": other})
    assert list(read(tmp_path).frame["numerics"]) == ["other", "current"]
    older.write_json("provenance.json", {"attempts": [{"versions": {"numerics": 0}}]})
    assert list(read(tmp_path).frame["numerics"]) == ["0", "current"]


def test_an_object_store_is_read_like_a_folder() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    study = Study(url)
    failure = {"class": "code", "attempt": 2, "message": "x"}
    for seed in range(40):
        study.run(f"ptb__lstm-vae__standard__L1__seed{seed}__0123abcd").write_json("failure.json", failure)
    seen: list[tuple[int, int]] = []
    runs = collect([open_source(url)], lambda done, total: seen.append((done, total)))
    assert list(runs.frame["seed"]) == list(range(40))
    assert set(runs.frame["failure_attempt"]) == {2}
    assert seen == [(i, 40) for i in range(1, 41)]


def test_a_place_that_is_not_a_study_is_refused_in_one_line(tmp_path: Path, write_run: WriteRun) -> None:
    write_run()
    (tmp_path / "empty").mkdir()
    for path, complaint in [
        (tmp_path / "nowhere", "there is no such study"),
        (tmp_path / "empty", "no run has begun there yet"),
        (tmp_path, f"holds studies, is not one itself; give {tmp_path}/study"),
    ]:
        with pytest.raises(InputError, match=complaint) as error:
            open_source(str(path))
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)


def test_studies_are_found_under_a_storage_place(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(study="b")
    write_run(study="a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a-file").write_text("")
    assert [Path(source.url).name for source in find_sources(str(tmp_path))] == ["a", "b"]
    assert find_sources(str(tmp_path / "nowhere")) == []


def test_run_folders_with_any_name_are_read(tmp_path: Path, write_run: WriteRun) -> None:
    done, undone = write_run(seed=0), write_run(seed=1, status="failed")
    (tmp_path / "mine").mkdir()
    for folder, name in [(done, "first"), (undone, "second")]:
        (tmp_path / "study" / folder.name).rename(tmp_path / "mine" / name)
    frame = read(tmp_path, "mine").frame
    assert list(frame["status"]) == ["done", "failed"]
    assert list(frame["run"]) == [done.name, str(tmp_path / "mine" / "second")]
    assert list(frame["system"]) == ["lstm-vae", "lstm-vae"]
    assert list(frame["seed"]) == [0, 1]
    one = read(tmp_path, "mine/first")
    assert list(one.frame["run"]) == [done.name]
    assert one.studies == (str(tmp_path / "mine" / "first"),)
    # A run directly in the storage place is found, and is recognised as the same run.
    write_run(seed=0)
    (tmp_path / "mine" / "first").rename(tmp_path / "loose")
    found = find_sources(str(tmp_path))
    assert [Path(source.url).name for source in found] == ["mine", "study", tmp_path.name]
    assert collect(found).duplicates == 1


def test_one_run_of_a_sweep_can_be_read_alone(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(seed=0)
    assert list(read(tmp_path, f"study/{write_run(seed=1).name}").frame["seed"]) == [1]


def test_damage_in_a_folder_with_any_name_is_reported(tmp_path: Path, write_run: WriteRun) -> None:
    damaged(write_run(), "result.json", b"{")
    (tmp_path / "study" / write_run(seed=1).name).rename(tmp_path / "study" / "mine")
    damaged(Study(str(tmp_path / "study")).run("mine"), "result.json", b"{")
    runs = read(tmp_path)
    assert list(runs.frame["status"]) == ["damaged", "damaged"]
    assert len(runs.problems) == 2
    assert list(runs.frame["dataset"].dropna()) == ["ptb"]


def test_a_number_is_read_as_a_float_though_json_wrote_a_large_whole_one(
    tmp_path: Path, write_run: WriteRun
) -> None:
    # Of these, only the first two are exact as floats.
    values = (3, 2**53, 2**60 + 1, 10**30)
    for seed, value in enumerate(values):
        write_run(seed=seed, estimates={"nll_elbo": 100.0, "kl": value})
    runs = read(tmp_path)
    assert list(runs.frame["kl"]) == [3.0, 2.0**53, 2.0**60, 1e30]
    assert not runs.problems


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"estimates": {"nll_elbo": {"value": 10**400}}}, "nll_elbo.value is 1000"),
        ({"evaluation_version": "2"}, "evaluation_version is '2'"),
        ({"evaluation_version": 2**63}, "evaluation_version is 9223372036854775808"),
        ({"tokens": 2**63}, "tokens is 9223372036854775808"),
        ({"vocabulary": 9, "splits": [1]}, "splits.train.unknown is None"),
        ({"vocabulary": 9, "splits": {"train": 0.5}}, "splits.train.unknown is None"),
    ],
)
def test_a_result_with_a_value_that_no_column_holds_is_damaged(
    tmp_path: Path, write_run: WriteRun, changes: dict[str, object], problem: str
) -> None:
    write_run(result=changes)
    runs = read(tmp_path)
    assert list(runs.frame["status"]) == ["damaged"]
    assert problem in runs.problems[0]
