"""The whole model once more, by hand: Kruengkrai (2019) §4 as loops over sentences, steps and gates.

Nothing here comes from the code under test but the names and layout of its parameters. One sentence at a
time, so there is no padding to get wrong; no LSTM, no softmax and no distribution of a library. Everything
is differentiable float64, and ``z`` may carry leading axes: one decoder each.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Parameters = Mapping[str, Tensor]


def posterior(p: Parameters, words: Sequence[int], *, share: bool = False) -> tuple[Tensor, Tensor]:
    """(μ, log σ²) of one sentence, w_T = </s> included: μ = M3 s_T, log σ² = M4 s_T."""
    last = last_state(p, words, share=share)
    return _linear(p, "encoder.to_mean", last), _linear(p, "encoder.to_log_variance", last)


def direction(p: Parameters, words: Sequence[int]) -> Tensor:
    """μ of a von Mises-Fisher posterior: M3 s_T / |M3 s_T|."""
    mean = _linear(p, "encoder.to_mean", last_state(p, words))
    return mean / torch.sqrt((mean * mean).sum())


def last_state(p: Parameters, words: Sequence[int], *, share: bool = False) -> Tensor:
    """s_T, the encoder's state after all words of one sentence."""
    table = p["decoder.embedding.weight" if share else "encoder.embedding.weight"]
    zero = table.new_zeros(p["encoder.lstm.weight_hh_l0"].shape[1])
    return lstm(p, "encoder.lstm", [table[w] for w in words], zero, zero)[-1]


def states(
    p: Parameters, words: Sequence[int], z: Tensor | None, *, hide: bool, from_cell: bool = False
) -> list[Tensor]:
    """Decoder states before each of the T predictions, each (..., H).

    ``hide`` puts the one learned vector in place of every word's embedding. With ``from_cell`` c_0 = M2 z
    and h_0 = tanh(c_0) (He et al. 2019).
    """
    V = p["output.weight"].shape[0]
    H = p["decoder.lstm.weight_hh_l0"].shape[1]
    read = [V, *words[:-1]]  # <s>, w_1..w_{T-1}
    if hide:
        inputs = [p["decoder.hidden_word"] for _ in read]
    else:
        inputs = [p["decoder.embedding.weight"][w] for w in read]
    if z is None:
        zero = inputs[0].new_zeros(H)
        return lstm(p, "decoder.lstm", inputs, zero, zero)
    leading = z.shape[:-1]
    joined = [torch.cat([x.expand(*leading, len(x)), z], dim=-1) for x in inputs]
    h = _linear(p, "decoder.initial", z)
    if from_cell:
        return lstm(p, "decoder.lstm", joined, torch.tanh(h), h)
    return lstm(p, "decoder.lstm", joined, h, torch.zeros_like(h))


def log_p(p: Parameters, hidden: Sequence[Tensor], words: Sequence[int]) -> Tensor:
    """Σ_t log softmax(M1 h_t)[w_t], (...)."""
    total = torch.zeros(hidden[0].shape[:-1], dtype=torch.float64)
    for h, w in zip(hidden, words, strict=True):
        logits = _linear(p, "output", h)
        top = logits.max(-1).values
        normaliser = top + torch.log(torch.exp(logits - top.unsqueeze(-1)).sum(-1))
        total = total + logits[..., w] - normaliser
    return total


def log_p_averaged(p: Parameters, words: Sequence[int], group: Sequence[Tensor], *, hide: bool) -> Tensor:
    """log p(x | z^(1..L)) of Eq. 7: the states of the L decoders averaged before one softmax."""
    paths = [states(p, words, z, hide=hide) for z in group]
    mean = [sum(path[t] for path in paths) / len(paths) for t in range(len(words))]
    return log_p(p, mean, words)


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) || N(0, 1)) summed over dimensions."""
    total = torch.zeros((), dtype=torch.float64)
    for m, v in zip(mean, log_variance, strict=True):
        total = total + 0.5 * (m * m + torch.exp(v) - 1 - v)
    return total


def loss_terms(
    p: Parameters,
    sentences: Sequence[Sequence[int]],
    noise: Tensor | None,
    *,
    averaging: str,
    hide: bool,
    share: bool = False,
) -> tuple[Tensor, Tensor]:
    """(−log-likelihood, KL), each a mean over the sentences; ``noise`` is (L, B, Z)."""
    reconstruction = torch.zeros((), dtype=torch.float64)
    divergence = torch.zeros((), dtype=torch.float64)
    for b, words in enumerate(sentences):
        if averaging == "none":
            reconstruction = reconstruction - log_p(p, states(p, words, None, hide=hide), words)
            continue
        assert noise is not None
        mean, log_variance = posterior(p, words, share=share)
        samples = [mean + torch.exp(log_variance / 2) * epsilon for epsilon in noise[:, b]]
        if averaging == "hidden":
            value = log_p_averaged(p, words, samples, hide=hide)
        else:  # Eq. 3
            values = [log_p(p, states(p, words, z, hide=hide), words) for z in samples]
            value = sum(values) / len(values)
        reconstruction = reconstruction - value
        divergence = divergence + kl(mean, log_variance)
    return reconstruction / len(sentences), divergence / len(sentences)


def lstm(p: Parameters, name: str, inputs: Sequence[Tensor], h: Tensor, c: Tensor) -> list[Tensor]:
    """States after each input. The rows of the weights are the gates i, f, g, o."""
    H = h.shape[-1]
    outputs = []
    for x in inputs:
        gates = []
        for k in range(4):
            rows = slice(k * H, (k + 1) * H)
            from_input = x @ p[f"{name}.weight_ih_l0"][rows].T + p[f"{name}.bias_ih_l0"][rows]
            from_state = h @ p[f"{name}.weight_hh_l0"][rows].T + p[f"{name}.bias_hh_l0"][rows]
            gates.append(from_input + from_state)
        i, f, o = (1 / (1 + torch.exp(-gates[k])) for k in (0, 1, 3))
        c = f * c + i * torch.tanh(gates[2])
        h = o * torch.tanh(c)
        outputs.append(h)
    return outputs


def _linear(p: Parameters, name: str, x: Tensor) -> Tensor:
    y = x @ p[f"{name}.weight"].T
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y
