"""Missing runs are inferred from the seeds that at least half of the cells of a study's dataset have."""

from pathlib import Path

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.missing_runs import with_missing

from ..conftest import WriteRun


def missing(tmp_path: Path, *studies: str) -> list[tuple[str, int, int]]:
    frame = with_missing(collect([open_source(str(tmp_path / s)) for s in studies or ("study",)]).frame)
    absent = frame[frame["status"] == "missing"]
    return list(zip(absent["system"], absent["num_samples"], absent["seed"], strict=True))


def test_a_cell_that_fell_behind_shows_its_gaps(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        write_run("lstm-lm", seed=seed)
        write_run("lstm-vae-avg", 5, seed=seed, status="failed" if seed else "done")
    write_run("lstm-vae", seed=1)
    assert missing(tmp_path) == [("lstm-vae", 1, 0), ("lstm-vae", 1, 2)]


def test_a_few_cells_with_more_seeds_make_no_gaps_in_the_others(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for system in ("lstm-lm", "lstm-vae", "lstm-vae-avg"):
        write_run(system, seed=0)
    write_run("lstm-lm", seed=1)
    assert missing(tmp_path) == []


def test_a_dataset_with_fewer_seeds_lacks_none(tmp_path: Path, write_run: WriteRun) -> None:
    for system in ("lstm-lm", "lstm-vae"):
        for seed in range(2):
            write_run(system, seed=seed, dataset="pydocs")
        write_run(system, seed=0, dataset="topics")
    write_run("lstm-vae-avg", 5, seed=0, dataset="pydocs")
    assert missing(tmp_path) == [("lstm-vae-avg", 5, 1)]


def test_a_seed_in_another_study_is_not_missing(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(2):
        write_run("lstm-lm", seed=seed, study="a")
    write_run("lstm-vae", seed=0, study="a")
    write_run("lstm-vae", seed=1, study="b")
    assert missing(tmp_path, "a", "b") == []
    assert missing(tmp_path, "a") == [("lstm-vae", 1, 1)]


def test_a_missing_run_belongs_to_its_cells_variant(tmp_path: Path, write_run: WriteRun) -> None:
    for epochs in (3, 30):
        write_run("lstm-lm", seed=0, max_epochs=epochs)
        write_run("lstm-vae", seed=0, max_epochs=epochs)
    for epochs in (3, 30):
        write_run("lstm-lm", seed=1, max_epochs=epochs)
    frame = with_missing(collect([open_source(str(tmp_path / "study"))]).frame)
    absent = frame[frame["status"] == "missing"]
    assert sorted(absent["max_epochs"]) == [3, 30]
    assert set(absent["run"]) == {"ptb__lstm-vae__standard__L1__seed1"}
    assert set(absent["data_sha256"]) == {"d" * 64}
