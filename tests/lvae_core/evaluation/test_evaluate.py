"""An evaluation without a training run can be stopped and resumed at every batch."""

import io

import pytest
import torch

from lvae_core.evaluation.evaluate import Evaluation, EvaluationState
from lvae_core.evaluation.likelihood import COLUMNS, columns_of, likelihood_estimates, sentence_statistics

from .. import tiny

SPLIT = tiny.split(tiny.sentences(9, 6, seed=3))


def evaluation_of(model, config, state: EvaluationState, unknown: int | None = None) -> Evaluation:
    return Evaluation(
        model, SPLIT, config, state,
        split_name="test", samples=config.iw_samples, rough="float32", unknown=unknown,
    )  # fmt: skip


@pytest.mark.parametrize("system", [*tiny.SYSTEMS, "sa-vae"])
def test_stopped_anywhere_saved_and_resumed_it_gives_the_same_estimates(system):
    config = tiny.config(system, eval_batch_size=2, iw_samples=22)
    model = tiny.double_model(config, 6)
    whole = evaluation_of(model, config, EvaluationState())
    assert list(whole.score()) == pytest.approx([1 / 5, 2 / 5, 3 / 5, 4 / 5, 1.0])
    expected = whole.estimates()
    assert ("khat_above" in expected.get("nll_iw", {})) == (system != "lstm-lm")
    rows = torch.cat(list(sentence_statistics(model, SPLIT, config, split_name="test", samples=22)))
    assert expected == likelihood_estimates(
        rows, SPLIT.num_tokens, config, columns_of("test", config, None)
    )
    for stop in range(1, 6):
        stopped = evaluation_of(model, config, EvaluationState())
        batches = stopped.score()
        for _ in range(stop):
            next(batches)
        batches.close()
        file = io.BytesIO()
        torch.save(vars(stopped.state), file)
        loaded = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
        resumed = evaluation_of(model, config, EvaluationState(**loaded))
        assert len(list(resumed.score())) == 5 - stop
        assert resumed.estimates() == expected


def test_there_are_no_estimates_of_half_a_split():
    config = tiny.config(eval_batch_size=2, iw_samples=5)
    half = evaluation_of(tiny.double_model(config, 6), config, EvaluationState())
    next(half.score())
    with pytest.raises(AssertionError, match="score every batch"):
        half.estimates()


def after_two_batches(model, config) -> EvaluationState:
    """The state of an evaluation that stopped there."""
    stopped = evaluation_of(model, config, EvaluationState())
    batches = stopped.score()
    next(batches)
    next(batches)
    batches.close()
    return stopped.state


def test_rows_with_fewer_columns_from_an_earlier_version_are_scored_again():
    config = tiny.config("lstm-vae-avg", eval_batch_size=2, iw_samples=5)
    model = tiny.double_model(config, 6)
    whole = evaluation_of(model, config, EvaluationState())
    list(whole.score())
    stopped = after_two_batches(model, config)
    old = EvaluationState(stopped.batches, stopped.statistics[:, : len(COLUMNS)])
    resumed = evaluation_of(model, config, old)
    assert len(list(resumed.score())) == 5
    assert resumed.estimates() == whole.estimates()


@pytest.mark.parametrize("system", [*tiny.SYSTEMS, "sa-vae"])
def test_rows_from_before_the_cost_of_unknown_words_are_scored_again(system):
    config = tiny.config(system, eval_batch_size=2, iw_samples=5)
    model = tiny.double_model(config, 6)
    whole = evaluation_of(model, config, EvaluationState(), unknown=3)
    list(whole.score())
    resumed = evaluation_of(model, config, after_two_batches(model, config), unknown=3)
    assert len(list(resumed.score())) == 5
    assert resumed.estimates() == whole.estimates()
    assert resumed.estimates()["unknown_words"]["value"] > 0
