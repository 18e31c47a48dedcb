"""Losses of the first training steps, kept with full digits: a refactor must leave them identical.

The model is made float64 after its float32 beginning, and its noise is float32 by design. The tolerance is
relative 1e-9 and not bit equality: another processor or math library may sum a matrix product in another
order, which costs some 1e-16 a step here; a change of the model, the noise, the order or the schedule costs
far more than 1e-9. Within one machine, test_determinism.py holds equality to the last bit. Dropout is
off: torch draws its masks by another algorithm if it is built without MKL.

A change of the numbers that is wanted raises NUMERICS_VERSION; the failing test shows the new ones.
"""

import pytest
import torch

from lvae_core.data import corpus as corpus_module
from lvae_core.data.batches import collate, epoch_order
from lvae_core.kl_annealing import kl_weight
from lvae_core.training.optimisation.objective import objective

from .. import tiny

STEPS = 4

GOLDEN: dict[tuple[str, str], list[float]] = {
    ("lstm-lm", "standard"): [7.721907325648613, 7.588290439698028, 7.456678748646636, 9.839011432706574],
    ("lstm-lm", "inputless"): [7.743598538714715, 7.598341182737538, 7.500464022994603, 9.899638284687803],
    ("lstm-vae", "standard"): [7.702063946530145, 7.601644034647002, 7.464054474471583, 9.890085801834443],
    ("lstm-vae", "inputless"): [7.674448855551141, 7.57236687160443, 7.3828520022354125, 9.734261034002543],
    ("lstm-vae-avg", "standard"): [
        7.695324103220728,
        7.595482374216968,
        7.456107628823817,
        9.876993290561899,
    ],
    ("lstm-vae-avg", "inputless"): [
        7.667505384390595,
        7.566247611984948,
        7.374977095309369,
        9.720245829476841,
    ],
}


@pytest.fixture(scope="module")
def toy() -> corpus_module.Corpus:
    return corpus_module.load("toy")


def losses(toy: corpus_module.Corpus, system: str, setting: str) -> list[float]:
    config = tiny.config(
        system, setting=setting, num_samples=3, dropout=0.0, init_scale=0.4, kl_anneal_epochs=0.2,
        learning_rate=0.7, max_grad_norm=1.0, seed=2019,
    )  # fmt: skip
    model = tiny.double_model(config, len(toy.vocabulary))
    order = epoch_order(toy.train.lengths, config.batch_size, config.batching, config.seed, 0)
    values = []
    for step in range(STEPS):
        batch = collate(toy.train, order[step])
        beta = kl_weight(config, step, len(order))
        loss = objective(model, batch, config, kl_weight=beta, step=step).loss
        values.append(loss.item())
        loss.backward()
        for parameter in model.parameters():
            parameter.grad = parameter.grad.to_dense()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= config.learning_rate * parameter.grad
                parameter.grad = None
    return values


@pytest.mark.parametrize("setting", tiny.SETTINGS)
@pytest.mark.parametrize("system", tiny.SYSTEMS)
def test_losses_are_the_golden_ones(toy, system, setting):
    assert losses(toy, system, setting) == pytest.approx(GOLDEN[system, setting], rel=1e-9, abs=0)
