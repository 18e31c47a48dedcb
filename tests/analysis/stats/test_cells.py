from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.average import Average, average, finite_mean
from analysis.stats.cells import Cell, Counts
from analysis.stats.over_seeds import average_cells
from lvae_core.run_folder.study import Study

from ..conftest import WriteRun


def cells(tmp_path: Path, *studies: str) -> list[Cell]:
    return average_cells(collect([open_source(str(tmp_path / s)) for s in studies or ("study",)]).frame)


def test_mean_and_sample_std_over_seeds(tmp_path: Path, write_run: WriteRun) -> None:
    for seed, (nll, error) in enumerate([(100.0, 0.01), (102.0, 0.02), (104.0, 0.06)]):
        write_run(seed=seed, estimates={"nll_elbo": (nll, error), "kl": 2.0, "au": seed})
    (cell,) = cells(tmp_path)
    # By hand: mean 102, squared deviations 4 + 0 + 4, over n - 1 = 2, std 2. The mean's Monte Carlo error:
    # the variances 1, 4 and 36 (times 1e-4) add up to 41, and the sum is divided by 3.
    nll = cell.averages["nll_elbo"]
    assert (nll.n, nll.mean, nll.std) == (3, 102.0, 2.0)
    assert nll.mc_stderr == pytest.approx(41**0.5 / 100 / 3)
    assert nll.mc_stderrs == (0.01, 0.02, 0.06)
    assert (nll.seeds, nll.values) == ((0, 1, 2), (100.0, 102.0, 104.0))
    assert (nll.minimum, nll.maximum) == (100.0, 104.0)
    assert nll.stderr == pytest.approx(2 / 3**0.5)
    # A table of t has 4.303 for two degrees of freedom.
    assert nll.interval is not None
    assert nll.interval.low == pytest.approx(102 - 4.303 * 2 / 3**0.5, abs=1e-3)
    kl, au = cell.averages["kl"], cell.averages["au"]
    assert (kl.n, kl.mean, kl.std, kl.mc_stderr, kl.mc_stderrs) == (3, 2.0, 0.0, None, (None,) * 3)
    assert (au.n, au.mean, au.std) == (3, 1.0, 1.0)
    assert set(cell.averages) == {"nll_elbo", "kl", "au"}
    assert cell.counts == Counts(done=3)
    assert cell.variant == ""


def test_perplexity_is_the_mean_of_the_seeds_perplexities(tmp_path: Path, write_run: WriteRun) -> None:
    for seed, ppl in enumerate([50.0, 150.0]):
        write_run(seed=seed, estimates={"nll_elbo": 100.0, "ppl_elbo": ppl})
    assert cells(tmp_path)[0].averages["ppl_elbo"].mean == 100.0


