"""The contracts of a model's parts: posterior and its head, encoder, decoder, inference.

A part is chosen by name in the config (see :mod:`lvae_core.model.parts`) and passes the conformance suite
of its contract under ``tests/lvae_core/model/``.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch
from lvae_core.model.dropout import dropout
from lvae_core.model.layers.embedding import Embedding
from lvae_core.rng import Key


@dataclass(frozen=True, eq=False)
class Posterior(ABC):
    """q(z|x) of B sentences, with the prior p(z).

    The contract:

    - A posterior is a frozen dataclass. Each of its tensor fields has the B sentences as its first axis;
      together these are its ``parameters``. Everything else it needs is a plain value.
    - ``sample``, ``log_ratio`` and ``log_density`` take the same noise and refer to the same z. They are
      differentiable in the parameters. The z of a sentence depends only on its own noise and parameters.
    - log p(z) and log q(z|x) are taken relative to one base measure, which the class chooses.
    - Noise and prior draws are float32 on the CPU, so that every device gets the same numbers. They are a
      function of their key.
    """

    mean: Tensor
    """E z or another centre of z, (B, Z): decoded as "the mean", and used to count active units."""

    @staticmethod
    @abstractmethod
    def head(config: RunConfig) -> Head:
        """Build the layers that turn the encoder's last state into the posterior."""

    @staticmethod
    @abstractmethod
    def noise(key: Key, size: tuple[int, ...], latent_size: int) -> Tensor:
        """Draw what :meth:`sample` needs for ``size`` draws: (*size, n); n is the class's choice."""

    @staticmethod
    @abstractmethod
    def prior(key: Key, size: tuple[int, ...], latent_size: int) -> Tensor:
        """Draw z from p(z): (*size, Z)."""

    @abstractmethod
    def sample(self, noise: Tensor) -> Tensor:
        """Draw z from q(z|x): noise (..., B, n) -> (..., B, Z)."""

    @abstractmethod
    def kl_terms(self) -> Tensor:
        """Terms that add up to KL(q(z|x) || p(z)): (B, m), nats; m = Z if it is a sum over dimensions."""

    @abstractmethod
    def log_ratio(self, noise: Tensor) -> Tensor:
        """log p(z) − log q(z|x) at z = ``sample(noise)``: (..., B), nats; accurate in float32."""

    @abstractmethod
    def log_ratio_at(self, z: Tensor) -> Tensor:
        """log p(z) − log q(z|x) of each sentence's own z, (..., B, Z): (..., B), nats; differentiable in z.

        It may be less accurate than :meth:`log_ratio`.
        """

    @abstractmethod
    def log_density(self, noise: Tensor) -> Tensor:
        """log q(z|x) at z = ``sample(noise)``: (..., B), nats; accurate in float32."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z_n | x_b) of every z under every sentence's posterior: (N, Z) -> (N, B), nats.

        It may cancel digits: call it in float64.
        """

    @staticmethod
    def path(start: Tensor, end: Tensor, count: int) -> Tensor:
        """Points on the way between two values of z, (Z,), ends included: (count, Z); a straight line."""
        return torch.stack([torch.lerp(start, end, weight) for weight in torch.linspace(0, 1, count)])

    def kl(self) -> Tensor:
        """KL(q(z|x) || p(z)), (B,), nats."""
        return self.kl_terms().sum(-1)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The tensor fields by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def with_parameters(self, parameters: dict[str, Tensor]) -> Self:
        """Return the posterior with other parameters."""
        return dataclasses.replace(self, **parameters)

    def rows(self, index: Tensor | slice) -> Self:
        """Return the posteriors of some of the sentences."""
        return self.with_parameters({name: value[index] for name, value in self.parameters.items()})

    def double(self) -> Self:
        """Return the same in float64."""
        return self.with_parameters({name: value.double() for name, value in self.parameters.items()})

    def detach(self) -> Self:
        """Return the same without gradients."""
        return self.with_parameters({name: value.detach() for name, value in self.parameters.items()})

    @staticmethod
    def join(parts: Sequence[Posterior]) -> Posterior:
        """Return the posteriors of several batches as those of one."""
        first = parts[0]
        return first.with_parameters(
            {name: torch.cat([part.parameters[name] for part in parts]) for name in first.parameters}
        )


