"""Aggressive training of the encoder (He et al. 2019): its rules against scripts worked out by hand."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import torch

from lvae_core.data.batches import collate, epoch_order
from lvae_core.run_folder.folder import reproducible
from lvae_core.training.optimisation import aggressive
from lvae_core.training.optimisation.aggressive import AggressiveStep
from lvae_core.training.optimisation.objective import Objective
from lvae_core.training.optimisation.parts import OPTIMISERS, make_learner
from lvae_core.training.optimisation.step import JointStep, Learner, Moment
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute

from ... import tiny
from ..runs import CORPUS, run, short

MOMENT = Moment(step=4, kl_weight=0.4, learning_rate=0.5)  # the second batch of the second epoch

INFORMATIVE = {"kl_weight": 0.0, "learning_rate": 1.0, "init_scale": 0.8}
"""Fields with which the mutual information rises for two epochs at least."""


def config_of(**fields):
    return tiny.config(step="aggressive", batch_size=4, eval_batch_size=2, **fields)


def order_of(config, epoch):
    return epoch_order(CORPUS.train.lengths, config.batch_size, config.batching, config.seed, epoch)


def batch_of(config):
    return collate(CORPUS.train, order_of(config, 1)[1])


def parameters_of(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in learner.model.named_parameters()}


@dataclass(frozen=True, eq=False)
class Recording(Learner):
    """Keeps of every update the parameters before it and its terms, (inner, sentences, words, loss)."""

    seen: list = field(default_factory=list)
    before: list = field(default_factory=list)
    batches: list = field(default_factory=list)

    def differentiate(self, batch, *, kl_weight, step, inner=0):
        self.before.append((parameters_of(self), self.optimiser.state()))
        terms = super().differentiate(batch, kl_weight=kl_weight, step=step, inner=inner)
        assert (kl_weight, step) == (MOMENT.kl_weight, MOMENT.step)
        self.batches.append(batch.indices.tolist())
        self.seen.append((inner, len(batch.lengths), int(batch.lengths.sum()), float(terms.loss)))
        return terms


def recorded(config) -> Recording:
    learner = make_learner(config, CORPUS, "cpu")
    recording = Recording(learner.model, learner.optimiser, config, CORPUS)
    AggressiveStep().take(recording, batch_of(config), MOMENT, {})
    recording.before.append((parameters_of(learner), learner.optimiser.state()))
    return recording


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_only_the_encoder_moves_in_the_inner_loop_and_only_the_rest_after_it(optimiser):
    recording = recorded(config_of(optimiser=optimiser))
    updates = len(recording.seen) - 1
    assert updates >= 30
    for number in range(updates + 1):
        (before, kept), (after, keeps) = recording.before[number], recording.before[number + 1]
        moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
        encoder = {name for name in after if name.startswith("encoder.")}
        assert moved == (encoder if number < updates else after.keys() - encoder), number
        for name in after.keys() - moved:
            for key, value in kept.get(name, {}).items():
                assert torch.equal(torch.as_tensor(keeps[name][key]), torch.as_tensor(value))


def test_the_loop_ends_by_the_rule_of_fifteen_worked_out_from_the_recorded_losses():
    for seed in range(4):
        recording = recorded(config_of(seed=seed))
        previous, nats, words, updates = 1e4, 0.0, 0, 0
        for _, sentences, tokens, loss in recording.seen[:-1]:
            nats, words, updates = nats + sentences * loss, words + tokens, updates + 1
            if updates % 15 == 0:
                if nats / words > previous:
                    break
                previous, nats, words = nats / words, 0.0, 0
        assert updates == len(recording.seen) - 1
        assert updates == 99 or updates % 15 == 0
        assert [inner for inner, *_ in recording.seen] == [*range(1, updates + 1), 0]


@pytest.mark.parametrize("clip", ["joint", "separate"])
def test_the_norm_that_is_clipped_is_that_of_both_sides_or_of_the_one_that_moves(clip):
    # A limit that every gradient exceeds: a step of the rate 0.5 is then 0.5 times the limit long, if the
    # norm is that of what moves, and shorter if it is that of all.
    recording = recorded(config_of(max_grad_norm=1e-3, aggressive_clip=clip, init_scale=0.8))
    for (before, _), (after, _) in pairwise(recording.before):
        squares = sum(float((after[name] - before[name]).double().square().sum()) for name in after)
        share = math.sqrt(squares) / (0.5 * 1e-3)
        assert share == pytest.approx(1, rel=1e-2) if clip == "separate" else share < 0.99


def test_inner_batches_are_random_ones_of_the_epoch_and_the_first_and_last_are_the_steps_own():
    config = config_of()
    chosen = recorded(config).batches
    own = order_of(config, 1)[1].tolist()
    assert chosen[0] == chosen[-1] == own
    epoch = [indices.tolist() for indices in order_of(config, 1)]
    counts = [chosen[1:-1].count(indices) for indices in epoch]
    assert sum(counts) == len(chosen) - 2
    assert min(counts) > 0
    assert chosen == recorded(config).batches
    assert chosen[:20] != recorded(config_of(seed=1)).batches[:20]


class Scripted:
    """A learner whose losses are given, by the number of the update."""

    def __init__(self, loss):
        config = config_of()
        self.model = make_learner(config, CORPUS, "cpu").model
        self.config, self.corpus, self.optimiser = config, CORPUS, self
        self.batches_per_epoch = 3
        self._loss, self.updates = loss, 0

    def differentiate(self, batch, *, kl_weight, step, inner=0):
        self.updates = max(self.updates, inner)
        # Per word, so that every batch weighs the same.
        words = len(batch.positions) / len(batch.words)
        return Objective(*[torch.tensor(self._loss(inner) * words, dtype=torch.float64)] * 3)

    def step(self, learning_rate, *, only=None, clip_apart=False):
        pass


@pytest.mark.parametrize(
    ("means", "updates"),
    [
        ((1.0, 2.0), 30),
        ((2e4, 1.0, 2.0), 45),  # however high the first is
        ((1.0, 0.5, 0.7), 45),
        ((1.0, 1.0, 1.0, 1.5), 60),  # equal is no end
        ((7, 6, 5, 4, 3, 3.5), 90),
        ((7, 6, 5, 4, 3, 2, 99), 99),  # the last 9 make no 15
    ],
)
def test_scripted_losses_end_the_loop(means, updates):
    learner = Scripted(lambda inner: means[(inner - 1) // 15])
    memory = {}
    AggressiveStep().take(learner, batch_of(learner.config), MOMENT, memory)
    assert learner.updates == updates
    assert memory == {"steps": 1, "updates": updates}


@pytest.mark.parametrize("averaging", ["loss", "hidden"])
def test_with_the_phase_over_a_step_is_the_joint_step_bit_for_bit(averaging):
    config = config_of(averaging=averaging)
    outcomes = []
    for step, memory in ((JointStep(), {}), (AggressiveStep(), AggressiveStep.late(config))):
        learner = make_learner(config, CORPUS, "cpu")
        terms = []
        for number in range(6):
            batch = collate(CORPUS.train, order_of(config, number // 3)[number % 3])
            taken = step.take(learner, batch, Moment(number, 0.4, 0.5), memory)
            terms.append([float(term) for term in taken])
        outcomes.append((terms, parameters_of(learner)))
    (expected, parameters), (found, others) = outcomes
    assert found == expected
    assert all(torch.equal(parameters[name], others[name]) for name in parameters)


def phases(monkeypatch, values, **fields) -> list[bool]:
    """Whether the phase lasts after each epoch with the given mutual information."""
    script = iter(values)
    monkeypatch.setattr(
        aggressive, "_information", lambda learner: {"mi": -1.0, "mi_batch32": next(script)}
    )
    learner, memory, lasts = make_learner(config_of(**fields), CORPUS, "cpu"), {}, []
    for _ in values:
        row = AggressiveStep().end_epoch(learner, memory)
        assert row["aggressive"] == (not lasts or lasts[-1])
        lasts.append(memory["aggressive"])
    return lasts


def test_the_phase_ends_for_good_when_the_mutual_information_falls(monkeypatch):
    assert phases(monkeypatch, [0.5, 0.9, 0.8, 2.0, 3.0]) == [True, True, False, False, False]
    assert phases(monkeypatch, [0.5, 0.5, 0.5]) == [True, True, True]
    assert phases(monkeypatch, [-0.01, 1.0]) == [False, False]  # below the initial 0


def test_the_phase_ends_after_the_epochs_that_the_config_allows(monkeypatch):
    assert phases(monkeypatch, [1, 2, 3, 4], aggressive_max_epochs=2) == [True, False, False, False]


def test_the_config_chooses_which_mutual_information_decides(monkeypatch):
    assert phases(monkeypatch, [0.5, 0.9], aggressive_mi="mi") == [False, False]


def test_the_metrics_name_the_phase_its_updates_and_both_mutual_informations(tmp_path):
    folder = tiny.folder(tmp_path)
    run(short("lstm-vae-ain", aggressive_max_epochs=2, **INFORMATIVE), folder)
    first, second, third = folder.read_metrics()
    for row in (first, second):
        assert row["aggressive"] == 1
        assert 30 <= row["encoder_updates"] <= 99
        assert 0 < row["valid_mi"] <= math.log(len(CORPUS.valid)) + 1e-9
        assert row["valid_mi"] == row["valid_mi_batch32"]  # of fewer than 32 sentences
    assert third["aggressive"] == 0
    assert "valid_mi" not in third


@pytest.mark.slow
def test_killed_in_the_inner_loop_and_resumed_is_the_same_run(tmp_path, monkeypatch):
    config = short("lstm-vae-ain", max_epochs=2, **INFORMATIVE)
    whole = tiny.folder(tmp_path, "whole")
    often = Runtime(progress_seconds=0, checkpoint_seconds=0)
    differentiate, copies = Learner.differentiate, []

    def copying(self, batch, *, kl_weight, step, inner=0):
        if (inner, step) in {(20, 1), (1, 4)}:
            # What a process that is killed here leaves behind.
            name = f"killed-{step}-{inner}"
            for file in whole.store.names("whole"):
                whole.store.write(f"{name}/{file}", whole.store.read(f"whole/{file}"))
            copies.append(name)
        return differentiate(self, batch, kl_weight=kl_weight, step=step, inner=inner)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "differentiate", copying)
        list(execute(config, CORPUS, whole, often))
    assert len(copies) == 2
    for name in copies:
        folder = tiny.folder(tmp_path, name)
        assert not folder.has("result.json")
        list(execute(config, CORPUS, folder, often))
        assert folder.read_metrics() == whole.read_metrics()
        assert reproducible(folder.read_json("result.json")) == reproducible(whole.read_json("result.json"))


def test_a_language_model_has_no_phase():
    learner = make_learner(tiny.config("lstm-lm", step="aggressive", batch_size=4), CORPUS, "cpu")
    step, memory = AggressiveStep(), {}
    step.take(learner, batch_of(learner.config), MOMENT, memory)
    assert step.end_epoch(learner, memory) == {"aggressive": 0}
    assert memory == {}
