"""The parts that a config can name, one registry for each contract of :mod:`lvae_core.model.contracts`.

To add a part: write its class in a new file, register it here and in :mod:`lvae_core.model.counts`, and
name it in the config field's choices. The conformance suites test every registered part.
"""

from __future__ import annotations

import torch

from lvae_core.data.batches import Batch
from lvae_core.model.cnn_decoder import CNNDecoder
from lvae_core.model.contracts import Encoder, Inference, MakeDecoder, Model, Noise, Posterior
from lvae_core.model.gaussian import Gaussian
from lvae_core.model.lstm_decoder import LSTMDecoder
from lvae_core.model.lstm_encoder import LSTMEncoder
from lvae_core.model.semi_amortised import semi_amortised
from lvae_core.model.von_mises_fisher import VonMisesFisher


def amortised(
    model: Model, batch: Batch, masks: torch.Generator | None, *, noise: Noise, kl_weight: float
) -> Posterior:
    """Return the encoder's posterior."""
    assert model.encoder is not None, "a language model has nothing to infer"
    return model.encoder(batch, masks)


POSTERIORS: dict[str, type[Posterior]] = {"gaussian": Gaussian, "von_mises_fisher": VonMisesFisher}
ENCODERS: dict[str, type[Encoder]] = {"lstm": LSTMEncoder}
DECODERS: dict[str, MakeDecoder] = {"lstm": LSTMDecoder, "cnn": CNNDecoder}
INFERENCES: dict[str, Inference] = {"amortised": amortised, "semi_amortised": semi_amortised}
