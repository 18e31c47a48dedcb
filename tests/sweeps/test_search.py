from __future__ import annotations

import pytest

from lvae_core.run_folder.study import open_study
from lvae_core.systems import SYSTEMS
from sweeps.search import main
from sweeps.trials.history import History, describe
from sweeps.trials.options import PRESETS, Options
from sweeps.trials.space import parse_space
from sweeps.trials.tables import settings

from .scripts import check_refused, run_script

TOY = ["--dataset", "toy", "--max-epochs", "3"]

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_without_its_data_the_error_names_the_demo(tmp_path):
    done = run_script("search.py")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ptb: no train file")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_the_space_and_writes_nothing(tmp_path):
    done = run_script("search.py", "--preset", "demo", "--dry-run", "--trials", "5")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.strip("│").split() for line in done.stdout.splitlines() if line.startswith("│")]
    assert ["learning_rate", "│", "1.0", "│", "0.3..3.0:log"] in rows
    summary = "5 trials (none ended yet), 4 per round, of 6 epochs"
    assert f"runs/search-demo: pydocs, lstm-vae, standard, L1: {summary}" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--trails", "3"], ["--trials", "three"], ["--sampler", "grid"]])
def test_unknown_options_and_values_are_one_line_and_have_status_2(arguments, capsys):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "tyo"], "did you mean 'toy'"),
        (["--dataset", "tyo", "--system", "lstm-lm", "--set", "latent_size=4"], "did you mean 'toy'"),
        ([*TOY, "--system", "lstm-va"], "did you mean 'lstm-vae'"),
        ([*TOY, "--setting", "standart"], "did you mean 'standard'"),
        ([*TOY, "--num-samples", "0"], "num_samples = 0: must be at least 1"),
        ([*TOY, "--seed", "-1"], "seed = -1: must be 0 or more"),
        ([*TOY, "--seeds", "-1"], "--seeds -1: must be 0 or more"),
        (
            [*TOY, "--best", "4", "--seeds", "20001"],
            "--best 4 --seeds 20001: 100,005 runs, the recipe's included; give fewer, at most 100,000 runs",
        ),
        ([*TOY, "--trials", "100001"], "--trials 100001: give at most 100,000"),
        ([*TOY, "--best", "0"], "--best 0: must be at least 1"),
        ([*TOY, "--best", "40", "--trials", "3"], "--best 40: more than the 3 trials; give at most 3"),
        (
            [*TOY, "--system", "lstm-lm", "--num-samples", "2"],
            "--num-samples 2: lstm-lm has no latent variable; leave it out",
        ),
        ([*TOY, "--trials", "0"], "--trials 0: must be at least 1"),
        ([*TOY, "--at-once", "0"], "--at-once 0: must be at least 1"),
        ([*TOY, "--rungs", "3"], "--rungs 3: must rise, and end below max_epochs = 3"),
        ([*TOY, "--objective", "nll", "speed"], "--objective nll speed: unknown objective 'speed'"),
        ([*TOY, "--rungs", "1", "--keep", "1"], "--keep 1: must be at least 2"),
        ([*TOY, "--keep", "2"], "--keep 2: give --rungs"),
        ([*TOY, "--space", "droput=0..0.5"], "did you mean 'dropout'"),
        ([*TOY, "--space", "lr=0.1..1"], "did you mean 'learning_rate'"),
        ([*TOY, "--rungs", "1,3"], "--rungs 1 3: must rise, and end below max_epochs = 3"),
        ([*TOY, "--space", "seed=1,2"], "seed cannot be searched"),
        (
            [*TOY, "--system", "lstm-lm", "--space", "latent_size=2,4"],
            "lstm-lm has no latent_size; leave it out, because it needs a system with a latent variable",
        ),
        ([*TOY, "--space", "dropout=0.5..0.1"], "0.5 is not below 0.1"),
        ([*TOY, "--set", "num_samples=5"], "use --num-samples"),
        (
            [*TOY, "--system", "cnn-vae-init"],
            "--system cnn-vae-init: the encoder starts from another run, which a search does not train; "
            "use --system cnn-vae instead",
        ),
        ([*TOY, "--system", "lstm-vae-ae-fb"], "use --system lstm-vae-fb instead"),
        (
            [*TOY, "--set", "init_encoder_from=lstm-lm"],
            "--set init_encoder_from=lstm-lm: the encoder starts from another run, which a search does not "
            "train; leave it out",
        ),
        (
            [*TOY, "--system", "cnn-vae-init", "--set", "init_encoder_from=none"],
            "turns cnn-vae-init into cnn-vae, which tables would then call cnn-vae-init; use --system cnn-",
        ),
        (
            [*TOY, "--set", "averaging=hidden"],
            "turns lstm-vae into lstm-vae-avg, which tables would then call lstm-vae; use --system lstm-va",
        ),
        (
            [*TOY, "--space", "kl_weight=0.4,0.7"],
            "--space kl_weight=0.4,0.7: kl_weight=0.4: turns lstm-vae into lstm-beta-vae",
        ),
        ([*TOY, "--set", "droput=0"], "did you mean 'dropout'"),
        ([*TOY, "--set", "dropout=much"], "error: --set dropout=much: must be a number"),
        (
            [*TOY, "--set", "dropout=0.1,0.2"],
            "error: --set dropout=0.1,0.2: give one value; to search it: --space dropout=0.1,0.2",
        ),
        ([*TOY, "--set", "iw_samples=2,5"], "error: --set iw_samples=2,5: must be a whole number"),
        (
            [*TOY, "--set", "max_epochs=3"],
            "--max-epochs and --set: max_epochs is given twice",
        ),
        (
            [*TOY, "--set", "dropout=0.2", "--set", "dropout=0.5"],
            "--set: dropout is given twice; give it once",
        ),
        ([*TOY, "--cpus-per-run", "auto"], "give --cpus-per-run and --gpus-per-run numbers"),
        ([*TOY, "--gpus-per-run", "nan"], "--gpus-per-run nan"),
        ([*TOY, "--study", "a/b"], "--study 'a/b'"),
        ([*TOY, "--storage", "file"], "cannot be written"),
        ([*TOY, "--storage", "nosuch://place"], "nosuch"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_started(arguments, message, tmp_path, capsys):
    check_refused(main, arguments, message, tmp_path, capsys)


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_preset_suits_every_system(preset, system):
    options = Options(preset=preset, system=system)
    base = options.base()
    fields = parse_space(options.texts(), base)
    assert ("kl_anneal_epochs" in fields) == (preset == "paper" and base.encoder != "none")
    options.rules().check(base.max_epochs)


def test_a_range_may_hold_another_systems_value(capsys):
    """It is a single point; a search that is continued keeps the space that it has recorded, too."""
    space = ["--space", "kl_weight=0.4..1", "--space", "free_bits=0..8"]
    assert main([*TOY, *space, "--dry-run"]) == 0


def test_a_recorded_search_that_does_not_suit_the_system_asks_for_another_study(capsys):
    options = Options(dataset="toy", max_epochs=3)
    base, study = options.base(), open_study(options.folder)
    space = parse_space(options.texts(), base)
    record = History(study, describe(base, space, "0" * 64), space, base)
    record.add([{field: getattr(base, field) for field in space}])
    assert main([*TOY, "--system", "lstm-lm"]) == 2
    assert capsys.readouterr().err == (
        f"error: {study.url}: its search does not suit lstm-lm, which has no kl_anneal_epochs; "
        "give another --study\n"
    )


def test_settings_can_be_given_to_another_command():
    values = {"learning_rate": 0.1 + 0.2, "linear_bias": True, "batching": "shuffled"}
    assert settings(values) == [
        *("--set", "learning_rate=0.30000000000000004"),
        *("--set", "linear_bias=true", "--set", "batching=shuffled"),
    ]
    from lvae_core.settings import apply_settings
    from lvae_core.systems import recipe

    applied = apply_settings(recipe("lstm-vae", dataset="toy"), settings(values)[1::2])
    assert {name: getattr(applied, name) for name in values} == values
