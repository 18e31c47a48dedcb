"""Sentences from a trained model: samples from the prior, reconstructions, interpolations.

Latent variables come as z of shape (N, G, Z): N sentences, each from a group of G samples whose decoder
states are averaged (G = L where averaging = hidden, else 1), as in training.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import make_batch
from lvae_core.data.tokens import split_tokens
from lvae_core.data.vocabulary import Vocabulary
from lvae_core.errors import InputError
from lvae_core.evaluation.decoding import Decoding
from lvae_core.model.contracts import Posterior, State
from lvae_core.model.noise import SentenceNoise
from lvae_core.model.text_model import TextModel

_log = logging.getLogger("lvae.evaluation")


@dataclass(frozen=True)
class Trained:
    """The parameters of a run's tested epoch, ready to generate; without dropout and without gradients."""

    config: RunConfig
    model: TextModel
    vocabulary: Vocabulary


def from_prior(trained: Trained, count: int, decoding: Decoding) -> list[str]:
    """``count`` sentences, each from its own z ~ p(z); a language model's differ only by sampling."""
    z = None
    if trained.model.encoder is not None:
        key = rng.Key(decoding.seed, "generation", ("prior",))
        model = trained.model
        z = model.posterior.prior(key, (count, trained.config.group), model.latent_size)  # (N, G, Z)
    return _decode(trained, z, count, decoding, "prior")


def reconstruct(trained: Trained, sentences: Sequence[str], decoding: Decoding) -> list[str]:
    """Each sentence decoded from the mean of its posterior q(z|x).

    Raises:
        InputError: the model has no latent variable, or a sentence has no word or cannot be encoded.
    """
    if not sentences and trained.model.encoder is not None:
        return []
    mean = posterior(trained, sentences).mean  # (N, Z)
    z = mean.unsqueeze(1).expand(-1, trained.config.group, -1)
    return _decode(trained, z, len(sentences), decoding, "reconstruction")


def interpolate(trained: Trained, first: str, last: str, count: int, decoding: Decoding) -> list[str]:
    """``count`` sentences on the way between two posterior means, ends included.

    The way is a straight line, or, if z lies on a sphere, the shorter arc of a great circle.

    Raises:
        InputError: as :func:`reconstruct`; or count < 2.
    """
    if count < 2:
        raise InputError(f"count = {count}: must be at least 2, the two ends")
    start, end = posterior(trained, [first, last]).mean
    path = trained.model.posterior.path(start, end, count)
    z = path.unsqueeze(1).expand(-1, trained.config.group, -1)
    return _decode(trained, z, count, decoding, "interpolation")


def as_read(trained: Trained, sentence: str) -> str:
    """The sentence as the encoder reads it: words outside the vocabulary are the unknown word."""
    return " ".join(trained.vocabulary.decode(trained.vocabulary.encode(split_tokens(sentence))))


def posterior(trained: Trained, sentences: Sequence[str]) -> Posterior:
    """Return q(z|x) of N sentences; see :func:`split_tokens` for what separates their words.

    A warning names the words that the model reads as the unknown word.
    """
    model = trained.model
    if model.encoder is None:
        raise InputError(
            f"{trained.config.system} has no latent variable: nothing to encode a sentence into"
        )
    tokens = [split_tokens(text) for text in sentences]
    for text, sentence in zip(sentences, tokens, strict=True):
        if not sentence:
            raise InputError(f"sentence {text!r}: has no word; give at least one")
    encoded = [torch.tensor(trained.vocabulary.encode(sentence)) for sentence in tokens]
    if unlisted := trained.vocabulary.unlisted(token for sentence in tokens for token in sentence):
        _log.warning(f"not in the vocabulary, so read as the unknown word: {' '.join(unlisted)}")
    words = torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True)
    lengths = torch.tensor([len(ids) for ids in encoded])
    root = rng.Key(trained.config.seed, "generation", ("posterior",))
    keys = [root.at(" ".join(sentence)) for sentence in tokens]  # however many blanks were typed
    with torch.no_grad():
        return model.infer(
            make_batch(words, lengths, torch.arange(len(encoded)).numpy()),
            noise=SentenceNoise(model.posterior, model.latent_size, keys),
        )