class Head(nn.Module, ABC):
    """The layers that turn the encoder's last state into a posterior.

    Its parameters and buffers lie in child modules. The encoder registers those children under their own
    names (``encoder.to_mean``), by which initial values are drawn and checkpoints are read.
    """

    @abstractmethod
    def forward(self, state: Tensor, masks: torch.Generator | None) -> Posterior:
        """Return q(z|x) from s_T, (B, H). ``masks`` draws dropout in training; None: evaluation."""

    def __call__(self, state: Tensor, masks: torch.Generator | None) -> Posterior:
        """Call ``forward``, with types."""
        result: Posterior = super().__call__(state, masks)
        return result


class Encoder(nn.Module, ABC):
    """A map from sentences to posteriors.

    The contract:

    - Every word of a sentence and its place influence the sentence's posterior. Padding and the other
      sentences of the batch do not.
    - It reads words from its submodule ``embedding``, which may be the decoder's own table.
    - Its head reads states of ``config.hidden_size`` numbers.

    Args:
        config: sizes and dropout.
        embedding: table of the V words.
        head: the posterior's head.
    """

    def __init__(self, config: RunConfig, embedding: Embedding, head: Head) -> None:
        super().__init__()
        self.embedding = embedding
        self._add_layers(config)
        # The head's layers are registered by their own names (see Head), the head itself is not.
        assert not [*head.parameters(recurse=False), *head.buffers(recurse=False)], "put them in children"
        for name, layer in head.named_children():
            self.add_module(name, layer)
        self.__dict__["head"] = head

    @abstractmethod
    def _add_layers(self, config: RunConfig) -> None:
        """Build the layers between the table and the head."""

    @abstractmethod
    def states(self, batch: Batch, masks: torch.Generator | None) -> Tensor:
        """Return what the head reads, (B, H). ``masks`` draws dropout; None: no dropout."""

    def forward(self, batch: Batch, masks: torch.Generator | None = None) -> Posterior:
        """Return q(z|x) of B sentences. ``masks`` draws dropout; None: no dropout."""
        head: Head = self.__dict__["head"]
        return head(self.states(batch, masks), masks)

    def __call__(self, batch: Batch, masks: torch.Generator | None = None) -> Posterior:
        """Call ``forward``, with types."""
        result: Posterior = super().__call__(batch, masks)
        return result


State = Any
"""Memory of a decoder between two steps of generation; only the decoder looks inside."""


