"""One run of a latent-variable text model: data, model, training, estimates, run folder.

``from lvae_core import recipe, train, evaluate, load, generate`` is the API in Python: see docs/api.md.
Importing this package loads neither torch nor numpy; a name is loaded when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lvae_core.api import Run, evaluate, generate, interpolate, load, reconstruct, train
    from lvae_core.config import RunConfig
    from lvae_core.data.describe import describe
    from lvae_core.data.new_run import recipe
    from lvae_core.errors import InputError
    from lvae_core.systems import SYSTEMS
else:
    _HOMES = {
        "lvae_core.api": ("Run", "evaluate", "generate", "interpolate", "load", "reconstruct", "train"),
        "lvae_core.config": ("RunConfig",),
        "lvae_core.data.describe": ("describe",),
        "lvae_core.data.new_run": ("recipe",),
        "lvae_core.errors": ("InputError",),
        "lvae_core.systems": ("SYSTEMS",),
    }

    def __getattr__(name):
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(home), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted([*globals(), *__all__])


__all__ = [
    "SYSTEMS",
    "InputError",
    "Run",
    "RunConfig",
    "describe",
    "evaluate",
    "generate",
    "interpolate",
    "load",
    "recipe",
    "reconstruct",
    "train",
]