def _decode(trained: Trained, z: Tensor | None, count: int, decoding: Decoding, purpose: str) -> list[str]:
    if decoding.method == "beam":
        ids = [_beam(trained.model, None if z is None else z[n : n + 1], decoding) for n in range(count)]
    else:
        ids = _one_path(trained.model, z, count, decoding, purpose)
    return [" ".join(trained.vocabulary.decode(sentence)) for sentence in ids]


def _one_path(
    model: TextModel, z: Tensor | None, count: int, decoding: Decoding, purpose: str
) -> list[list[int]]:
    """Greedy or sampled: one word a step, never taken back. Rows go on past their </s>; it is cut."""
    generator = rng.torch_generator(decoding.seed, "generation", "words", purpose)
    words = torch.full((count,), model.start_id)
    state = _start(model, z, count)
    chosen: list[Tensor] = []
    ended = torch.zeros(count, dtype=torch.bool)
    while len(chosen) < decoding.max_length and not bool(ended.all()):
        log_p, state = _next_word(model, words, z, state)
        if decoding.method == "greedy":
            words = log_p.argmax(-1)
        else:
            weights = (log_p / decoding.temperature).softmax(-1)
            words = torch.multinomial(weights, 1, generator=generator).squeeze(-1)
        chosen.append(words)
        ended |= words == 0
    paths: list[list[int]] = torch.stack(chosen, dim=1).tolist()
    return paths


def _beam(model: TextModel, z: Tensor | None, decoding: Decoding) -> list[int]:
    """The best finished sentence of a beam search for argmax log p(x|z); z is (1, G, Z) or None."""
    width = decoding.beam_width
    paths = torch.empty((1, 0), dtype=torch.long)
    scores = torch.zeros(1)
    words = torch.tensor([model.start_id])
    state = _start(model, z, 1)
    best: list[int] = []
    best_score = -float("inf")
    for _ in range(decoding.max_length):
        here = None if z is None else z.expand(len(words), -1, -1)
        log_p, state = _next_word(model, words, here, state)
        totals = (scores.unsqueeze(1) + log_p).flatten()  # (beams V,)
        scores, flat = totals.topk(min(width, len(totals)))
        origin, words = flat // log_p.shape[1], flat % log_p.shape[1]
        paths = torch.cat([paths[origin], words.unsqueeze(1)], dim=1)
        state = _select(model, state, origin, z)
        if bool((ends := words == 0).any()) and float(scores[ends].max()) > best_score:
            best_score = float(scores[ends].max())
            best = paths[ends][scores[ends].argmax()].tolist()
        going = ~ends
        # Scores only fall, so no hypothesis below a finished one can overtake it.
        if not bool(going.any()) or float(scores[going].max()) <= best_score:
            return best
        kept = going.nonzero().squeeze(-1)
        scores, words, paths = scores[kept], words[kept], paths[kept]
        state = _select(model, state, kept, z)
    return best or paths[scores.argmax()].tolist()


def _start(model: TextModel, z: Tensor | None, count: int) -> State:
    """Return the decoder's state before the first word of each sentence, with a row for each of a group."""
    rows = None if z is None else z.flatten(0, 1)
    return model.decoder.start(rows, count if rows is None else len(rows))


def _next_word(model: TextModel, words: Tensor, z: Tensor | None, state: State) -> tuple[Tensor, State]:
    """Log p(next word) (N, V) after ``words`` (N,), the states of each group averaged (Eq. 7)."""
    if z is None:
        hidden, state = model.decoder.step(words, None, state)
    else:
        N, G, _ = z.shape
        hidden, state = model.decoder.step(words.repeat_interleave(G), z.reshape(N * G, -1), state)
        hidden = hidden.view(N, G, -1).mean(1)
    return model.output(hidden).log_softmax(-1), state


def _select(model: TextModel, state: State, sentences: Tensor, z: Tensor | None) -> State:
    """The states of the chosen sentences, each with its group of rows."""
    group = 1 if z is None else z.shape[1]
    return model.decoder.select(state, (sentences.unsqueeze(1) * group + torch.arange(group)).flatten())
