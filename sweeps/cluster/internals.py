"""Small uses of Ray's internals, as read in Ray 2.60.

A node may have no copy of this project, so these functions travel to it by value: import only Ray here, and
inside the functions. ``connect`` and ``head`` use the internals that they need in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray


def session_folder() -> str:
    """The folder of Ray's logs, sockets and spilled objects on this node."""
    node: Any = ray._private.worker._global_node
    return str(node.get_session_dir_path())


def dashboard_address() -> str | None:
    """HOST:PORT of the cluster's dashboard, if there is one."""
    node: Any = ray._private.worker._global_node
    return node.webui_url or None


def validate_cluster_config(config: Mapping[str, Any]) -> None:
    """Check the content of a file for `ray up` against Ray's schema.

    Raises:
        jsonschema.ValidationError: the content does not fit the schema.
        Exception: Ray finds another error.
    """
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(dict(config)))
