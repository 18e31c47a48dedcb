"""The cache gives the same frame as reading every file, and never a row of a run that has changed."""

import os
import time
from pathlib import Path

import pandas as pd
import pytest

from analysis.reading import cache as cache_module
from analysis.reading.cache import Cache
from analysis.reading.collect import collect
from analysis.reading.signatures import SETTLING_SECONDS
from analysis.reading.sources import open_source
from lvae_core.run_folder.folder import RunFolder

from ...test_imports import imports, module_name
from ..conftest import WriteRun


@pytest.fixture
def study(tmp_path: Path, write_run: WriteRun, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs that were written long enough ago to be cached."""
    monkeypatch.setattr(cache_module, "CACHED_FROM", 1)
    for seed in range(2):
        write_run(seed=seed, estimates={"nll_elbo": (100.0 + seed, 0.01)})
    write_run(seed=2, status="failed")
    time.sleep(SETTLING_SECONDS + 0.1)
    return tmp_path / "study"


def frame(study: Path, cache: Cache | None = None) -> pd.DataFrame:
    return collect([open_source(str(study))], cache=cache).frame


def test_a_cached_frame_is_the_frame_and_reads_no_file(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache")
    fresh = frame(study)
    pd.testing.assert_frame_equal(frame(study, cache), fresh)

    def refuse(folder: RunFolder, file: str) -> None:
        raise AssertionError(f"{folder}/{file} was read")

    monkeypatch.setattr(RunFolder, "read_json", refuse)
    pd.testing.assert_frame_equal(frame(study, cache), fresh)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_changed_result_is_read_again(
    study: Path, tmp_path: Path, write_run: WriteRun, in_place: bool
) -> None:
    cache = Cache(tmp_path / "cache")
    frame(study, cache)
    changed = write_run(seed=0, study="other", estimates={"nll_elbo": (999.0, 0.01)})
    content = (tmp_path / "other" / changed.name / "result.json").read_bytes()
    target = study / changed.name / "result.json"
    if in_place:
        # Not even restoring the size and time of the file hides the change.
        before = target.stat()
        assert len(content) == before.st_size
        target.write_bytes(content)
        os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        temporary = target.with_name("new")
        temporary.write_bytes(content)
        temporary.rename(target)
    assert list(frame(study, cache)["nll_elbo"].dropna()) == [999.0, 101.0]


def test_a_failed_run_that_is_retried_is_read_again(
    study: Path, tmp_path: Path, write_run: WriteRun
) -> None:
    cache = Cache(tmp_path / "cache")
    assert list(frame(study, cache)["status"]) == ["done", "done", "failed"]
    write_run(seed=2)
    assert list(frame(study, cache)["status"]) == ["done", "done", "done"]


def test_a_damaged_cache_file_is_ignored_and_replaced(study: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    fresh = frame(study, cache)
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    pd.testing.assert_frame_equal(frame(study, cache), fresh)
    assert len(file.read_bytes()) == len(whole)


def test_damaged_runs_and_recent_changes_are_not_cached(
    study: Path, tmp_path: Path, write_run: WriteRun
) -> None:
    cache = Cache(tmp_path / "cache")
    broken = write_run(seed=3)
    broken.store.write(f"{broken.name}/result.json", b"{")
    for _ in range(2):
        runs = collect([open_source(str(study))], cache=cache)
        assert list(runs.frame["status"]) == ["done", "done", "failed", "damaged"]
        assert len(runs.problems) == 1


def test_a_cache_that_cannot_be_written_is_no_error(study: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    pd.testing.assert_frame_equal(frame(study, Cache(tmp_path / "file")), frame(study))


def test_a_change_of_any_module_that_reading_a_run_imports_makes_the_cache_invalid() -> None:
    """A row depends on all of them, such as the declaration of the config's fields."""
    reached: set[str] = set()
    to_visit = ["analysis.reading.run_row", "analysis.reading.frame", "analysis.reading.signatures"]
    while to_visit:
        name = to_visit.pop()
        if name not in reached and name in imports():
            reached.add(name)
            to_visit += [found.module for found in imports()[name]]
    assert {"lvae_core.fields.parts", "lvae_core.combinations", "lvae_core.parents"} < reached
    assert reached <= {module_name(file) for file in cache_module.code_files()}
