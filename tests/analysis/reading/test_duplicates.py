"""A run in several places counts once, and copies with different numbers are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.formats.summary import write_tables
from analysis.reading.collect import Runs, collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from lvae_core.errors import InputError
from lvae_core.run_folder.folder import TIMING_FIELDS

from ..conftest import WriteRun


def read(tmp_path: Path, *studies: str) -> Runs:
    return collect([open_source(str(tmp_path / study)) for study in studies])


def tables(tmp_path: Path, *studies: str) -> dict[str, bytes]:
    out = tmp_path / "-".join(("tables", *studies))
    write_tables(compose(read(tmp_path, *studies)), str(out), latex="plain")
    # report.md names the studies in the order in which they were given.
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != "report.md"}


def test_a_run_in_two_studies_counts_once_and_a_finished_copy_is_kept(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run(seed=0, study="a")
    write_run(seed=0, study="b")
    write_run(seed=1, study="a", status="failed")
    write_run(seed=1, study="b")
    write_run(seed=2, study="a", status="unfinished")
    write_run(seed=2, study="b", status="failed")
    runs = read(tmp_path, "a", "b", "a")
    assert list(runs.frame["status"]) == ["done", "done", "failed"]
    assert [Path(study).name for study in runs.frame["study"]] == ["a", "b", "b"]
    assert runs.duplicates == 3
    assert not runs.problems
    assert len(runs.studies) == 2


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "an estimate": (
        {"estimates": {"nll_elbo": (100.5, 0.02)}},
        "nll_elbo is 100.0 in {a}, but 100.5 in {b}",
    ),
    "its error": (
        {"estimates": {"nll_elbo": (100.0, 0.03)}},
        "nll_elbo_stderr is 0.02 in {a}, but 0.03 in {b}",
    ),
    "an estimate more": (
        {"estimates": {"nll_elbo": (100.0, 0.02), "kl": 2.0}},
        "kl is missing in {a}, but 2.0 in {b}",
    ),
    "the last bit": (
        {"estimates": {"nll_elbo": (100.00000000000001, 0.02)}},
        "nll_elbo is 100.0 in {a}, but 100.00000000000001 in {b}",
    ),
    "a count": ({"result": {"best_epoch": 4}}, "best_epoch is 3 in {a}, but 4 in {b}"),
    "the learning curve": (
        {"result": {"metrics_sha256": "e" * 64}},
        "the learning curves in {a} and {b} differ",
    ),
}


@pytest.mark.parametrize(("change", "difference"), CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_copies_with_different_numbers_are_refused_in_any_order(
    tmp_path: Path, write_run: WriteRun, change: dict[str, Any], difference: str, order: str
) -> None:
    estimates = {"nll_elbo": (100.0, 0.02)}
    a = write_run(study="a", estimates=estimates)
    b = write_run(study="b", **{"estimates": estimates, **change})
    with pytest.raises(InputError) as error:
        read(tmp_path, *order)
    assert str(error.value) == f"{a.name}: {difference.format(a=a, b=b)}; leave one of the two out"


@pytest.mark.slow
def test_two_folders_of_one_study_with_different_numbers_are_refused(
    tmp_path: Path, write_run: WriteRun
) -> None:
    first = write_run(estimates={"nll_elbo": 100.0})
    (tmp_path / "study" / first.name).rename(tmp_path / "study" / "mine")
    second = write_run(estimates={"nll_elbo": 101.0})
    with pytest.raises(InputError) as error:
        read(tmp_path, "study")
    for part in (first.name, "nll_elbo", "100.0", "101.0", str(tmp_path / "study" / "mine"), str(second)):
        assert part in str(error.value)


def test_a_run_given_by_its_own_path_is_named_by_that_path(tmp_path: Path, write_run: WriteRun) -> None:
    folder = write_run(study="a", estimates={"nll_elbo": 100.0})
    write_run(study="b", estimates={"nll_elbo": 101.0})
    with pytest.raises(InputError, match=f"in {folder}, but"):
        read(tmp_path, f"a/{folder.name}", "b")


def test_copies_that_differ_only_in_time_count_once_and_give_the_same_tables_in_any_order(
    tmp_path: Path, small_grid: Callable[..., None], write_run: WriteRun
) -> None:
    small_grid("a")
    small_grid("b")
    write_run("lstm-lm", dataset="pydocs", study="a", result=dict.fromkeys(TIMING_FIELDS, 1.0))
    write_run("lstm-lm", dataset="pydocs", study="b", result=dict.fromkeys(TIMING_FIELDS, 2.0))
    assert read(tmp_path, "a", "b").duplicates == 26
    assert tables(tmp_path, "a", "b") == tables(tmp_path, "b", "a")


def test_a_failed_run_in_two_places_gives_the_same_tables_in_any_order(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for study in "ab":
        folder = write_run(study=study, status="failed")
        folder.write_failure("code", f"a message of study {study}", "")
    assert tables(tmp_path, "a", "b") == tables(tmp_path, "b", "a")


def test_numbers_of_different_runs_may_differ(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(seed=0, study="a", estimates={"nll_elbo": 100.0})
    write_run(seed=1, study="b", estimates={"nll_elbo": 101.0})
    write_run(seed=0, study="b", max_epochs=3, estimates={"nll_elbo": 102.0})
    assert read(tmp_path, "a", "b").duplicates == 0


def test_a_copy_evaluated_before_diagnostics_were_recorded_is_the_same_run(
    tmp_path: Path, write_run: WriteRun
) -> None:
    old = {"nll_elbo": (100.0, 0.02), "nll_iw": (99.0, 0.1)}
    new = old | {"nll_iw": {"value": 99.0, "stderr": 0.1, "jackknife": 0.2, "ess": 9.0, "khat_above": 0.0}}
    write_run(study="a", estimates=old)
    write_run(study="b", estimates=new | {"nll_iw_one": (98.0, 0.1)})
    assert len(read(tmp_path, "a", "b").frame) == 1
    write_run(study="c", estimates=new | {"nll_iw": {**new["nll_iw"], "ess": 8.0}})  # type: ignore[dict-item]
    with pytest.raises(InputError, match=r"nll_iw_ess is 9.0 in .*, but 8.0 in .*"):
        read(tmp_path, "b", "c")
