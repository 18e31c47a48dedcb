"""Semi-amortised inference (Kim et al. 2018): gradient steps from the encoder's posterior.

Let λ be the parameters of the posteriors of B sentences and f_k(λ) = Σ_b −log p(x_b|z_b) + β KL_b under the
noise ε_k and the dropout masks m_k of step k. The steps are

    v_0 = 0    v_{k+1} = γ v_k − c(∇f_k(λ_k))    λ_{k+1} = λ_k + (α/32) v_{k+1}    k = 0 … K − 1

λ_0 is the encoder's, λ_K is what inference returns. The gradient of a sum moves each sentence by its own
gradient, and α/32 is the step of Kim et al., who take the gradient of a mean over 32 sentences. So no λ
depends on the size of the batch or on its other sentences. c clips the gradient of each sentence to a
norm m. Without it, steps overshoot and grow where the curvature of f_k exceeds 2 (1 + γ) 32/α, and a few
such sentences decide the mean of a whole epoch. Kim et al. clip the gradient of the mean at 5, that by μ
and that by log σ² each: what it leaves to a sentence depends on the others.

The gradient of λ_K goes back through the steps, with the same ε_k and m_k. θ are the decoder's parameters,
H the second derivatives of f_k at λ_k, and a bar marks a gradient:

    v̄ = 0      v̄ ← v̄ + (α/32) λ̄    u = J v̄    λ̄ ← λ̄ − H_λλ u    θ̄ ← θ̄ − H_θλ u    v̄ ← γ v̄
    k = K − 1 … 0

J is the derivative of c at ∇f_k(λ_k): for a sentence with the gradient g that is clipped, m/|g| times the
projection onto what is orthogonal to g; for any other, 1.

What is left in λ̄ goes back through the encoder. A product H u is a central difference of gradients at two
points that are 2h apart along u, however long u is. This needs no second derivative of a layer. Each step
is computed anew, so that memory does not grow with K, except by λ_k, ∇f_k and the state of the masks'
generator.
A training step takes K + 2K + 1 passes through the decoder: 61 for K = 20.

The reverse pass is clipped, too: each H_θλ u to a norm, and λ̄ after each step. A step that makes the λ̄ of
a sentence longer is one from which near posteriors part, for example across a ridge of f_k. Over K steps
these factors multiply, and what comes out is noise whose length clipping sets. So "per_sentence" lets the λ̄
of no sentence grow beyond its length at λ_K: one that contracts keeps its exact gradient, beside whatever
others. "consistent" clips λ̄ of the batch. The two gradients of a difference are never clipped: their
difference would then be one of lengths.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch, send
from lvae_core.fields.choices import ReverseClipping
from lvae_core.model.contracts import Model, Noise, Posterior

AUTHORS_BATCH = 32
"""Sentences in a batch of Kim et al., of whose mean they take the gradient."""

HALF_WIDTH = {torch.float32: 2e-2, torch.float64: 1e-4}
"""h, the 2-norm of a move of all λ. A smaller h loses digits to rounding, a larger one to curvature; in
float32 the error of a product is about 1e-4 of its norm."""

Gradients = list[Tensor | None]
"""Of parameters; None for one that is not read. That of an embedding may be sparse."""


class Rule(NamedTuple):
    """The step rule of λ, and the norm at which the reverse pass is clipped."""

    steps: int
    """K."""
    step_size: float
    """α."""
    momentum: float
    """γ."""
    max_gradient: float
    """m, of the gradient of a sentence; 0: no clipping."""
    clipping: ReverseClipping
    """Of the reverse pass."""
    max_norm: float
    """Of each H_θλ u, and of λ̄ if that is clipped for the batch."""

    @staticmethod
    def of(config: RunConfig) -> Rule:
        """Return the rule that a config names."""
        return Rule(
            config.svi_steps,
            config.svi_step_size,
            config.svi_momentum,
            config.svi_max_sentence_norm,
            config.sa_clip,
            config.svi_max_grad_norm,
        )

    @property
    def rate(self) -> float:
        """α/32, on a sentence's own gradient."""
        return self.step_size / AUTHORS_BATCH


