from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from lvae_core.errors import InputError
from sweeps.planning.grid import Grid, Limit
from sweeps.planning.grids.files import PRESETS

SIZES = ("hidden_size", "embedding_size", "latent_size", "batch_size", "max_epochs", "kl_cycles")
TOY = Grid(datasets=("toy",), systems={"lstm-lm": (1,), "lstm-vae": (1, 5)}, seeds=2)


def test_the_paper_has_120_runs():
    # Kruengkrai (2019), Tables 2 and 3: LM; VAE with L = 1, 5, 10; AVG with L = 5, 10.
    configs = PRESETS["paper"].grid.configs()
    cells = Counter((c.dataset, c.system, c.num_samples, c.setting) for c in configs)
    rows = {("lstm-lm", 0), ("lstm-vae", 1), ("lstm-vae", 5), ("lstm-vae", 10)}
    rows |= {("lstm-vae-avg", 5), ("lstm-vae-avg", 10)}
    expected = {
        (dataset, system, samples, setting)
        for dataset in ("ptb", "yahoo")
        for system, samples in rows
        for setting in ("standard", "inputless")
    }
    assert set(cells) == expected
    assert set(cells.values()) == {5}
    assert len(configs) == 120
    assert {c.seed for c in configs} == {0, 1, 2, 3, 4}


# Systems by the names that the paper prints, where they are not the same in lower case.
NAMES = {"cnn-vae+init": "cnn-vae-init", "lstm-vae-ain+anneal": "lstm-vae-ain"}


def test_all_has_every_row_of_both_tables_where_it_is_published():
    """Cells of the paper, from a separate file that is independent of grids."""
    configs = PRESETS["all"].grid.configs()
    cells = Counter((c.dataset, c.system, c.num_samples, c.setting) for c in configs)
    assert set(cells.values()) == {5}
    with (Path(__file__).parents[3] / "analysis" / "published" / "published.csv").open(
        encoding="utf-8"
    ) as file:
        rows = list(csv.DictReader(file))
    published = {
        (row["dataset"], row["system"].lower(), int(row["num_samples"] or 0), row["setting"])
        for row in rows
        if row["table"] in ("2a", "2b", "3")
    }
    assert set(cells) == {(dataset, NAMES.get(name, name), L, s) for dataset, name, L, s in published}
    assert len(configs) == 150
    assert set(PRESETS["paper"].grid.configs()) <= set(configs)


def test_a_users_dataset_gets_all_systems_in_the_published_settings():
    grid = replace(PRESETS["all"].grid, datasets=("pydocs",), seeds=1)
    by_setting = Counter(c.setting for c in grid.configs())
    assert by_setting == {"standard": 11, "inputless": 7}
    assert len(grid.configs()) == 18


def test_the_paper_changes_no_field_of_a_recipe():
    sizes = {(c.dataset, c.embedding_size, c.hidden_size) for c in PRESETS["paper"].grid.configs()}
    assert sizes == {("ptb", 100, 400), ("yahoo", 512, 1024)}
    assert {(c.max_epochs, c.kl_anneal_epochs, c.iw_samples) for c in PRESETS["paper"].grid.configs()} == {
        (30, 10.0, 500)
    }


def test_the_demo_has_real_text_and_a_corpus_whose_likelihood_is_known():
    configs = PRESETS["demo"].grid.configs()
    rows = {d: {(c.system, c.num_samples) for c in configs if c.dataset == d} for d in ("pydocs", "topics")}
    assert rows == {
        "pydocs": {("lstm-lm", 0), ("lstm-vae", 1), ("lstm-vae-avg", 5)},
        "topics": {
            *(("lstm-lm", 0), ("lstm-vae", 1), ("lstm-vae-avg", 5), ("lstm-vae-avg", 10), ("lstm-iwae", 10))
        },
    }
    assert len(configs) == 3 * 2 * 2 + 5
    assert {c.setting for c in configs if c.dataset == "topics"} == {"inputless"}
    assert all(c.kl_anneal_epochs < c.max_epochs for c in configs if c.encoder != "none")