def test_a_perplexity_is_as_reliable_as_the_nll_of_the_same_draws(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed, above in enumerate((0.02, 0.12)):
        draws = {"value": 101.0, "ess": 3.0, "khat_above": above}
        write_run(
            seed=seed, estimates={"nll_elbo": 102.0, "ppl_elbo": 99.0, "nll_iw": draws, "ppl_iw": 98.0}
        )
    (cell,) = cells(tmp_path)
    ppl, elbo = cell.averages["ppl_iw"], cell.averages["ppl_elbo"]
    assert (ppl.ess, ppl.khat_above, ppl.unreliable) == (3.0, pytest.approx(0.07), True)
    assert (elbo.ess, elbo.khat_above, elbo.unreliable) == (None, None, False)


def test_one_seed_has_no_std(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(estimates={"nll_elbo": (101.0, 0.5)})
    nll = cells(tmp_path)[0].averages["nll_elbo"]
    assert nll == Average(1, 101.0, None, 0.5, (0,), (101.0,), (0.5,))
    assert (nll.stderr, nll.interval) == (None, None)


def test_equal_values_have_a_std_of_zero(tmp_path: Path, write_run: WriteRun) -> None:
    value = 4900 / 3600  # the sum of three, divided by 3, is another number
    assert sum([value] * 3) / 3 != value
    for seed in range(3):
        write_run(seed=seed, estimates={"nll_elbo": value})
    assert cells(tmp_path)[0].averages["nll_elbo"].std == 0


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_the_mean_of_finite_numbers_is_finite_and_theirs(values: list[float]) -> None:
    exact = sum(map(Fraction, values)) / len(values)
    close = Fraction(max(map(abs, values))) / 10**12
    assert abs(Fraction(finite_mean(values)) - exact) <= close


@pytest.mark.parametrize("values", [(1e308,) * 3, (1e308, 100.0, 100.0), (-1e308, 1e308), (1e155, 0.0)])
def test_a_spread_too_large_for_a_number_is_unknown(values: tuple[float, ...]) -> None:
    found = average(np.arange(len(values)), np.array(values), np.full(len(values), np.nan))
    assert (found.std, found.stderr, found.interval) == (None, None, None)
    assert found.mean == pytest.approx(sum(v / len(values) for v in values))


def test_a_monte_carlo_error_too_large_for_a_number_is_unknown() -> None:
    assert average(np.arange(2), np.array([100.0, 101.0]), np.full(2, 1e308)).mc_stderr is None


def test_cells_differ_in_dataset_system_setting_and_samples(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-vae-avg", 5)
    write_run("lstm-vae", 10)
    write_run("lstm-vae", 1)
    write_run("lstm-vae", 1, "inputless")
    write_run("lstm-lm")
    write_run("a-new-one", 2)
    write_run("lstm-vae", 1, dataset="pydocs")
    found = [(c.dataset, c.system, c.num_samples, c.setting) for c in cells(tmp_path)]
    # The order of the paper's rows, others after them.
    assert found == [
        ("ptb", "lstm-lm", 0, "standard"),
        ("ptb", "lstm-vae", 1, "standard"),
        ("ptb", "lstm-vae", 1, "inputless"),
        ("ptb", "lstm-vae", 10, "standard"),
        ("ptb", "lstm-vae-avg", 5, "standard"),
        ("ptb", "a-new-one", 2, "standard"),
        ("pydocs", "lstm-vae", 1, "standard"),
    ]


def test_runs_of_different_configs_are_never_averaged(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(2):
        write_run(seed=seed, max_epochs=30, estimates={"nll_elbo": 100.0 + seed})
        write_run(seed=seed, max_epochs=3, estimates={"nll_elbo": 120.0 + seed})
    found = {cell.variant: cell.averages["nll_elbo"].mean for cell in cells(tmp_path)}
    assert found == {"max_epochs=3": 120.5, "max_epochs=30": 100.5}
    # By number, not by letter, and with the fields that differ alone.
    assert list(found) == ["max_epochs=3", "max_epochs=30"]


def test_variants_are_separated_across_studies_and_by_several_fields(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run(study="a", seed=0)
    write_run(study="b", seed=1, learning_rate=0.5, deterministic=False, batching="shuffled")
    assert [cell.variant for cell in cells(tmp_path, "a", "b")] == [
        "batching=bucketed, learning_rate=1, deterministic=true",
        "batching=shuffled, learning_rate=0.5, deterministic=false",
    ]


def test_a_value_that_the_recipe_takes_from_the_setting_makes_no_variant(
    tmp_path: Path, write_run: WriteRun
) -> None:
    def write(study: str, standard: float, inputless: float) -> list[Cell]:
        sphere = {"posterior": "von_mises_fisher", "study": study}
        write_run("lstm-vmf-vae", vmf_kappa=standard, **sphere)
        write_run("lstm-vmf-vae", setting="inputless", vmf_kappa=inputless, **sphere)
        return cells(tmp_path, study)

    assert {cell.variant for cell in write("recipes", 25.0, 85.0)} == {""}
    assert {cell.variant for cell in write("same", 25.0, 25.0)} == {""}
    assert {cell.variant for cell in write("own", 30.0, 85.0)} == {"vmf_kappa=30", "vmf_kappa=85"}


def test_close_numbers_do_not_share_a_label(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(seed=0, learning_rate=0.12345678)
    write_run(seed=1, learning_rate=0.12345679)
    assert [c.variant for c in cells(tmp_path)] == ["learning_rate=0.12345678", "learning_rate=0.12345679"]


def test_labels_have_four_significant_digits_if_these_tell_variants_apart(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run(seed=0, learning_rate=2.5471436215771854, max_vocabulary=12345)
    write_run(seed=1, learning_rate=0.000123456, max_vocabulary=12346)
    assert {c.variant for c in cells(tmp_path)} == {
        "max_vocabulary=12345, learning_rate=2.547",
        "max_vocabulary=12346, learning_rate=0.0001235",
    }


def test_runs_on_different_data_are_never_averaged(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(seed=0, data="a" * 64)
    write_run(seed=1, data="b" * 64)
    assert [c.variant for c in cells(tmp_path)] == ["data=aaaaaaaa", "data=bbbbbbbb"]


def test_the_path_of_a_dataset_makes_no_variant(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(seed=0, dataset="/here/news")
    write_run(seed=1, dataset="/there/news")
    (cell,) = cells(tmp_path)
    assert (cell.dataset, cell.counts.done, cell.variant) == ("news", 2, "")


def test_numerics_versions_are_never_averaged(tmp_path: Path, write_run: WriteRun) -> None:
    folder = write_run(seed=0)
    other = "0123456789abcdef" * 4
    old = Study(str(tmp_path / "study")).run(folder.name.replace("seed0", "seed1")[:-8] + other[:8])
    result = folder.read_json("result.json") or {}
    old.write_json("result.json", result | {"fingerprint": other, "config": result["config"] | {"seed": 1}})
    assert [c.variant for c in cells(tmp_path)] == ["numerics=current", "numerics=other"]


def test_runs_that_are_not_done_are_counted_with_their_cell(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(seed=0)
    write_run(seed=1, status="failed")
    write_run(seed=2, status="unfinished")
    broken = write_run(seed=3)
    broken.store.write(f"{broken.name}/result.json", b"{")
    (cell,) = cells(tmp_path)
    assert cell.counts == Counts(done=1, failed=1, unfinished=1, damaged=1)
    assert cell.counts.total == 4
    assert cell.averages["nll_elbo"].n == 1


def test_a_failed_run_is_counted_with_its_own_variant(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(seed=0, max_epochs=3)
    write_run(seed=0, max_epochs=30)
    write_run(seed=1, max_epochs=3, status="failed")
    broken = write_run(seed=2, max_epochs=3, status="unfinished")
    broken.store.write(f"{broken.name}/config.json", b"{")
    assert {cell.variant: cell.counts for cell in cells(tmp_path)} == {
        "max_epochs=3": Counts(done=1, failed=1),
        "max_epochs=30": Counts(done=1),
        "max_epochs=?": Counts(damaged=1),
    }


def test_a_failed_run_of_a_config_that_has_no_result_is_a_variant(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run(seed=0)
    write_run(seed=1, learning_rate=100.0, status="failed")
    found = {cell.variant: cell.counts for cell in cells(tmp_path)}
    assert found == {"learning_rate=1": Counts(done=1), "learning_rate=100": Counts(failed=1)}


def test_both_settings_of_a_row_use_the_same_labels(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(setting="standard", max_epochs=3)
    write_run(setting="standard", max_epochs=30)
    write_run(setting="inputless", max_epochs=30)
    assert [(c.variant, c.setting) for c in cells(tmp_path)] == [
        ("max_epochs=3", "standard"),
        ("max_epochs=30", "standard"),
        ("max_epochs=30", "inputless"),
    ]


@pytest.mark.parametrize(
    ("system", "samples", "words"),
    [
        ("lstm-lm", 1, {"nll": "exact", "ppl": "exact"}),
        ("lstm-vae", 5, {"nll_elbo": "upper bound", "nll_iw": "upper bound in expectation", "kl": None}),
        ("lstm-vae-avg", 1, {"nll_elbo": "upper bound"}),
        (
            "lstm-vae-avg",
            5,
            {
                "nll_elbo": "not a bound",
                "ppl_elbo": "not a bound",
                "nll_joint": "upper bound",
                "nll_iw": "not a bound",
                "ppl_iw_joint": "upper bound in expectation",
            },
        ),
    ],
)
def test_the_kind_of_bound_of_each_estimate(
    tmp_path: Path, write_run: WriteRun, system: str, samples: int, words: dict[str, str | None]
) -> None:
    write_run(system, samples)
    (cell,) = cells(tmp_path)
    assert {name: cell.bound(name) for name in words} == words
