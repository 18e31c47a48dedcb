"""The model: parts (encoder, posterior, decoder, softmax) and the one class assembled from them."""

from lvae_core.model.gaussian import Gaussian
from lvae_core.model.text_model import TextModel

__all__ = ["Gaussian", "TextModel"]
