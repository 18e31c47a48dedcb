"""Training steps replayed as CUDA graphs: one graph for each shape of a batch.

A graph reads its batch, its noise and the state of its masks' generator from fixed places, which are filled
before each replay; nothing is launched kernel by kernel. It runs the same kernels on the same numbers as
the step itself, so it gives the same bits. The learning rate and β are fixed in it: it measures what graphs
would save, and is not how runs are trained.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import torch
from torch import Tensor

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch, collate, send
from lvae_core.data.corpus import Split
from lvae_core.model.layers.precision import compute_in, resolve
from lvae_core.model.noise import BatchNoise
from lvae_core.model.text_model import TextModel
from lvae_core.training.optimisation.objective import objective_under
from lvae_core.training.optimisation.optimiser import Optimiser
from lvae_core.training.optimisation.parts import make_optimiser

WARM_STEPS = 3
"""Steps that libraries take to set themselves up, before a capture."""


class StaticStep:
    """A gradient step that reads everything from fixed places; call :meth:`fill`, then :meth:`run`.

    Args:
        model: trained in place, on its device.
        optimiser: of its parameters; one whose step depends on no counter, such as SGD.
        config: of the run.
        batch: gives the shape; on the device.
    """

    def __init__(self, model: TextModel, optimiser: Optimiser, config: RunConfig, batch: Batch) -> None:
        self.model, self.optimiser, self.config = model, optimiser, config
        self.batch = Batch(
            batch.words.clone(), batch.lengths.clone(), batch.positions.clone(), batch.indices
        )
        self.device = batch.words.device
        self.masks = torch.Generator(self.device)
        self.drawn = torch.zeros(0)
        if model.encoder is not None:
            self.drawn = self._noise(0).to(self.device)

    def fill(self, batch: Batch, step: int) -> None:
        """Copy a batch of the same lengths, and the randomness of a step, to their places."""
        self.batch.words.copy_(batch.words, non_blocking=True)
        self.masks.manual_seed(rng.derive(self.config.seed, "dropout", step) >> 1)
        if self.model.encoder is not None:
            self.drawn.copy_(send(self._noise(step), self.device))

    def run(self) -> Tensor:
        """Take the step; return its loss."""
        terms = objective_under(self.model, self.batch, self.config, self.masks, self._given, kl_weight=1.0)
        terms.loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step(self.config.learning_rate)
        return terms.loss.detach()

    def _noise(self, step: int) -> Tensor:
        key = rng.Key(self.config.seed, "latent", (step,))
        noise = BatchNoise(self.model.posterior, self.model.latent_size, key, len(self.batch.words))
        return noise(size=(self.config.draws, self.config.group))

    def _given(self, *purpose: int | str, size: tuple[int, ...]) -> Tensor:
        assert not purpose, "only the draws of the objective itself have a fixed place"
        return self.drawn


def capture(step: StaticStep) -> Callable[[], Tensor]:
    """Record the step as a CUDA graph; return what replays it. It takes some steps, which count."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_STEPS):
            step.run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(step.masks)
    with torch.cuda.graph(graph):
        loss = step.run()

    def replay() -> Tensor:
        graph.replay()
        return loss

    return replay


def training(config: RunConfig, num_classes: int, split: Split, device: str) -> Callable[[], Tensor]:
    """Make a function that takes one replayed step per batch of ``split`` and returns the last loss."""
    model = TextModel(config, num_classes).to(device)
    compute_in(model, resolve(config.precision, device))
    optimiser = make_optimiser(model, config)
    order = np.arange(len(split)).reshape(-1, config.batch_size)
    steps = [StaticStep(model, optimiser, config, collate(split, indices).to(device)) for indices in order]
    replays = [capture(step) for step in steps]
    numbers = count()

    def run() -> Tensor:
        for indices, step, replay in zip(order, steps, replays, strict=True):
            step.fill(collate(split, indices).to(device), next(numbers))
            loss = replay()
        return loss

    return run


def same_bits(config: RunConfig, num_classes: int, split: Split, device: str, steps: int) -> bool:
    """Whether replayed steps give the bits of the steps themselves, from the same parameters."""
    outcomes = []
    for graphed in (False, True):
        model = TextModel(config, num_classes).to(device)
        compute_in(model, resolve(config.precision, device))
        start = {name: value.clone() for name, value in model.state_dict().items()}
        indices = np.arange(config.batch_size)
        batch = collate(split, indices).to(device)
        step = StaticStep(model, make_optimiser(model, config), config, batch)
        take = capture(step) if graphed else step.run
        model.load_state_dict(start)
        losses = []
        for number in range(steps):
            step.fill(batch, number)
            losses.append(take().clone())
        outcomes.append([*losses, *model.state_dict().values()])
    return all(torch.equal(a, b) for a, b in zip(*outcomes, strict=True))
