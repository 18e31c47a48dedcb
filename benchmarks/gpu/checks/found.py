"""What a computation of the objective found, and how far two of them may be apart."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Tolerance(NamedTuple):
    """Largest relative errors: of the loss, of all gradients together, and of each (both in 2-norm)."""

    loss: float
    gradients: float
    each: float
    """Below 1, which is the error of a gradient that is zero, doubled or another tensor's."""


TOLERANCES: dict[str, Tolerance] = {
    "float32": Tolerance(1e-5, 1e-4, 1e-3),
    "bfloat16": Tolerance(5e-3, 2e-2, 0.1),
    # Rounding moves some inputs of ReLU across its kink, and a unit of a small model is a large part of it.
    "bfloat16, cnn": Tolerance(5e-3, 0.1, 0.5),
    # Each step of inference amplifies the rounding of the one before.
    "bfloat16, semi-amortised": Tolerance(5e-3, 0.1, 0.2),
}
"""Several times the largest errors that were found on a CPU, over systems, settings and seeds.

Those are 1.5e-7, 9.5e-6 and 1.4e-5 in float32; 1.2e-3, 5.7e-3 and 2.0e-2 in bfloat16; for the gradients in
bfloat16 5.4e-2 and 0.27 with a CNN, 2.7e-2 and 3.5e-2 with semi-amortised inference.
"""

NEGLIGIBLE = 1e-3
"""Share of the norm of all gradients. A smaller tensor may be off by as much as one of this share."""


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
        errors = by_tensor(self.gradients, expected.gradients)
        name = max(errors, key=errors.__getitem__)
        assert errors[name] <= allowed.each, f"the gradient of {name} is off by {errors[name]:.1e}"
        return f"loss within {loss:.0e}, gradients within {error:.0e}, each within {errors[name]:.0e}"


def distance(found: dict[str, Tensor], expected: dict[str, Tensor]) -> tuple[float, str]:
    """The 2-norm of the difference relative to that of all numbers, and where it is largest."""
    assert found.keys() == expected.keys(), "a parameter has no gradient"
    apart = {name: float((found[name] - value).norm()) for name, value in expected.items()}
    whole = sum(float(value.norm()) ** 2 for value in expected.values()) ** 0.5
    return sum(value**2 for value in apart.values()) ** 0.5 / whole, max(apart, key=apart.__getitem__)


def by_tensor(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """The 2-norm of each tensor's difference relative to its own, or to a negligible one's."""
    whole = sum(float(value.norm()) ** 2 for value in expected.values()) ** 0.5
    return {
        name: float((found[name] - value).norm()) / max(float(value.norm()), NEGLIGIBLE * whole)
        for name, value in expected.items()
    }
