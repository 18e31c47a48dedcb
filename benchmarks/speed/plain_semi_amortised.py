"""The baseline of SA-VAE: steps of inference, and autograd's second derivatives to go back through them.

Kim et al. (2018) approximate products with second derivatives by differences of gradients. Today autograd
can differentiate the gradient of ``nn.LSTM``, though not that of cuDNN. This is the shorter way to write
it, and takes fewer products than central differences, but the memory of K graphs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lvae_core.config import RunConfig
from speed.plain import PlainModel

AUTHORS_BATCH = 32
"""Sentences of whose mean loss the authors take the gradient; the step on a sentence's own one is α/32."""

ENCODER = ("encoder_embedding", "encoder", "to_mean", "to_log_variance")
"""The plain model's parts before λ, which the steps do not read."""


class PlainSemiAmortised(PlainModel):
    """SA-VAE (Kim et al. 2018): K steps with momentum on λ = (μ, log σ²), then back through all of them.

    As in the authors' code the way back is a loop, because it clips the gradient of λ and that of the
    decoder after each step.
    """

    def __init__(self, config: RunConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        self.steps, self.momentum = config.svi_steps, config.svi_momentum
        self.rate = config.svi_step_size / AUTHORS_BATCH
        self.max_sentence_norm = config.svi_max_sentence_norm
        self.clipping, self.max_norm = config.sa_clip, config.svi_max_grad_norm

    def differentiate(self, words: Tensor, num_samples: int, kl_weight: float = 1.0) -> Tensor:
        """Add the gradients of the loss at λ_K to those of the parameters and return the loss."""
        first = torch.cat(self.encode(words), dim=1)  # (B, 2Z)
        point = first.detach().requires_grad_()
        velocity = torch.zeros_like(point)
        path = []
        for _ in range(self.steps):
            with torch.backends.cudnn.flags(enabled=False):
                total = len(words) * self._loss_at(point, words, 1, kl_weight)
            (gradient,) = torch.autograd.grad(total, point, create_graph=True)
            if self.max_sentence_norm > 0:
                norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
                gradient = gradient * (self.max_sentence_norm / norms).clamp(max=1.0)
            path.append((point, gradient))
            velocity = self.momentum * velocity - gradient.detach()
            point = (point.detach() + self.rate * velocity).requires_grad_()
        loss = self._loss_at(point, words, num_samples, kl_weight)
        loss.backward()  # type: ignore[no-untyped-call]
        assert point.grad is not None
        first.backward(self._back(path, point.grad))  # type: ignore[no-untyped-call]
        return loss.detach()

    def _loss_at(self, point: Tensor, words: Tensor, num_samples: int, kl_weight: float) -> Tensor:
        mean, log_variance = point.chunk(2, dim=1)
        return self.negative_elbo(words, mean, log_variance, num_samples, kl_weight)

    def _back(self, path: list[tuple[Tensor, Tensor]], of_point: Tensor) -> Tensor:
        """Take the gradient of λ_K back to λ_0; add what the steps contribute to those of the decoder."""
        decoder = [
            parameter for name, parameter in self.named_parameters() if name.split(".")[0] not in ENCODER
        ]
        of_velocity = torch.zeros_like(of_point)
        longest = torch.linalg.vector_norm(of_point, dim=1, keepdim=True)
        while path:  # each graph is freed once it has been used
            point, gradient = path.pop()
            of_velocity = of_velocity + self.rate * of_point
            second, *of_decoder = torch.autograd.grad(gradient, [point, *decoder], of_velocity)
            of_point = of_point - second
            if self.clipping == "consistent":
                clip([of_point], self.max_norm)
            if self.clipping == "per_sentence":
                norms = torch.linalg.vector_norm(of_point, dim=1, keepdim=True)
                of_point = of_point * (longest / norms).clamp(max=1.0)
            if self.clipping != "none":
                clip(of_decoder, self.max_norm)
            for parameter, part in zip(decoder, of_decoder, strict=True):
                assert parameter.grad is not None
                parameter.grad -= part
            of_velocity = self.momentum * of_velocity
        return of_point


def clip(gradients: Sequence[Tensor], max_norm: float) -> None:
    """Scale all tensors together, in place, to a norm of at most ``max_norm``."""
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in gradients]))
    for part in gradients:
        part.mul_((max_norm / norm).clamp(max=1.0))