class Decoder(nn.Module, ABC):
    """Hidden states from which the next word is predicted, given z and the words before it.

    The contract:

    - It is causal: the state at t depends on z and on the inputs up to t.
    - ``start`` and ``step`` give the states of ``forward`` without dropout, word by word.
    - In the inputless setting (``embedding`` is None) no word has an influence.
    - Every z reaches every state.
    - The table of words is its submodule ``embedding``, which an encoder may share.
    - The N decoders and B sentences of a call do not influence each other.
    """

    output_size: int
    """H, numbers in a state."""
    embedding: Embedding | None
    hidden_word: nn.Parameter
    """The learned vector that replaces a hidden word, (D,); only if words can be hidden."""

    def __init__(self, config: RunConfig, embedding: Embedding | None) -> None:
        super().__init__()
        self.embedding = embedding
        if embedding is None or config.word_dropout > 0:
            self.hidden_word = nn.Parameter(torch.empty(config.embedding_size))
        self.dropout = config.dropout
        self.dropout_latent = config.dropout if config.dropout_latent_input else 0.0
        self.word_dropout = config.word_dropout
        self.drops_hidden = config.dropout_hidden_word
        self.masks_each = config.separate_word_masks

    def embed(self, words: Tensor) -> Tensor:
        """Return the embeddings of words without dropout, (..., D); each is hidden if inputless."""
        if self.embedding is None:
            return self.hidden_word.expand(*words.shape, -1)
        embedded: Tensor = self.embedding(words)
        return embedded

    def read(self, words: Tensor, masks: torch.Generator | None, decoders: int) -> Tensor:
        """Return the embeddings of words (B, T) as ``decoders`` decoders read them, under dropout.

        Every word is hidden in the inputless setting, and a random few under word dropout.

        Returns:
            (1, B, T, D), or (decoders, B, T, D) if each decoder has separate masks.
        """
        words = words.expand(decoders if self.masks_each and masks is not None else 1, *words.shape)
        embedded = self.embed(words)
        if self.embedding is None:
            return dropout(embedded, self.dropout, masks) if self.drops_hidden else embedded
        if masks is None or self.word_dropout == 0:
            return dropout(embedded, self.dropout, masks)
        chance = torch.rand(words.shape, generator=masks, device=words.device)
        hidden = (chance < self.word_dropout).unsqueeze(-1)
        if self.drops_hidden:
            return dropout(torch.where(hidden, self.hidden_word, embedded), self.dropout, masks)
        return torch.where(hidden, self.hidden_word, dropout(embedded, self.dropout, masks))

    @abstractmethod
    def forward(self, inputs: Tensor, z: Tensor | None, masks: torch.Generator | None) -> Tensor:
        """Return the states of N decoders reading the same words, each with its own z.

        Args:
            inputs: ids of <s>, w_1..w_{T-1}, (B, T); padding lies to the right.
            z: (N, B, Z), or None for a language model (N = 1).
            masks: draws dropout; None: no dropout. The N decoders share the masks of the words, unless
                ``masks_each``.

        Returns:
            (N, B, T, H); rounded if the matrix products are.
        """

    @abstractmethod
    def start(self, z: Tensor | None, rows: int) -> State:
        """Return the state before the first word of ``rows`` sentences; z is (rows, Z) or None."""

    @abstractmethod
    def step(self, words: Tensor, z: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Read one word per row: words (rows,), z (rows, Z) -> hidden (rows, H) and the next state."""

    def initial_scales(self) -> dict[str, float]:
        """Return parameter's name -> a, for those that do not start as U(-init_scale, init_scale)."""
        return {}

    @abstractmethod
    def select(self, state: State, rows: Tensor) -> State:
        """Return the state of some rows, in the order given; a row may be chosen several times."""

    def __call__(self, inputs: Tensor, z: Tensor | None, masks: torch.Generator | None) -> Tensor:
        """Call ``forward``, with types."""
        result: Tensor = super().__call__(inputs, z, masks)
        return result


class MakeDecoder(Protocol):
    """Constructor of a decoder: its class."""

    def __call__(self, config: RunConfig, embedding: Embedding | None) -> Decoder:
        """``embedding``: table of the V words and <s>; None in the inputless setting."""


class Noise(Protocol):
    """The noise of a batch's sentences; a function of its arguments."""

    def __call__(self, *purpose: int | str, size: tuple[int, ...]) -> Tensor:
        """Draw (*size, B, n), float32 on the CPU. Another ``purpose`` gives other numbers."""


class Model(Protocol):
    """The part of a model that inference may use."""

    @property
    def config(self) -> RunConfig:
        """The run's config: the inference reads its own fields and the number of samples of a group."""

    @property
    def encoder(self) -> Encoder | None:
        """The encoder; None for a language model."""

    def mean_nll(self, batch: Batch, z: Tensor | None, masks: torch.Generator | None) -> Tensor:
        """Mean over draws and sentences of −log p(x | z), z of shape (S, G, B, Z)."""

    def parameters(self) -> Any:
        """All trained parameters."""


class Inference(Protocol):
    """A way to find a sentence's posterior: by the encoder alone, or by optimising from there.

    The contract:

    - Training, evaluation and generation call it in the same way. It is differentiable if gradients are
      enabled, and enables them for itself if it needs some.
    - In evaluation (without masks) a sentence's posterior does not depend on the others of its batch.
    - It draws all its noise from ``noise``, with purposes that begin with "inference".
    - It leaves the model and its gradients as they were.
    """

    def __call__(
        self, model: Model, batch: Batch, masks: torch.Generator | None, *, noise: Noise, kl_weight: float
    ) -> Posterior:
        """Return q(z|x) of B sentences.

        Args:
            model: a model with an encoder.
            batch: B sentences.
            masks: draws dropout; None: no dropout.
            noise: the noise of these sentences.
            kl_weight: β of the objective that is optimised; 1 in evaluation.
        """