def semi_amortised(
    model: Model, batch: Batch, masks: torch.Generator | None, *, noise: Noise, kl_weight: float
) -> Posterior:
    """Return the posterior after ``svi_steps`` steps from the encoder's; see ``Inference``.

    A step takes one draw; if averaging = hidden, one group of L, on which that decoder is conditioned. Free
    bits count in the training objective, not here.
    """
    assert model.encoder is not None, "a language model has nothing to infer"
    q = model.encoder(batch, masks)
    rule, B = Rule.of(model.config), len(batch.words)
    size = B  # sentences at once; in evaluation their memory has a bound
    if masks is None and not torch.is_grad_enabled():
        size = max(1, model.config.eval_chunk_tokens // (model.config.group * batch.words.shape[1]))
    if size >= B:
        return Descent(model, batch, noise, kl_weight, rule).run(q, masks)
    parts = []
    for start in range(0, B, size):
        rows = slice(start, start + size)
        descent = Descent(model, batch.rows(rows), _NoiseOfRows(noise, rows), kl_weight, rule)
        parts.append(descent.run(q.rows(rows), None))
    return q.join(parts)


@dataclass(frozen=True)
class _NoiseOfRows:
    """The noise of some sentences of a batch."""

    noise: Noise
    rows: slice

    def __call__(self, *purpose: int | str, size: tuple[int, ...]) -> Tensor:
        """Draw (*size, rows, n)."""
        return self.noise(*purpose, size=size)[..., self.rows, :]


class Passed(NamedTuple):
    """A step that was taken: enough to compute it again."""

    point: Tensor
    """λ_k, (B, n)."""
    gradient: Tensor
    """∇f_k(λ_k), (B, n), before it was clipped."""
    masks: Tensor | None
    """State of the generator of dropout masks before the step; None: no dropout."""


@dataclass(frozen=True, eq=False)
class Descent:
    """The K steps on one batch.

    model: with the decoder of θ. batch: B sentences. noise: of these sentences. kl_weight: β.
    """

    model: Model
    batch: Batch
    noise: Noise
    kl_weight: float
    rule: Rule

    def run(self, q: Posterior, masks: torch.Generator | None) -> Posterior:
        """Take the steps from ``q``; with gradients enabled the result is differentiable in ``q`` and θ."""
        if self.rule.steps == 0:
            return q
        last, passed = self._take(q, masks)
        if torch.is_grad_enabled():
            way = Way(self, q.detach(), passed, None if masks is None else masks.device)
            trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
            last = _Unrolled.apply(way, last, flat(q), *trained)  # type: ignore[no-untyped-call]
        return _posterior(q, last)

    def _take(self, q: Posterior, masks: torch.Generator | None) -> tuple[Tensor, list[Passed]]:
        """Return λ_K, (B, n), and what each step passed."""
        point, passed = flat(q).detach(), list[Passed]()
        velocity = torch.zeros_like(point)
        # Nothing but λ needs a gradient here: the matrices of the softmax and of the LSTM get none.
        with _frozen(self.model):
            for k in range(self.rule.steps):
                state = None if masks is None else masks.get_state()
                gradient, _ = self.gradients(q, point, k, masks)
                passed.append(Passed(point, gradient, state))
                velocity = self.rule.momentum * velocity - _clipped(gradient, self.rule.max_gradient)
                point = point + self.rule.rate * velocity
        return point, passed

    def gradients(
        self,
        q: Posterior,
        point: Tensor,
        k: int,
        masks: torch.Generator | None,
        parameters: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Gradients]:
        """Differentiate f_k at λ = ``point``.

        Args:
            q: any posterior of the family.
            point: (B, n).
            k: number of the step, which names its noise.
            masks: draws the step's dropout; None: no dropout.
            parameters: some of θ.

        Returns:
            ∇f_k by λ, (B, n), and the gradients of the mean f_k / B by ``parameters``.
        """
        with torch.enable_grad():
            leaf = point.detach().requires_grad_()
            at = _posterior(q, leaf)
            drawn = self.noise("inference", k, size=(1, self.model.config.group))  # (1, G, B, n)
            drawn = send(drawn, leaf.device).to(leaf.dtype)
            # The factor 1/B belongs to the softmax's sum; another one would cost a pass over M1's gradient.
            mean = (
                self.model.mean_nll(self.batch, at.sample(drawn), masks) + self.kl_weight * at.kl().mean()
            )
            first, *rest = torch.autograd.grad(mean, [leaf, *parameters], allow_unused=True)
        others: Gradients = list(rest)
        return len(point) * first, others


@dataclass(frozen=True, eq=False)
class Way:
    """The points that the steps of ``descent`` passed, kept for the backward pass through them.

    Args:
        descent: the steps.
        q: any posterior of the family.
        passed: of steps 0 … K − 1.
        device: the device of that generator; None: no dropout.
    """

    descent: Descent
    q: Posterior
    passed: Sequence[Passed]
    device: torch.device | None

    def back(self, gradient: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, Gradients]:
        """Propagate the gradient of λ_K, (B, n), back through the steps.

        Returns:
            The gradient of λ_0, (B, n), and for each parameter of θ what the steps add to its gradient.
        """
        rule = self.descent.rule
        lambda_bar, v_bar = gradient, torch.zeros_like(gradient)
        longest = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        theta_bar: Gradients = [None] * len(parameters)
        for k in reversed(range(rule.steps)):
            v_bar = v_bar + rule.rate * lambda_bar
            u = _through_clipping(v_bar, self.passed[k].gradient, rule.max_gradient)
            of_lambda, of_theta = self.product(k, u, parameters)
            lambda_bar = lambda_bar - of_lambda
            if rule.clipping == "consistent":
                lambda_bar = lambda_bar * _clipping([lambda_bar], rule.max_norm)
            if rule.clipping == "per_sentence":
                lambda_bar = lambda_bar * _factors(lambda_bar, longest)
            if rule.clipping != "none":
                scale = _clipping(of_theta, rule.max_norm)
                of_theta = [None if part is None else part * scale for part in of_theta]
            for i, part in enumerate(of_theta):
                theta_bar[i] = _difference(theta_bar[i], part)
            v_bar = rule.momentum * v_bar
        return lambda_bar, theta_bar

    def product(self, k: int, v: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, Gradients]:
        """H_λλ v, (B, n), and H_θλ v of step k."""
        h = HALF_WIDTH[v.dtype]
        norm = torch.linalg.vector_norm(v)
        move = v * (h / norm.clamp(min=torch.finfo(v.dtype).tiny))  # 0 for v = 0, without reading the norm
        ahead, of_ahead = self._gradients(k, self.passed[k].point + move, parameters)
        behind, of_behind = self._gradients(k, self.passed[k].point - move, parameters)
        scale = norm / (2 * h)
        of_mean = scale * len(v)
        differences = (_difference(a, b) for a, b in zip(of_ahead, of_behind, strict=True))
        return (ahead - behind) * scale, [None if d is None else d * of_mean for d in differences]

    def _gradients(self, k: int, point: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, Gradients]:
        masks, state = None, self.passed[k].masks
        if self.device is not None and state is not None:
            masks = torch.Generator(self.device)
            masks.set_state(state)
        return self.descent.gradients(self.q, point, k, masks, parameters)


class _Unrolled(torch.autograd.Function):
    """λ_K as a function of λ_0 and θ."""

    @staticmethod
    def forward(ctx: Any, way: Way, last: Tensor, first: Tensor, *parameters: Tensor) -> Tensor:
        ctx.way = way
        ctx.save_for_backward(*parameters)
        return last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_first, of_parameters = ctx.way.back(gradients[0], ctx.saved_tensors)
        return None, None, of_first, *of_parameters


@contextlib.contextmanager
def _frozen(model: Model) -> Iterator[None]:
    """Let no parameter require a gradient."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()


def flat(q: Posterior) -> Tensor:
    """λ: the parameters of a posterior side by side, (B, n)."""
    return torch.cat([value.flatten(1) for value in q.parameters.values()], dim=1)


def _posterior(q: Posterior, flat: Tensor) -> Posterior:
    """The posterior of the family of ``q`` whose parameters are ``flat``."""
    sizes = [value[0].numel() for value in q.parameters.values()]
    parts = zip(q.parameters.items(), torch.split(flat, sizes, dim=1), strict=True)
    return q.with_parameters({name: part.view_as(value) for (name, value), part in parts})


def _clipped(gradient: Tensor, max_norm: float) -> Tensor:
    """Clip the gradient of each sentence, a row, to a 2-norm; 0: none is clipped."""
    if max_norm == 0:
        return gradient
    return gradient * _factors(gradient, max_norm)


def _through_clipping(v: Tensor, gradient: Tensor, max_norm: float) -> Tensor:
    """The derivative of :func:`_clipped` at ``gradient``, which is symmetric, times ``v``; all (B, n)."""
    if max_norm == 0:
        return v
    factor = _factors(gradient, max_norm)
    along = (v * gradient).sum(1, keepdim=True) / gradient.square().sum(1, keepdim=True)
    return torch.where(factor < 1, factor * (v - along * gradient), v)


def _factors(rows: Tensor, longest: float | Tensor) -> Tensor:
    """The factors that clip each row to a 2-norm, (B, 1); 1 for a row that is short enough."""
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return torch.where(norms > longest, longest / norms, 1.0)


def _clipping(gradients: Sequence[Tensor | None], max_norm: float) -> Tensor:
    """Return the factor, at most 1, that brings the 2-norm of all together down to ``max_norm``."""
    numbers = [g.values() if g.is_sparse else g for g in gradients if g is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in numbers]))
    factor: Tensor = (max_norm / norm).clamp(max=1.0)
    return factor


def _difference(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """a − b, None counting as 0; a sparse result has each row once."""
    if a is None or b is None:
        return a if b is None else -b
    return (a - b).coalesce() if a.is_sparse else a - b
