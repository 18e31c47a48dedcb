"""The FLOPs that we count for a variant, against torch's counter and against a count by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from core_speed import in_order
from speed import measure
from speed.cases import ENCODER_UPDATES, PLAIN, Case, Mode, cases
from speed.limit import LISTED, flops_per_token, is_float32
from speed.measure import measure_limit, synthetic_text, time_passes
from speed.plain import PlainModel
from speed.plain_systems import plain_model
from torch.utils.flop_counter import FlopCounterMode

from lvae_core.data.batches import collate
from lvae_core.evaluation.likelihood import sentence_statistics
from lvae_core.model.text_model import TextModel
from lvae_core.rough_scoring import SHORTLIST
from lvae_core.systems import recipe
from lvae_core.training.optimisation.objective import objective

D, H, Z = 6, 7, 4
LONG = 120
"""Predicted tokens: so many that the products made once per sentence are negligible."""


def case_of(system: str, L: int, setting: str = "standard", V: int = 23, **changes) -> Case:
    sizes = {"embedding_size": D, "hidden_size": H, "latent_size": Z, "batch_size": 2, "eval_batch_size": 2}
    config = replace(recipe(system, num_samples=L, setting=setting), **sizes)
    config = replace(config, iw_samples=30, iw_exact_samples=0, svi_steps=3)
    return Case(name="small", config=config, num_classes=V, lengths=(LONG,), baseline="small", **changes)


def counted(run, case: Case) -> float:
    """Return the FLOPs of products per token as torch counts them.

    In float64 an LSTM is made of single products, which torch can count.
    """

    def addmm_(
        total, left, right, **_
    ):  # torch has no rule for the in-place product; the arguments are shapes
        return 2 * left[0] * left[1] * right[1]

    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: addmm_}) as counter:
        run()
    return counter.get_total_flops() / case.tokens


@pytest.mark.parametrize(
    ("variant", "system", "L", "setting"),
    [
        ("plain", "lstm-lm", 1, "standard"),
        pytest.param("plain", "lstm-vae", 2, "inputless", marks=pytest.mark.slow),
        pytest.param("ours float32", "lstm-lm", 1, "inputless", marks=pytest.mark.slow),
        ("ours float32", "lstm-vae", 2, "standard"),
        ("ours float32", "lstm-vae-avg", 3, "inputless"),
        pytest.param("plain", "sa-vae", 2, "standard", marks=pytest.mark.slow),
        pytest.param("ours float32", "sa-vae", 2, "inputless", marks=pytest.mark.slow),
    ],
)
def test_the_count_of_a_training_step_agrees_with_torch(variant, system, L, setting):
    case = case_of(system, L, setting)
    batch = collate(synthetic_text(case), np.arange(2))

    def run():
        if variant == "plain":
            plain_model(case.config, case.num_classes).double().differentiate(batch.words, L)
        else:
            model = TextModel(case.config, case.num_classes).double()
            objective(model, batch, case.config, kl_weight=1.0, step=0).loss.backward()

    assert flops_per_token(case, variant) == pytest.approx(counted(run, case), rel=5e-3)


@pytest.mark.parametrize("variant", ["plain", "ours float32", "ours two-phase"])
def test_the_count_of_an_evaluation_agrees_with_torch(variant):
    case = case_of("lstm-vae", 1, V=2 * LISTED + 1, task="iw")
    split = synthetic_text(case)
    if variant == "plain":
        model = PlainModel(case.config, case.num_classes).double().eval()
        words = collate(split, np.arange(2)).words
        count = counted(lambda: model.importance_weighted_nll(words, case.config.iw_samples, draws=7), case)
    else:
        config, model = case.our_config(variant), TextModel(case.config, case.num_classes).double()
        rows = sentence_statistics(model, split, config, split_name="test", samples=config.iw_samples)
        count = counted(lambda: list(rows), case)
    assert flops_per_token(case, variant) == pytest.approx(count, rel=5e-3)


def test_the_count_agrees_with_a_count_by_hand():
    """D = 6, H = 7, Z = 4, V = 23. An LSTM step has 8 H (inputs + H) FLOPs, a row of logits 2 H V."""
    encoder, decoder, logits = 8 * 7 * (6 + 7), 8 * 7 * (6 + 4 + 7), 2 * 7 * 23
    train, iw = case_of("lstm-vae", 5), case_of("lstm-vae", 1, task="iw")
    assert flops_per_token(train, "plain") == 3 * (encoder + 5 * decoder + 5 * logits)
    assert flops_per_token(train, "ours float32") == flops_per_token(train, "plain")
    assert flops_per_token(case_of("lstm-vae-avg", 5), "ours float32") == 3 * (
        encoder + 5 * decoder + logits
    )
    assert flops_per_token(case_of("lstm-lm", 1), "plain") == 3 * (8 * 7 * (6 + 7) + logits)
    aggressive = case_of("lstm-vae-ain", 1)
    for variant in ("plain", "ours float32"):
        one = 3 * (encoder + decoder + logits)
        assert flops_per_token(aggressive, variant) == (ENCODER_UPDATES + 1) * one
    assert flops_per_token(iw, "plain+malloc") == encoder + 30 * (decoder + logits)
    assert flops_per_token(iw, "ours two-phase") == (
        encoder + 30 * (decoder + 2 * 7 * 258) + 2 * logits + 24 * (decoder + logits)
    )


def test_the_shortlist_has_the_length_that_the_core_uses():
    assert LISTED == SHORTLIST


def test_the_limit_applies_only_to_variants_without_bfloat16():
    train, iw = case_of("lstm-lm", 1), case_of("lstm-vae", 1, task="iw")
    assert [name for name in train.variants if is_float32(train, name)] == [*PLAIN, "ours float32"]
    expected = [*PLAIN, "ours float32", "ours two-phase"]
    assert [name for name in iw.variants if is_float32(iw, name)] == expected


@pytest.mark.parametrize(("task", "products"), [("train", 3), ("iw", 1)])
def test_the_limit_is_the_flops_of_the_products_over_their_median_time(task, products, monkeypatch):
    monkeypatch.setattr(measure, "CHUNK_LOGITS", {"cpu": 5 * 23 + 1})  # 5 rows
    monkeypatch.setattr(measure, "time_passes", lambda passes, **amount: [1.0, 2.0, 4.0])
    with FlopCounterMode(display=False) as counter:
        speed = measure_limit(case_of("lstm-vae", 1, task=task), torch.device("cpu"))
    assert counter.get_total_flops() == products * 2 * 5 * 7 * 23  # of the warm-up pass
    assert speed == products * 2 * 5 * 7 * 23 / 2.0


def test_the_limit_of_a_cnn_is_measured_at_the_width_of_its_softmax(monkeypatch):
    case = case_of("cnn-vae", 1, task="iw")
    case = replace(case, config=replace(case.config, cnn_external=9))  # a state has E = 9 numbers, not H
    monkeypatch.setattr(measure, "CHUNK_LOGITS", {"cpu": 5 * 23})
    monkeypatch.setattr(measure, "time_passes", lambda passes, **amount: [2.0])
    with FlopCounterMode(display=False) as counter:
        speed = measure_limit(case, torch.device("cpu"))
    assert counter.get_total_flops() == 2 * 5 * 9 * 23
    assert speed == 2 * 5 * 9 * 23 / 2.0


def test_passes_beyond_the_time_limit_are_left_out():
    assert time_passes(iter([1.0, 2.0, 3.0]), at_least=3, seconds=0.0, at_most=1.5) == [1.0, 2.0]
    assert time_passes(iter([9.0, 9.0]), at_least=2, seconds=0.0, at_most=0.0) == [9.0]


def test_quick_measures_the_main_variants_of_every_case_first():
    known = cases(quick=True)
    jobs = in_order(list(known.values()), quick=True)
    assert len(set(jobs)) == len(jobs) == len(in_order(list(known.values()), quick=False))
    # The averaged states share the baseline of another case.
    assert {(job.case, job.variant) for job in jobs[:8]} == {
        *((name, "ours float32") for name in known),
        ("ptb/lstm-vae/iw500/standard", "ours two-phase"),
        *((name, "plain") for name in known if "avg" not in name),
    }
    assert {job.mode for job in jobs[:8]} == {Mode(1, 2)}
