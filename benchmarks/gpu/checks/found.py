"""What a computation of the objective found, and how far two of them may be apart."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Tolerance(NamedTuple):
    """Largest relative errors: of the loss, and of all gradients together, in 2-norm."""

    loss: float
    gradients: float


TOLERANCES: dict[str, Tolerance] = {
    "float32": Tolerance(1e-5, 1e-4),
    # Products of second derivatives are differences of float32 gradients.
    "float32, semi-amortised": Tolerance(1e-4, 2e-2),
    "bfloat16": Tolerance(2e-2, 6e-2),
    # Rounding moves some inputs of ReLU across its kink, and a unit of a small model is a large part of it.
    "bfloat16, cnn": Tolerance(2e-2, 0.3),
    "bfloat16, semi-amortised": Tolerance(5e-2, 0.5),
}


class Found(NamedTuple):
    """Values such as loss, bound and KL, and the gradient of every parameter, in float64."""

    terms: tuple[float, ...]
    gradients: dict[str, Tensor]

    def differs_from(self, expected: Found, allowed: Tolerance) -> str:
        """Say how far apart both are. Raises AssertionError if that is more than allowed."""
        loss = max(abs(a - e) / max(1.0, abs(e)) for a, e in zip(self.terms, expected.terms, strict=True))
        assert loss <= allowed.loss, f"loss, bound or KL off by {loss:.1e}, more than {allowed.loss:.0e}"
        error, name = distance(self.gradients, expected.gradients)
        assert error <= allowed.gradients, f"gradients off by {error:.1e}, worst {name}"
        return f"loss within {loss:.0e}, gradients within {error:.0e}"


def distance(found: dict[str, Tensor], expected: dict[str, Tensor]) -> tuple[float, str]:
    """The 2-norm of the difference relative to that of all numbers, and where it is largest."""
    assert found.keys() == expected.keys(), "a parameter has no gradient"
    apart = {name: float((found[name] - value).norm()) for name, value in expected.items()}
    whole = sum(float(value.norm()) ** 2 for value in expected.values()) ** 0.5
    return sum(value**2 for value in apart.values()) ** 0.5 / whole, max(apart, key=apart.__getitem__)
