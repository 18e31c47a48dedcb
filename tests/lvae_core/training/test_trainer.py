"""A run as a whole: against a run by hand, and what it yields on the way."""

from dataclasses import replace

import pytest
import torch

from lvae_core.api import load
from lvae_core.data.batches import epoch_order
from lvae_core.errors import InputError
from lvae_core.model.text_model import TextModel
from lvae_core.training.failures import DivergedError
from lvae_core.training.runtime import Progress, Runtime
from lvae_core.training.state import check_evaluated, load_checkpoint
from lvae_core.training.trained import load as load_trained
from lvae_core.training.trainer import execute

from .. import tiny
from ..oracles import hand_training
from .runs import CORPUS, OFTEN, run, sentences_of, short

# --- the protocol ---


@pytest.mark.parametrize(
    ("system", "setting", "fields"),
    [
        ("lstm-lm", "standard", {}),
        pytest.param("lstm-vae", "standard", {}, marks=pytest.mark.slow),
        ("lstm-vae", "inputless", {"num_samples": 3, "batching": "shuffled"}),
        ("lstm-vae", "standard", {"num_samples": 1, "batching": "equal_length"}),
        ("lstm-vae-avg", "standard", {"valid_samples": 2}),
        pytest.param("lstm-vae-avg", "inputless", {"num_samples": 3}, marks=pytest.mark.slow),
    ],
)
def test_a_run_equals_the_run_by_hand(system, setting, fields, tmp_path):
    config = short(
        system, setting=setting, dropout=0.0, init_scale=0.5, learning_rate=4.0, max_grad_norm=0.9,
        lr_decay=0.3, max_epochs=7, kl_anneal_epochs=2.5, kl_weight=0.8, seed=11, **fields
    )  # fmt: skip
    folder = tiny.folder(tmp_path)
    run(config, folder)

    model = TextModel(config, len(CORPUS.vocabulary))
    names = [name for name, _ in model.named_parameters()]

    def order(epoch: int):
        batches = epoch_order(CORPUS.train.lengths, config.batch_size, config.batching, config.seed, epoch)
        return [batch.tolist() for batch in batches]

    splits = [sentences_of(split) for split in (CORPUS.train, CORPUS.valid, CORPUS.test)]
    expected = hand_training.train(tiny.parameters(model), names, config, *splits, order)

    # The protocol's branches were all taken, or the comparison would prove less than it seems to.
    assert expected.clipped > 0
    assert expected.unclipped > 0
    assert expected.halvings > 0
    rows = folder.read_metrics()
    assert len(rows) == len(expected.rows)
    for row, by_hand in zip(rows, expected.rows, strict=True):
        assert row == pytest.approx(by_hand, rel=3e-5, abs=1e-6)
    result = folder.read_json("result.json")
    assert result["best_epoch"] == expected.best_epoch
    assert result["epochs"] == len(expected.rows)
    assert result["steps"] == expected.steps
    values = {name: entry["value"] for name, entry in result["estimates"].items()}
    values = {name: value for name, value in values.items() if name not in ("mi", "au")}
    assert values == pytest.approx(expected.estimates, rel=3e-5)


def test_epochs_that_anneal_are_exempt_from_the_plateau(tmp_path):
    # At this rate some epochs of the first six do not improve.
    fields = {"learning_rate": 6.0, "max_grad_norm": 2.0, "max_epochs": 8, "dropout": 0.0}
    exempt = short(kl_anneal_epochs=6.0, **fields)
    held = replace(exempt, decay_while_annealing=True)
    rows = {}
    for name, config in (("exempt", exempt), ("held", held)):
        run(config, tiny.folder(tmp_path, name))
        rows[name] = tiny.folder(tmp_path, name).read_metrics()
    worse = [row["epoch"] for row in rows["exempt"] if row["valid_ppl"] > row["best_ppl"]]
    assert min(worse) < 6
    assert all(row["learning_rate"] == 6.0 for row in rows["exempt"][:6])
    assert [row["kl_weight"] for row in rows["exempt"][:6]] == pytest.approx([k / 6 for k in range(1, 7)])
    assert rows["held"][min(worse)]["learning_rate"] == 3.0