def test_grids_together_run_seed_by_seed_each_with_its_own_changes():
    other = replace(
        TOY, datasets=("pydocs",), systems={"lstm-lm": (1,)}, seeds=1, changes=("max_epochs=7",)
    )
    configs = replace(TOY, settings=("standard",), also=(other,)).configs()
    assert [(c.dataset, c.seed, c.max_epochs) for c in configs] == [
        *[("toy", 0, 30)] * 3,
        *[("pydocs", 0, 7)] * 2,
        *[("toy", 1, 30)] * 3,
    ]


def test_a_run_of_two_grids_is_one_run():
    assert replace(TOY, also=(TOY,)).configs() == TOY.configs()


def test_grids_together_need_datasets_of_different_names():
    with pytest.raises(InputError, match="both would be called 'toy'"):
        replace(TOY, also=(replace(TOY, datasets=("/data/toy",)),))


def test_a_change_must_be_read_by_a_run_of_some_grid():
    other = replace(TOY, systems={"lstm-lm": (1,)}, changes=("kl_weight=0.5",))
    with pytest.raises(InputError, match="--set kl_weight: no run of the grid has kl_weight"):
        replace(TOY, also=(other,)).configs()
    assert replace(TOY, changes=("kl_weight=0.5",), also=(other,)).configs()


def test_a_language_model_has_one_cell_for_all_numbers_of_samples():
    grid = replace(TOY, systems={"lstm-lm": (1, 5, 10)})
    assert Counter(c.setting for c in grid.configs()) == {"standard": 2, "inputless": 2}


def test_a_value_listed_twice_gives_one_run():
    twice = replace(TOY, datasets=("toy", "toy"), settings=("standard", "standard"))
    assert twice.configs() == replace(TOY, settings=("standard",)).configs()


def test_an_axis_multiplies_the_runs_that_read_it():
    grid = replace(TOY, settings=("standard",), seeds=(7,), changes=("latent_size=2,3", "dropout=0.1,0.2"))
    found = [(c.system, c.num_samples, c.latent_size, c.dropout) for c in grid.configs()]
    vaes = [("lstm-vae", L, z, d) for L in (1, 5) for z in (2, 3) for d in (0.1, 0.2)]
    assert found == [("lstm-lm", 0, 2, 0.1), ("lstm-lm", 0, 2, 0.2), *vaes]
    assert {c.seed for c in grid.configs()} == {7}


def test_a_field_of_the_estimates_that_validation_reads_can_be_an_axis():
    grid = replace(TOY, systems={"lstm-vae": (1,)}, changes=("valid_samples=10", "iw_exact_samples=6,12"))
    assert len(grid.configs()) == 2 * 2 * 2


def test_grids_together_each_have_their_own_seeds():
    other = replace(TOY, datasets=("pydocs",), systems={"lstm-lm": (1,)}, seeds=(1, 9))
    configs = replace(TOY, systems={"lstm-lm": (1,)}, settings=("standard",), also=(other,)).configs()
    assert [(c.dataset, c.seed) for c in configs if c.setting == "standard"] == [
        *[("toy", 0), ("toy", 1), ("pydocs", 1), ("pydocs", 9)]
    ]


def test_seeds_come_one_after_the_other():
    seeds = [c.seed for c in TOY.configs()]
    assert seeds == sorted(seeds)


