"""Advice on failed runs follows the class of failure."""

from lvae_core.run_folder.advice import failure_advice

RETRY = "try again"


def test_a_run_that_diverged_is_not_retried_but_changed() -> None:
    (advice,) = failure_advice(["diverged", "diverged"], RETRY)
    assert "diverge again" in advice
    assert all(field in advice for field in ("learning_rate", "init_scale", "max_grad_norm"))
    assert "--retry-failed" not in advice
    assert "5 if it is 0" in advice  # no clipping has no smaller value
    assert "learning_rate=" not in advice  # any number may be above that of the run


def test_other_failures_are_retried() -> None:
    assert failure_advice(["code", "infrastructure", "?"], RETRY) == [RETRY]
    assert failure_advice([], RETRY) == []


def test_each_kind_of_failure_has_its_sentence_once() -> None:
    advice = failure_advice(["diverged", "code", "out_of_memory", "code"], RETRY)
    assert advice[0] == RETRY
    assert len(advice) == 3
    assert "--gpus-per-run" in advice[2]