def test_patience_stops_a_run_and_the_best_epoch_is_evaluated(tmp_path):
    config = short("lstm-lm", learning_rate=20.0, max_grad_norm=0.0, max_epochs=50, patience=3, dropout=0.0)
    folder = tiny.folder(tmp_path)
    run(config, folder)
    rows, result = folder.read_metrics(), folder.read_json("result.json")
    worse = [row for i, row in enumerate(rows) if i and row["valid_ppl"] >= rows[i - 1]["best_ppl"]]
    assert len(worse) == 3
    assert worse[-1] is rows[-1]
    assert len(rows) < 50
    best = min(rows, key=lambda row: row["valid_ppl"])
    assert result["best_epoch"] == best["epoch"]
    assert best["epoch"] < len(rows)
    # Compute the validation score again as a test score: a run whose test split is the validation split.
    mirrored = replace(CORPUS, test=CORPUS.valid, data_sha256="mirrored")
    again = tiny.folder(tmp_path, "mirrored")
    run(config, again, corpus=mirrored)
    assert again.read_json("result.json")["estimates"]["ppl"]["value"] == best["valid_ppl"]


def test_the_last_epoch_can_be_tested_instead_of_the_best(tmp_path):
    fields = {"learning_rate": 20.0, "max_grad_norm": 0.0, "max_epochs": 50, "dropout": 0.0}
    config = short("lstm-lm", tested_epoch="last", **fields)
    mirrored = replace(CORPUS, test=CORPUS.valid, data_sha256="mirrored")
    folder = tiny.folder(tmp_path)
    run(config, folder, corpus=mirrored)
    rows, result = folder.read_metrics(), folder.read_json("result.json")
    assert result["best_epoch"] < len(rows), "or the two would be the same"
    assert result["estimates"]["ppl"]["value"] == rows[-1]["valid_ppl"] != rows[-1]["best_ppl"]
    model, last = load_trained(folder).model, load_checkpoint(folder).parameters
    assert all(torch.equal(value, last[name]) for name, value in model.state_dict().items())


def test_the_model_of_a_run_is_the_one_that_its_result_is_of(tmp_path):
    begun = short("lstm-lm", learning_rate=20.0, max_grad_norm=0.0, max_epochs=50, dropout=0.0)
    folder = tiny.folder(tmp_path)
    work = execute(begun, CORPUS, folder, OFTEN)
    next(work)
    work.close()
    run(replace(begun, tested_epoch="last"), folder)
    state = load_checkpoint(folder)
    assert state.rate.best_epoch < state.epoch, "or the two would be the same"
    found = load(tmp_path / "run")
    assert found.config.tested_epoch == "last"
    assert found.trained.config == found.config
    held = found.trained.model.state_dict()
    assert held.keys() == state.parameters.keys()
    assert all(torch.equal(held[name], value) for name, value in state.parameters.items())
    assert not all(torch.equal(held[name], value) for name, value in state.best_parameters.items())


def test_a_checkpoint_before_the_last_epoch_is_not_that_of_a_result(tmp_path):
    config = short("lstm-lm", tested_epoch="last", learning_rate=1e-3)
    folder = tiny.folder(tmp_path)
    run(config, folder)
    state = load_checkpoint(folder)
    result = folder.read_json("result.json")
    check_evaluated(state, folder, result, config)
    with pytest.raises(
        InputError, match="holds the last parameters of epoch 2, not those of epoch 3; rest"
    ):
        check_evaluated(replace(state, epoch=2), folder, result, config)


def test_a_reload_continues_from_the_best_parameters_with_a_new_optimiser(tmp_path):
    fields = {
        "optimiser": "adam",
        "lr_decay_from": 1,
        "reload_after": 1,
        "lr_max_decays": 2,
        "max_epochs": 9,
    }
    config = short(lr_schedule="reload_best", learning_rate=1.0, **fields)
    folder = tiny.folder(tmp_path)
    for _ in execute(config, CORPUS, folder, OFTEN):
        if (state := load_checkpoint(folder)) and state.rate.reload:
            break
    rows = folder.read_metrics()
    assert rows[-1]["valid_ppl"] > rows[-2]["valid_ppl"], "or nothing was reloaded"
    assert state.rate.learning_rate == 0.5
    assert {kept["steps"] for kept in state.optimiser.values()} == {0}
    for name, value in state.best_parameters.items():
        assert torch.equal(state.parameters[name], value), name