def test_changes_reach_every_run_and_the_last_one_counts():
    grid = replace(TOY, changes=("dropout=0.25", "max_epochs=3", "max_epochs=4"))
    assert {(c.dropout, c.max_epochs) for c in grid.configs()} == {(0.25, 4)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets": ()}, "--datasets: give at least one"),
        ({"systems": {}}, "--systems: give at least one"),
        ({"settings": ()}, "--settings: give at least one"),
        ({"systems": {"lstm-vae": ()}}, "--num-samples: give at least one"),
        ({"seeds": 0}, "--seeds 0: must be at least 1"),
        ({"datasets": ("a/text", "b/text")}, "both would be called 'text'"),
        ({"changes": ("seed=3",)}, "--set seed=3: the grid chooses seed; use --seeds"),
        ({"changes": ("num_samples=3",)}, "use --num-samples"),
        ({"changes": ("system=x",)}, "use --systems"),
        ({"changes": ("setting=standard",)}, "use --settings"),
        ({"changes": (" dataset =ptb",)}, "use --datasets"),
        ({"zips": (("dropout=0.1,0.2", "num_samples=1,5"),)}, "--zip num_samples=1,5: the grid chooses"),
        ({"seeds": ()}, "--seeds: give at least one seed"),
    ],
)
def test_an_invalid_grid_is_refused(changes, message):
    with pytest.raises(InputError) as caught:
        replace(TOY, **changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"systems": {"lstm-va": (1,)}}, "did you mean 'lstm-vae'"),
        ({"systems": {"lstm-vae": (0,)}}, "num_samples = 0"),
        ({"settings": ("inputles",)}, "did you mean 'inputless'"),
        ({"changes": ("droput=0.1",)}, "did you mean 'dropout'"),
        ({"changes": ("dropout",)}, "FIELD=VALUE"),
        ({"changes": ("dropout=lots",)}, "a number"),
        ({"changes": ("max_epochs=0",)}, "max_epochs = 0"),
        ({"changes": ("max_epochs=3,0",)}, "max_epochs = 0"),
        ({"changes": ("dropout=0.1",), "zips": (("dropout=0.1,0.2", "max_epochs=3,4"),)}, "given twice"),
        ({"changes": ("max_vocabulary=10,20",)}, "max_vocabulary: toy with the values 10, 20"),
        ({"also": (replace(TOY, changes=("min_count=2",)),)}, "min_count: toy with the values 1, 2"),
        ({"changes": ("mi_samples=4,8",)}, "mi_samples: lstm-vae with the values 4, 8"),
        ({"also": (replace(TOY, changes=("iw_samples=9",)),)}, "lstm-vae with the values 500, 9"),
        ({"seeds": 60_000}, "up to 360,000 runs"),
        (
            {"changes": tuple(f"{f}={','.join(map(str, range(1, 200)))}" for f in SIZES)},
            "runs; give shorter",
        ),
    ],
)
def test_a_grid_with_invalid_runs_is_refused(changes, message):
    with pytest.raises(InputError) as caught:
        replace(TOY, **changes).configs()
    assert message in str(caught.value)


def test_one_note_names_all_fields_that_some_runs_ignore():
    grid = replace(
        TOY,
        systems={"lstm-lm": (1,), "lstm-vae": (1,), "sa-vae": (1,)},
        settings=("standard",),
        seeds=(0, 1),
        changes=("latent_size=2", "iw_samples=9", "svi_steps=3"),
    )
    assert grid.notes(grid.fields) == [
        "lstm-lm: no latent_size, iw_samples; 2 of 6 runs ignore them",
        "lstm-lm, lstm-vae: no svi_steps; 4 of 6 runs ignore it",
    ]


def test_a_system_that_a_grid_limits_to_nothing_is_named():
    grid = replace(
        TOY,
        systems={"lstm-lm": (1,), "sa-vae": (1,), "cnn-vae": (1,)},
        settings=("inputless",),
        limits={"sa-vae": Limit(settings=("standard",)), "cnn-vae": Limit(not_on=("toy",))},
    )
    assert grid.notes([]) == [
        f"{name}: no run, as the grid limits it to other settings or datasets"
        for name in ("sa-vae", "cnn-vae")
    ]
    # A further part of the grid may have it.
    assert replace(grid, also=(replace(TOY, systems={"sa-vae": (1,)}),)).notes([])[:-1] == []


def test_a_note_names_fields_without_effect_and_counts_the_runs_that_repeat_each_other():
    grid = replace(
        TOY,
        systems={"lstm-vae-cyclical": (1,), "lstm-vae": (1,)},
        settings=("standard",),
        changes=("kl_anneal_epochs=2,4,6", "dropout_encoder=true"),
    )
    assert grid.notes(grid.fields) == [
        "lstm-vae-cyclical: kl_anneal_epochs has no effect without kl_schedule=linear and "
        "kl_anneal_steps=0; 2 cells would repeat another's numbers"
    ]
    assert replace(grid, changes=("kl_anneal_epochs=2",)).notes(["kl_anneal_epochs"]) == [
        "lstm-vae-cyclical: kl_anneal_epochs has no effect without kl_schedule=linear and kl_anneal_steps=0"
    ]
