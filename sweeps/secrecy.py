"""Keep the user's keys out of Ray's logs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ray.tune.execution import class_cache


@contextlib.contextmanager
def keys_stay_here() -> Iterator[None]:
    """Have Tune send no keys to the processes that it starts inside the ``with`` block.

    It would send those of AWS in the description of each process's environment, which Ray's agent on the
    node writes to its log as it is. Nodes of a cluster have keys of their own (a role, or the environment
    that Ray was started in); a Ray of this launch's own inherits the environment.
    """
    before = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in before if not name.startswith("AWS_")}
    try:
        yield
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE = before
