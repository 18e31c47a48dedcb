"""Baselines for further systems, the way public code writes them, on top of :mod:`speed.plain`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lvae_core.config import RunConfig
from speed import plain, plain_aggressive
from speed.plain import PlainModel
from speed.plain_semi_amortised import PlainSemiAmortised


class PlainVonMisesFisher(PlainModel):
    """LSTM-vMF-VAE: z = w μ + sqrt(1 - w²) v, with w by rejection (Wood 1994; Davidson et al. 2018)."""

    def __init__(self, config: RunConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        del self.to_log_variance
        self.kappa = config.vmf_kappa
        self.kl = _kl(config.latent_size, config.vmf_kappa)

    def loss(self, words: Tensor, num_samples: int, kl_weight: float = 1.0) -> Tensor:
        """Compute the training loss of words (B, T): the mean over sentences, nats per sentence."""
        _, (last, _) = self.encoder(self.encoder_embedding(words))
        mean = F.normalize(self.to_mean(last[0]), dim=-1)  # (B, Z)
        reconstruction = torch.zeros((), device=words.device)
        for _ in range(num_samples):
            w = self._cosine(len(words), mean.shape[1], mean.device)
            v = torch.randn_like(mean)
            v = F.normalize(v - (v * mean).sum(-1, keepdim=True) * mean, dim=-1)
            z = w * mean + torch.sqrt(1 - w * w) * v
            reconstruction = reconstruction + self.nll(words, z).sum() / len(words)
        return reconstruction / num_samples + kl_weight * self.kl

    @torch.no_grad()
    def _cosine(self, rows: int, d: int, device: torch.device) -> Tensor:
        """Draw μ·z: (rows, 1). The loop waits for the device, as rejection must."""
        b = (math.sqrt(4 * self.kappa**2 + (d - 1) ** 2) - 2 * self.kappa) / (d - 1)
        x = (1 - b) / (1 + b)
        c = self.kappa * x + (d - 1) * math.log(1 - x * x)
        beta = torch.distributions.Beta((d - 1) / 2, (d - 1) / 2)
        found, missing = torch.zeros(rows), torch.ones(rows, dtype=torch.bool)
        while missing.any():
            n = int(missing.sum())
            e = beta.sample((n,))
            w = (1 - (1 + b) * e) / (1 - (1 - b) * e)
            kept = self.kappa * w + (d - 1) * torch.log(1 - x * w) - c >= torch.log(torch.rand(n))
            places = missing.nonzero().squeeze(1)[kept]
            found[places], missing[places] = w[kept], False
        return found.unsqueeze(1).to(device)


class PlainImportanceWeighted(PlainModel):
    """LSTM-IWAE with the reparameterised gradient (Burda et al. 2016): L decoder passes, then logsumexp."""

    def loss(self, words: Tensor, num_samples: int, kl_weight: float = 1.0) -> Tensor:
        """Compute the training loss of words (B, T): the mean over sentences, nats per sentence."""
        mean, log_variance = self.encode(words)
        log_weights = []
        for _ in range(num_samples):
            noise = torch.randn_like(mean)
            z = mean + torch.exp(0.5 * log_variance) * noise
            log_ratio = 0.5 * (noise.square() + log_variance - z.square()).sum(-1)
            log_weights.append(kl_weight * log_ratio - self.nll(words, z).sum(-1))
        return (math.log(num_samples) - torch.stack(log_weights).logsumexp(0)).mean()


class PlainCNN(PlainModel):
    """CNN-LM or CNN-VAE (Yang et al. 2017): residual blocks of ``nn.Conv1d``, padded on the left."""

    def __init__(self, config: RunConfig, num_classes: int) -> None:
        super().__init__(config, num_classes)
        D, E, C = config.embedding_size, config.cnn_external, config.cnn_channels
        del self.decoder
        if self.has_latent:
            self.initial = nn.Linear(config.latent_size, E - D)
        else:
            self.project = nn.Linear(D, E)
        self.blocks = nn.ModuleList(
            nn.ModuleList([nn.Conv1d(E, C, 1), nn.Conv1d(C, C, 3, dilation=dilation), nn.Conv1d(C, E, 1)])
            for dilation in config.dilations
        )
        self.output = nn.Linear(E, num_classes, bias=False)
        self.block_dropout = nn.Dropout(config.cnn_dropout)

    def nll(self, words: Tensor, z: Tensor | None) -> Tensor:
        """Compute −log p(w_t | z, w_1..w_{t-1}): words (B, T), z (B, Z) or None -> (B, T), nats."""
        B, T = words.shape
        inputs = self.inputs(words)
        if z is None:
            x = self.project(inputs)
        else:
            x = torch.cat([inputs, self.initial(z).unsqueeze(1).expand(B, T, -1)], dim=-1)
        x = x.transpose(1, 2)  # (B, E, T)
        for number, (reduce, convolve, expand) in enumerate(self.blocks):  # type: ignore[misc]
            x = self.block_dropout(x) if number else x
            u = F.relu(reduce(x))
            v = F.relu(convolve(F.pad(u, (2 * convolve.dilation[0], 0))))
            x = F.relu(x + expand(v))
        logits = self.output(self.dropout(x.transpose(1, 2)))
        return F.cross_entropy(logits.flatten(0, 1), words.flatten(), reduction="none").view(B, T)


def plain_model(config: RunConfig, num_classes: int) -> PlainModel:
    """Build the baseline of the system that ``config`` trains."""
    if config.decoder == "cnn":
        return PlainCNN(config, num_classes)
    if config.posterior == "von_mises_fisher":
        return PlainVonMisesFisher(config, num_classes)
    if config.inference == "semi_amortised":
        return PlainSemiAmortised(config, num_classes)
    if config.objective == "importance_weighted":
        return PlainImportanceWeighted(config, num_classes)
    return PlainModel(config, num_classes)


def training(config: RunConfig, num_classes: int, batches: list[Tensor]) -> Callable[[], Tensor]:
    """Make a function that takes the step that ``config`` names on each batch; it returns the last loss."""
    if config.step == "aggressive":
        return plain_aggressive.training(config, num_classes, batches, plain_model)
    return plain.training(config, num_classes, batches, plain_model)


def _kl(d: int, kappa: float) -> float:
    """KL(vMF(μ, κ) || uniform) in nats, by the series of the Bessel function I_{d/2-1}."""
    log_terms = [
        2 * j * math.log(kappa / 2) + math.lgamma(d / 2) - math.lgamma(j + 1) - math.lgamma(d / 2 + j)
        for j in range(400)
    ]
    top = max(log_terms)
    weights = [math.exp(term - top) for term in log_terms]
    total = sum(weights)
    mean = 2 / kappa * sum(j * weight for j, weight in enumerate(weights)) / total
    return kappa * mean - (top + math.log(total))
