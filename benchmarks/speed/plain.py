"""The baseline: LSTM-LM and LSTM-VAE the way public text-VAE code writes them.

``nn.LSTM``, ``nn.Dropout``, all logits at once, ``F.cross_entropy``, one decoder pass and one softmax for
each latent sample, ``torch.optim.SGD``. Sentences of one length share a batch, so there is no padding.
The only part of ``lvae_core`` used is the config.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lvae_core.config import RunConfig

POSITIONS = {"cpu": 2048, "cuda": 65536}
"""Decoder positions that an evaluation computes at once. On a CPU larger blocks are slower."""

OURS = {
    "encoder_embedding": "encoder.embedding",
    "encoder": "encoder.lstm",
    "to_mean": "encoder.to_mean",
    "to_log_variance": "encoder.to_log_variance",
    "initial": "decoder.initial",
    "hidden_word": "decoder.hidden_word",
    "embedding": "decoder.embedding",
    "decoder": "decoder.lstm",
    "output": "output",
}
"""Parts of the plain model -> the same parts of lvae_core's model."""


class PlainModel(nn.Module):
    """LSTM-LM or LSTM-VAE with L samples (Eq. 3), in either setting, in float32.

    Args:
        config: sizes, system, setting, dropout.
        num_classes: V; class V is ``<s>``, an input only.
    """

    def __init__(self, config: RunConfig, num_classes: int) -> None:
        super().__init__()
        D, H, Z, V = config.embedding_size, config.hidden_size, config.latent_size, num_classes
        self.start_id = V
        self.has_latent = config.encoder != "none"
        self.inputless = config.setting == "inputless"
        if self.has_latent:
            self.encoder_embedding = nn.Embedding(V, D)
            self.encoder = nn.LSTM(D, H, batch_first=True)
            self.to_mean = nn.Linear(H, Z, bias=False)
            self.to_log_variance = nn.Linear(H, Z, bias=False)
            self.initial = nn.Linear(Z, H, bias=False)
        if self.inputless:
            self.hidden_word = nn.Parameter(torch.empty(D))
        else:
            self.embedding = nn.Embedding(V + 1, D)
        self.decoder = nn.LSTM(D + Z if self.has_latent else D, H, batch_first=True)
        self.output = nn.Linear(H, V, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -config.init_scale, config.init_scale)

    def encode(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """Compute μ and log σ² of each sentence: (B, T) -> (B, Z), (B, Z)."""
        _, (last, _) = self.encoder(self.encoder_embedding(words))
        return self.to_mean(last[0]), self.to_log_variance(last[0])

    def inputs(self, words: Tensor) -> Tensor:
        """Embed what the decoder reads before each word, dropout on: (B, T) -> (B, T, D)."""
        B, T = words.shape
        if self.inputless:
            return self.dropout(self.hidden_word.expand(B, T, -1))
        start = words.new_full((B, 1), self.start_id)
        return self.dropout(self.embedding(torch.cat([start, words[:, :-1]], dim=1)))

    def nll(self, words: Tensor, z: Tensor | None) -> Tensor:
        """Compute −log p(w_t | z, w_1..w_{t-1}): words (B, T), z (B, Z) or None -> (B, T), nats."""
        B, T = words.shape
        inputs, state = self.inputs(words), None
        if z is not None:
            inputs = torch.cat([inputs, z.unsqueeze(1).expand(B, T, -1)], dim=-1)
            h = self.initial(z).unsqueeze(0)
            state = (h, torch.zeros_like(h))
        hidden, _ = self.decoder(inputs, state)  # (B, T, H)
        logits = self.output(self.dropout(hidden))  # (B, T, V)
        return F.cross_entropy(logits.flatten(0, 1), words.flatten(), reduction="none").view(B, T)

    def loss(self, words: Tensor, num_samples: int, kl_weight: float = 1.0) -> Tensor:
        """Compute the training loss of words (B, T): the mean over sentences, nats per sentence."""
        if not self.has_latent:
            return self.nll(words, None).sum() / len(words)
        return self.negative_elbo(words, *self.encode(words), num_samples, kl_weight)

    def negative_elbo(
        self, words: Tensor, mean: Tensor, log_variance: Tensor, num_samples: int, kl_weight: float
    ) -> Tensor:
        """Compute the loss of words (B, T) under posteriors, mean and log_variance (B, Z)."""
        reconstruction = torch.zeros((), device=words.device)
        for _ in range(num_samples):
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            reconstruction = reconstruction + self.nll(words, z).sum() / len(words)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean()
        return reconstruction / num_samples + kl_weight * kl

    def differentiate(self, words: Tensor, num_samples: int, kl_weight: float = 1.0) -> Tensor:
        """Add the gradients of :meth:`loss` to those of the parameters and return the loss."""
        loss = self.loss(words, num_samples, kl_weight)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    @torch.no_grad()
    def importance_weighted_nll(self, words: Tensor, num_samples: int, draws: int) -> Tensor:
        """Compute −log 1/S Σ_s p(x|z_s) p(z_s)/q(z_s|x) of each sentence: (B, T) -> (B,), nats.

        Args:
            words: (B, T).
            num_samples: S.
            draws: samples per sentence that are decoded at once.
        """
        B, T = words.shape
        mean, log_variance = self.encode(words)
        log_weights = []
        for first in range(0, num_samples, draws):
            s = min(draws, num_samples - first)
            noise = torch.randn(s, *mean.shape, device=words.device)
            z = mean + torch.exp(0.5 * log_variance) * noise  # (s, B, Z)
            log_p = -self.nll(words.repeat(s, 1), z.flatten(0, 1)).view(s, B, T).sum(-1)
            log_ratio = 0.5 * (noise.square() + log_variance - z.square()).sum(-1)
            log_weights.append(log_p + log_ratio)
        return math.log(num_samples) - torch.cat(log_weights).logsumexp(0)


def training(
    config: RunConfig,
    num_classes: int,
    batches: list[Tensor],
    make: Callable[[RunConfig, int], PlainModel] = PlainModel,
) -> Callable[[], Tensor]:
    """Make a function that does one gradient step per batch (words, (B, T)) and returns the last loss.

    The loss is in nats per sentence. ``make`` builds the model.
    """
    model = make(config, num_classes).to(batches[0].device)
    optimiser: torch.optim.Optimizer
    if config.optimiser == "adam":
        betas = config.adam_beta1, config.adam_beta2
        optimiser = torch.optim.Adam(model.parameters(), config.learning_rate, betas, config.adam_epsilon)
    else:
        optimiser = torch.optim.SGD(model.parameters(), lr=config.learning_rate)

    def run() -> Tensor:
        for words in batches:
            optimiser.zero_grad()
            loss = model.differentiate(words, config.num_samples)
            nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            optimiser.step()
        return loss

    return run


def evaluation(config: RunConfig, num_classes: int, batches: list[Tensor]) -> Callable[[], Tensor]:
    """Make a function that estimates −log p(x) of every sentence by importance sampling: (N,), nats."""
    model = PlainModel(config, num_classes).to(batches[0].device).eval()
    positions = POSITIONS[batches[0].device.type]

    def run() -> Tensor:
        return torch.cat(
            [
                model.importance_weighted_nll(
                    words, config.iw_samples, draws=max(1, positions // words.numel())
                )
                for words in batches
            ]
        )

    return run
