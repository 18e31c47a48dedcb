"""Read finished runs from their folders and compare them with the published numbers.

``from analysis import read_runs, read_curves, cells, comparisons`` is the API in Python: see docs/api.md.
Nothing here imports torch; a name is loaded when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = ["cells", "comparisons", "read_curves", "read_runs"]

if TYPE_CHECKING:
    from analysis.api import cells, comparisons, read_curves, read_runs
else:

    def __getattr__(name):
        if name in __all__:
            return getattr(import_module("analysis.api"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted([*globals(), *__all__])
