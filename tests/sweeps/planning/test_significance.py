"""A dry run says that a grid has too few seeds for its comparisons, against p-values and pairs by hand."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from lvae_core.identity import fingerprint
from lvae_core.run_folder.declared_seeds import declare_seeds
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.paper_grid import main
from sweeps.planning.plan import PlannedRun
from sweeps.planning.significance import seeds_note

DATA = {"toy": "d" * 64}
GRID = ["--datasets", "toy", "--systems", "lstm-lm", "lstm-vae", "--num-samples", "1"]


def grid(seeds: Iterable[int], *cells: tuple[str, int, Mapping[str, object]]) -> list[PlannedRun]:
    configs = [
        replace(recipe(system, dataset="toy", num_samples=samples, seed=seed), **changes)
        for seed in seeds
        for system, samples, changes in cells
    ]
    return [PlannedRun(config=config, name=str(n), status="left") for n, config in enumerate(configs)]


LM, VAE, AVG = ("lstm-lm", 1, {}), ("lstm-vae", 1, {}), ("lstm-vae-avg", 5, {})
SMALL, LARGE = ("lstm-vae", 1, {"latent_size": 2}), ("lstm-vae", 1, {"latent_size": 4})


def smallest_by_enumeration(n: int) -> float:
    """Share of all flips of n equal differences whose sum is as far from 0."""
    sums = [abs(sum(signs)) for signs in itertools.product((1, -1), repeat=n)]
    return sum(s >= n for s in sums) / len(sums)


@pytest.mark.parametrize(
    ("cells", "pairs"),
    [
        ([LM, VAE], 1),
        ([LM, VAE, ("lstm-vae", 5, {})], 2),  # each L against the language model
        ([LM, SMALL, LARGE], 3),  # and one variant against the other
        ([LM, AVG], 1),  # no lstm-vae of its L
        ([LM, AVG, ("lstm-vae", 5, {})], 3),
    ],
)
def test_the_note_comes_exactly_if_the_corrected_smallest_p_is_above_5_percent(cells, pairs, tmp_path):
    notes = {n: seeds_note(grid(range(n), *cells), DATA, Study(str(tmp_path))) for n in range(1, 12)}
    few = [n for n in notes if pairs * smallest_by_enumeration(n) > 0.05]
    assert [n for n, note in notes.items() if note] == few
    for n in few:
        assert notes[n].startswith(f"{n} seed")
        assert f"; {few[-1] + 1} seeds " in notes[n]
        assert (f"of the {pairs} comparisons of toy, standard" in notes[n]) == (pairs > 1)
    assert "0.0625" in notes[5]


def test_the_words_of_the_note(tmp_path):
    study = Study(str(tmp_path))
    assert seeds_note(grid(range(5), LM, VAE), DATA, study) == (
        "5 seeds: the sign-flip test's smallest p is 0.0625, so no comparison can be significant at 5%; "
        "6 seeds could"
    )
    assert seeds_note(grid(range(6), LM, SMALL, LARGE), DATA, study) == (
        "6 seeds: the sign-flip test's smallest p is 0.03125 (0.094 corrected), so no comparison can be "
        "significant at 5%; 7 seeds could, after Holm's correction of the 3 comparisons of toy, standard"
    )
    assert seeds_note(grid([3], LM, VAE), DATA, study) == (
        "1 seed: no comparison is possible; 6 seeds allow a significant one"
    )


def test_cells_that_nothing_is_compared_with_have_no_note(tmp_path):
    assert seeds_note(grid([0], VAE), DATA, Study(str(tmp_path))) == ""


def test_some_of_the_comparisons_may_have_too_few_seeds(tmp_path):
    runs = [*grid(range(8), LM, SMALL), *grid(range(2), LARGE)]
    note = seeds_note(runs, DATA, Study(str(tmp_path)))
    assert note.startswith("2 seeds: the sign-flip test's smallest p is 0.5, so 2 of 3 comparisons cannot")


def test_a_comparison_with_fewer_seeds_than_others_is_corrected_for_those_that_are_not_smaller(tmp_path):
    # p of 1/512 for one with ten seeds, then 1/32 for one with six: only the first is multiplied by two.
    runs = [*grid(range(10), LM, SMALL), *grid(range(6), ("lstm-vae", 5, {}))]
    assert seeds_note(runs, DATA, Study(str(tmp_path))) == ""
    assert seeds_note(grid(range(6), LM, SMALL, ("lstm-vae", 5, {})), DATA, Study(str(tmp_path)))


def test_a_comparison_of_one_seed_corrects_no_other(tmp_path):
    """The report makes none of it."""
    runs = [*grid(range(6), LM, VAE), *grid(range(1), ("lstm-vae-fb", 1, {}))]
    note = seeds_note(runs, DATA, Study(str(tmp_path)))
    # 1/32 for the pair of six seeds is below 5%.
    assert re.match(r"1 seed: [12] of [23] comparisons are not possible", note)


def test_seeds_that_the_study_holds_or_declares_count(tmp_path):
    study, runs = Study(str(tmp_path)), grid(range(3, 6), LM, VAE)
    assert seeds_note(runs, DATA, study)
    assert seeds_note(runs, DATA, study, declared=6) == ""
    for seed in range(3):
        for run in runs[:2]:
            for config in (
                replace(run.config, seed=seed, learning_rate=0.25),
                replace(run.config, seed=seed),
            ):
                assert seeds_note(runs, DATA, study), "runs of another variant do not count"
                (tmp_path / run_name(config, fingerprint(config, DATA["toy"]))).mkdir()
    assert seeds_note(runs, DATA, study) == ""
    declared = Study(str(tmp_path / "declared"))
    declare_seeds(declared, 6)
    assert seeds_note(runs, DATA, declared) == ""


def test_a_dry_run_prints_the_note_once_and_a_list_does_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*GRID, "--seeds", "5", "--dry-run"]) == 0
    assert len(re.findall("^note: 5 seeds: .*6 seeds could$", capsys.readouterr().out, re.M)) == 1
    assert main([*GRID, "--seeds", "6", "--dry-run"]) == 0
    assert "sign-flip" not in capsys.readouterr().out
    assert main([*GRID, "--seeds", "5", "--list"]) == 0
    assert "sign-flip" not in capsys.readouterr().out
