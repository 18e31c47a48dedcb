"""The layers that cost time: word vectors, and an LSTM and a softmax in several arithmetics.

The model asks a layer for states or log-likelihoods and does not care how they are made;
:func:`compute_in` chooses. ``reference.py`` holds the plain formulas that all of it must agree with.
"""

from lvae_core.kernels.embedding import Embedding
from lvae_core.kernels.lstm import LSTM
from lvae_core.kernels.precision import Arithmetic, compute_in, resolve
from lvae_core.kernels.softmax import Softmax

__all__ = ["LSTM", "Arithmetic", "Embedding", "Softmax", "compute_in", "resolve"]