RELOADING = {"lr_schedule": "reload_best", "lr_decay_from": 1, "reload_after": 1, "lr_max_decays": 1}


def test_nothing_is_reloaded_after_the_last_epoch_whose_parameters_may_be_tested(tmp_path):
    config = short(learning_rate=1.0, optimiser="adam", tested_epoch="last", max_epochs=9, **RELOADING)
    mirrored = replace(CORPUS, test=CORPUS.valid, data_sha256="mirrored")
    folder = tiny.folder(tmp_path)
    run(config, folder, corpus=mirrored)
    state, rows = load_checkpoint(folder), folder.read_metrics()
    assert state.rate.reload, "or the last epoch would not be one with a decay"
    assert rows[-1]["valid_ppl"] > rows[-1]["best_ppl"]
    assert any(not torch.equal(v, state.parameters[name]) for name, v in state.best_parameters.items())
    model = load_trained(folder).model.state_dict()
    assert all(torch.equal(value, state.parameters[name]) for name, value in model.items())


def test_a_validation_score_beyond_all_numbers_is_a_divergence(tmp_path):
    with pytest.raises(DivergedError, match=r"infinite in epoch 1: valid_kl_weight = 1e\+06 at a KL of"):
        run(short("lstm-vmf-vae", valid_kl_weight=1e6), tiny.folder(tmp_path))


def test_a_large_constant_in_the_loss_is_no_explosion(tmp_path):
    folder = tiny.folder(tmp_path)
    run(short(free_bits=200.0, kl_anneal_epochs=0.0), folder)
    assert folder.read_metrics()[-1]["train_loss"] > 200.0


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (2, 1), (3, 1), (4, 2), (100, 3)])
def test_max_steps_cuts_the_run_and_still_scores_it(steps, epochs, tmp_path):
    folder = tiny.folder(tmp_path)
    run(short(max_steps=steps), folder)  # 3 batches an epoch, 3 epochs
    result, rows = folder.read_json("result.json"), folder.read_metrics()
    assert result["steps"] == min(steps, 9)
    assert result["epochs"] == len(rows) == epochs
    assert rows[-1]["step"] == min(steps, 9)


# --- what is yielded ---


@pytest.mark.parametrize("system", tiny.SYSTEMS)
def test_progress_runs_through_its_phases(system, tmp_path):
    folder = tiny.folder(tmp_path)
    seen = run(short(system), folder)
    phases = [p.phase for p in seen]
    assert phases == sorted(phases, key=["train", "evaluate", "done"].index)
    assert set(phases) == {"train", "evaluate", "done"}
    assert phases.count("done") == 1
    assert [p.metrics for p in seen if p.metrics] == folder.read_metrics()
    for phase in ("train", "evaluate"):
        fractions = [p.fraction for p in seen if p.phase == phase]
        assert fractions == sorted(fractions)
        assert 0 < fractions[0] <= fractions[-1] == 1.0
    steps = [p.step for p in seen]
    assert steps == sorted(steps)
    assert (seen[-1].epoch, seen[-1].step, seen[-1].fraction) == (3, 9, 1.0)


def test_a_row_is_written_before_it_is_reported(tmp_path):
    folder = tiny.folder(tmp_path)
    for progress in execute(short(), CORPUS, folder, OFTEN):
        if progress.metrics:
            assert folder.read_metrics()[-1] == progress.metrics


def test_reports_respect_the_requested_interval(tmp_path):
    rare = run(short(), tiny.folder(tmp_path), runtime=Runtime(progress_seconds=1e9))
    # One for every epoch, and the last.
    assert [p.phase for p in rare] == ["train"] * 3 + ["done"]


def test_a_finished_run_is_not_trained_again(tmp_path):
    folder = tiny.folder(tmp_path)
    run(short(), folder)
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "run").iterdir()}
    assert run(short(), folder) == [Progress(phase="done", epoch=3, step=9, fraction=1.0)]
    after = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "run").iterdir()}
    assert after == before
