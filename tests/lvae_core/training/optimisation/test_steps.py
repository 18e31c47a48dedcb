"""The contract of training steps, tested on every registered one with every optimiser."""

import io
import json

import pytest
import torch

from lvae_core.data.batches import collate, epoch_order
from lvae_core.training.optimisation import aggressive
from lvae_core.training.optimisation.objective import objective
from lvae_core.training.optimisation.parts import OPTIMISERS, STEPS, make_learner
from lvae_core.training.optimisation.step import JointStep, Learner, Memory, Moment
from lvae_core.training.runtime import Runtime
from lvae_core.training.state import load_checkpoint
from lvae_core.training.trainer import execute

from ... import tiny

CORPUS = tiny.corpus()
BETA, RATE = 0.4, 0.05


def config_of(step: str, optimiser: str = "sgd", **fields):
    return tiny.config(step=step, optimiser=optimiser, batch_size=4, eval_batch_size=2, **fields)


@pytest.fixture(params=STEPS)
def name(request, monkeypatch) -> str:
    monkeypatch.setattr(aggressive, "MAX_UPDATES", 20)  # for the tests' speed
    return request.param


def batches(learner: Learner):
    config = learner.config
    order = epoch_order(CORPUS.train.lengths, config.batch_size, config.batching, config.seed, 0)
    return [collate(CORPUS.train, indices) for indices in order]


def train(learner: Learner, memory: Memory, steps: range, rate: float = RATE) -> list[list[float]]:
    """Epochs of three batches; the terms of every step."""
    step = STEPS[learner.config.step]()
    found = []
    for number in steps:
        batch = batches(learner)[number % 3]
        terms = step.take(learner, batch, Moment(number, BETA, rate), memory)
        found.append([float(term) for term in terms])
        if number % 3 == 2:
            step.end_epoch(learner, memory)
    return found


def test_a_step_moves_the_parameters_and_ends_without_gradients(name):
    learner = make_learner(config_of(name), CORPUS, "cpu")
    before = {key: value.clone() for key, value in learner.model.state_dict().items()}
    terms = STEPS[name]().take(learner, batches(learner)[0], Moment(0, BETA, RATE), {})
    assert not any(term.requires_grad for term in terms)
    assert all(parameter.grad is None for parameter in learner.model.parameters())
    assert all(not torch.equal(v, before[k]) for k, v in learner.model.state_dict().items())


def test_the_terms_are_means_over_the_batch_at_beta(name):
    learner = make_learner(config_of(name), CORPUS, "cpu")
    loss, nll, kl = STEPS[name]().take(learner, batches(learner)[0], Moment(0, BETA, RATE), {})
    assert loss.item() == pytest.approx(nll.item() - (1 - BETA) * kl.item(), rel=1e-5)


def test_a_probe_may_begin_with_the_memory_of_a_late_step(name):
    learner = make_learner(config_of(name), CORPUS, "cpu")
    memory = STEPS[name].late(learner.config)
    json.dumps(memory)  # plain values
    kept = dict(memory)
    STEPS[name]().take(learner, batches(learner)[0], Moment(0, BETA, RATE), memory)
    assert memory == kept, "late steps change nothing in it"


def test_training_lowers_the_loss(name):
    learner = make_learner(config_of(name, dropout=0.0), CORPUS, "cpu")
    losses = [terms[0] for terms in train(learner, {}, range(60), rate=1.0)]
    assert sum(losses[-6:]) < 0.95 * sum(losses[:6])


@pytest.mark.parametrize(
    "optimiser", [pytest.param(o, marks=[pytest.mark.slow] * (o != "adam")) for o in OPTIMISERS]
)
@pytest.mark.parametrize("stop", [3, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 5))])
def test_stopped_saved_and_loaded_continues_bit_for_bit(name, optimiser, stop):
    config = config_of(name, optimiser)
    whole = make_learner(config, CORPUS, "cpu")
    expected = train(whole, {}, range(8))

    stopped, memory = make_learner(config, CORPUS, "cpu"), {}
    found = train(stopped, memory, range(stop))
    json.dumps(memory)  # plain values
    file = io.BytesIO()
    torch.save((stopped.model.state_dict(), stopped.optimiser.state(), memory), file)
    parameters, kept, memory = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    resumed = make_learner(config, CORPUS, "cpu")
    resumed.model.load_state_dict(parameters)
    resumed.optimiser.load(kept)
    found += train(resumed, memory, range(stop, 8))

    assert found == expected
    for key, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[key], value), key


def test_nothing_depends_on_global_randomness(name):
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        learner = make_learner(config_of(name), CORPUS, "cpu")
        results.append(train(learner, {}, range(3)))
    assert results[0] == results[1]


class Counting(JointStep):
    """A step that counts its steps and ends of epochs, and reports them in the metrics."""

    def take(self, learner, batch, moment, memory):
        memory["steps"] = [*memory.get("steps", []), moment.step]
        return super().take(learner, batch, moment, memory)

    def end_epoch(self, learner, memory):
        memory["ends"] = memory.get("ends", 0) + 1
        return {"ends": memory["ends"]}


@pytest.mark.parametrize("stops", [1, 2])
def test_memory_is_saved_and_epochs_end_once_however_often_a_run_is_stopped(stops, tmp_path, monkeypatch):
    monkeypatch.setitem(STEPS, "joint", Counting)
    config = config_of("joint", max_epochs=3, iw_samples=3, mi_samples=2)
    folder = tiny.folder(tmp_path)
    while not folder.has("result.json"):
        run = execute(config, CORPUS, folder, Runtime(progress_seconds=0))
        for _ in range(stops):
            next(run, None)
        run.close()
    memory = load_checkpoint(folder).memory
    assert memory == {"steps": list(range(9)), "ends": 3}
    assert [row["ends"] for row in folder.read_metrics()] == [1, 2, 3]


def test_inner_updates_draw_other_noise():
    learner = make_learner(config_of("joint"), CORPUS, "cpu")
    batch = batches(learner)[0]

    def loss(step: int, inner: int = 0) -> float:
        terms = objective(learner.model, batch, learner.config, kl_weight=BETA, step=step, inner=inner)
        return terms.loss.item()

    values = [loss(step, inner) for step in (0, 1) for inner in (0, 1, 2, 10)]
    assert len(set(values)) == len(values)
    assert loss(1, 2) == values[6]
