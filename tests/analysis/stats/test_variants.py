"""Which runs are averaged together: those of one config, one arithmetic and one version of the code."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.two_studies import compare_studies
from analysis.stats.cells import Cell
from analysis.stats.over_seeds import average_cells
from analysis.stats.variants import _complete
from analysis.tables.elements.shown_variants import mark_shown
from lvae_core.run_folder.study import Study

from ..conftest import WriteRun


def cells(tmp_path: Path) -> dict[str, Cell]:
    frame = collect([open_source(str(tmp_path / "study"))]).frame
    found = average_cells(frame)
    assert len({cell.variant for cell in found}) == len(found)
    return {cell.variant: cell for cell in found}


def resolved(precision: str) -> dict[str, Any]:
    return {"precision": "auto", "result": {"precision": precision}}


def test_runs_whose_devices_resolved_auto_differently_are_never_averaged(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed, precision in enumerate(["bfloat16", "float32", "bfloat16", "float32"]):
        write_run(seed=seed, estimates={"nll_elbo": 100.0 + seed}, **resolved(precision))
    # It is the arithmetic that counts, not how it was asked for.
    write_run(seed=4, estimates={"nll_elbo": 104.0}, precision="float32")
    write_run(seed=5, status="failed", precision="auto")
    found = cells(tmp_path)
    assert {name: cell.averages["nll_elbo"].seeds for name, cell in found.items() if cell.averages} == {
        "precision=bfloat16": (0, 2),
        "precision=float32": (1, 3, 4),
    }
    # Nobody knows what the failed run's would have been.
    assert found["precision=?"].counts.failed == 1


def test_a_run_without_a_result_belongs_to_the_one_arithmetic_of_its_cell(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run(seed=0, **resolved("bfloat16"))
    write_run(seed=1, status="failed", precision="auto")
    write_run(seed=2, status="unfinished", precision="auto")
    (cell,) = cells(tmp_path).values()
    assert (cell.variant, cell.counts.done, cell.counts.failed, cell.counts.unfinished) == ("", 1, 1, 1)


def test_an_arithmetic_that_was_not_recorded_is_averaged_with_none_that_was(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run(seed=0, precision="auto")
    write_run(seed=1, **resolved("float32"))
    assert set(cells(tmp_path)) == {"precision=auto", "precision=float32"}


def earlier(place: Path, write_run: WriteRun, seed: int, digit: str, nll: float, commit: str = "") -> None:
    """A run of another version of the code: its fingerprint is not that of its config today."""
    folder = write_run(seed=seed, study="draft", estimates={"nll_elbo": nll})
    copy = Study(str(place / "study")).run(folder.name[:-8] + digit * 8)
    result = folder.read_json("result.json") or {}
    copy.write_json("result.json", result | {"fingerprint": digit * 64})
    if commit:
        copy.write_json("provenance.json", {"attempts": [{"commit": commit * 40}]})


def test_versions_of_the_code_that_repeat_a_seed_stand_apart_by_their_commits(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(3):
        earlier(tmp_path, write_run, seed, f"{seed}", 90.0 + seed, "a")
        earlier(tmp_path, write_run, seed, f"{seed + 3}", 70.0 + seed, "b")
    found = {name: cell.averages["nll_elbo"] for name, cell in cells(tmp_path).items()}
    assert {name: (average.n, average.mean) for name, average in found.items()} == {
        f"commit={'a' * 10}": (3, 91.0),
        f"commit={'b' * 10}": (3, 71.0),
    }


def test_repeated_seeds_of_unknown_or_one_commit_stand_apart_by_their_fingerprints(
    tmp_path: Path, write_run: WriteRun
) -> None:
    earlier(tmp_path, write_run, 0, "1", 90.0)
    earlier(tmp_path, write_run, 0, "2", 70.0)
    earlier(tmp_path, write_run, 0, "3", 60.0, "a")
    assert {name: cell.averages["nll_elbo"].values for name, cell in cells(tmp_path).items()} == {
        f"commit={'a' * 10}": (60.0,),
        "commit=unknown, fingerprint=11111111": (90.0,),
        "commit=unknown, fingerprint=22222222": (70.0,),
    }


def test_versions_that_repeat_no_seed_stay_one_variant(tmp_path: Path, write_run: WriteRun) -> None:
    earlier(tmp_path, write_run, 0, "1", 90.0, "a")
    earlier(tmp_path, write_run, 1, "2", 92.0, "b")
    (cell,) = cells(tmp_path).values()
    assert (cell.variant, cell.averages["nll_elbo"].seeds) == ("", (0, 1))


Values = tuple[Any, ...]


def completed_by_search(of_runs: list[Values]) -> dict[Values, Values]:
    """The rule in its plainest form: of all groups, those with all known values of a run."""
    groups: list[Values] = []
    found: dict[Values, Values] = {}
    for run in sorted(dict.fromkeys(of_runs), key=lambda values: values.count(None)):
        fitting = [
            group
            for group in groups
            if all(value is None or value == other for value, other in zip(run, group, strict=True))
        ]
        found[run] = fitting[0] if len(fitting) == 1 else run
        groups += [run] if len(fitting) != 1 else []
    return found


@given(st.lists(st.tuples(*[st.sampled_from([None, 0, 1])] * 4), max_size=30))
def test_a_run_with_gaps_belongs_to_the_only_group_with_its_known_values(of_runs: list[Values]) -> None:
    assert _complete(of_runs) == completed_by_search(of_runs)


class Counted:
    """A value that counts how often it is compared."""

    comparisons = 0

    def __init__(self, value: int) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        type(self).comparisons += 1
        return isinstance(other, Counted) and self.value == other.value


@pytest.mark.parametrize("count", [100, 1000])
def test_a_run_is_not_compared_with_every_variant(count: int) -> None:
    # Each variant in two values that are equal, but not the same object.
    of_runs: list[Values] = list(
        itertools.chain(*([(Counted(k), 0), (Counted(k), None)] for k in range(count)))
    )
    Counted.comparisons = 0
    assert len(set(_complete(of_runs).values())) == count
    assert Counted.comparisons < 50 * count


def test_a_configuration_has_one_name_at_every_number_of_samples(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for L, sizes in ((1, (16, 64)), (5, (16,)), (10, (16, 64))):
        for size in sizes:
            write_run("lstm-vae", L, dataset="toy", latent_size=size)
    write_run("lstm-lm", dataset="toy", latent_size=16)
    frame = collect([open_source(str(tmp_path / "study"))]).frame
    found = mark_shown(average_cells(frame))
    names = [(c.num_samples, c.variant, c.variant_name) for c in found if c.system == "lstm-vae"]
    assert names == [
        (L, f"latent_size={size}", f"latent_size={size}")
        for L, size in ((1, 16), (1, 64), (5, 16), (10, 16), (10, 64))
    ]
    assert [cell.variant for cell in found if cell.system == "lstm-lm"] == [""]


def test_runs_that_differ_in_more_than_the_number_of_samples_are_variants(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """Else a figure would join them by a line over L."""
    write_run("lstm-vae", 1, dataset="toy", latent_size=4, dropout=0.5)
    write_run("lstm-vae", 2, dataset="toy", latent_size=2, dropout=0.1)
    write_run("lstm-vae-avg", 1, dataset="toy", latent_size=4)
    write_run("lstm-vae-avg", 2, dataset="toy", latent_size=4)
    frame = collect([open_source(str(tmp_path / "study"))]).frame
    found = mark_shown(average_cells(frame))
    assert [(c.system, c.num_samples, c.variant, c.variant_name) for c in found] == [
        ("lstm-vae", 1, "latent_size=4, dropout=0.5", "A"),
        ("lstm-vae", 2, "latent_size=2, dropout=0.1", "B"),
        ("lstm-vae-avg", 1, "", ""),
        ("lstm-vae-avg", 2, "", ""),
    ]


def test_studies_whose_variants_differ_at_another_number_of_samples_are_compared(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for study in ("a", "b"):
        for L, sizes in ((1, (16, 64)), (5, (16,))):
            for size in sizes:
                write_run("lstm-vae", L, dataset="toy", study=study, latent_size=size)
    a, b = (collect([open_source(str(tmp_path / study))]) for study in "ab")
    compared = compare_studies(a, b).comparisons
    pairs = {(c.a.num_samples, c.a.varied.get("latent_size")) for c in compared if c.metric == "nll_valid"}
    assert pairs == {(1, "16"), (1, "64"), (5, None)}


def test_nothing_is_named_of_which_nothing_is_known(tmp_path: Path, write_run: WriteRun) -> None:
    for data in ("d" * 64, "e" * 64):
        write_run("lstm-vae", 1, dataset="toy", data=data)
    write_run("lstm-vae", 5, dataset="toy", status="unfinished")
    frame = collect([open_source(str(tmp_path / "study"))]).frame
    assert [c.variant for c in average_cells(frame) if c.num_samples == 5] == [""]
