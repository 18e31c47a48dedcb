"""The parts of training that a config can name, one registry for each contract.

To add a part: write its class in a new file, register it here and name it in the config field's choices.
The conformance suites under ``tests/lvae_core/training/optimisation/`` test every registered part.
"""

from __future__ import annotations

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.model.text_model import TextModel
from lvae_core.training.optimisation.adam import Adam
from lvae_core.training.optimisation.aggressive import AggressiveStep
from lvae_core.training.optimisation.optimiser import SGD, Optimiser
from lvae_core.training.optimisation.step import JointStep, Learner, Step

OPTIMISERS: dict[str, type[Optimiser]] = {"sgd": SGD, "adam": Adam}
STEPS: dict[str, type[Step]] = {"joint": JointStep, "aggressive": AggressiveStep}


def make_learner(config: RunConfig, corpus: Corpus, device: str) -> Learner:
    """Build what a run of ``config`` trains, at its beginning."""
    model = TextModel(config, len(corpus.vocabulary)).to(device)
    return Learner(model, make_optimiser(model, config), config, corpus)


def make_optimiser(model: TextModel, config: RunConfig) -> Optimiser:
    """Build the optimiser that ``config`` names for the parameters of ``model``."""
    return OPTIMISERS[config.optimiser](model.named_parameters(), config)
