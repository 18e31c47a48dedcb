"""A Ray to run on: one of this launch's own on this machine, or one that is already there."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import ray
from ray._private import ray_constants

from lvae_core.errors import InputError
from lvae_core.training.failures import one_line
from sweeps.cluster.head import TOKEN, ask, check_address, is_on_loopback_alone, watched
from sweeps.cluster.scratch_folder import own_folder

_MIN_OBJECT_STORE = 128 * 2**20


@contextlib.contextmanager
def cluster(address: str | None, *, object_bytes: int = 0) -> Iterator[None]:
    """Be connected to Ray inside the ``with`` block.

    Args:
        address: of a running cluster (``auto``: the one of this machine); None: start a Ray of our own,
            reachable from this machine and with its token only, without a dashboard, and end it with the
            block.
        object_bytes: about how much the launch will keep in the object store of a Ray that it starts.

    A process that is connected already stays so, before and after.

    Raises:
        InputError: there is no cluster at the address, or it does not let us in; a Ray of our own does not
            start.
    """
    if ray.is_initialized():
        yield
        return
    if address is not None:
        with _connected(address):
            yield
        return
    with own_folder("ray") as folder, environment(OWN_RAY):
        _start(folder, max(_MIN_OBJECT_STORE, 2 * object_bytes))
        try:
            yield
        finally:
            ray.shutdown()


def _start(folder: Path, object_store_bytes: int) -> None:
    """Start a Ray of our own and connect to it; once more if it takes the 30 seconds that Ray waits for."""
    for attempt in (1, 2):
        try:
            with _loopback():
                ray.init(
                    address="local",
                    include_dashboard=False,
                    object_store_memory=object_store_bytes,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    # Ray opens it to every user; the folder around it is closed to all but this one.
                    _temp_dir=str(folder / f"r{attempt}"),
                )
            return
        except Exception as error:
            ray.shutdown()
            if "timed out during startup" not in str(error):  # Ray has no class for it
                raise
    raise InputError(
        "Ray: did not start within 30 s, twice; this machine has too much to do or too little memory: stop "
        "something else and launch again"
    )


@contextlib.contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables, or unset them with None, inside the ``with`` block."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


# Ray's processes inherit the token from the environment, which other users cannot read: it stands in no
# command line and no file. Ray remembers the first token it sees, so a process keeps to one. Ray asks for
# tokens where no mode is set; it reads one that is set when it is imported, which is too early for us.
OWN_RAY = {
    "RAY_AUTH_MODE": None,
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
"""Environment of a process that starts Ray."""


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """Have a Ray that is started in the ``with`` block listen on 127.0.0.1 and nowhere else.

    Ray offers that for systems on which it supports no clusters; elsewhere it replaces 127.0.0.1, if it is
    given as the node's address, by one that others can reach.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def _connected(address: str) -> Iterator[None]:
    check_address(address)
    ask(address)
    try:
        with _loopback() if is_on_loopback_alone(address) else contextlib.nullcontext():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ray.exceptions.AuthenticationError) as error:
        raise InputError(f"--address {address}: {one_line(error)}; {TOKEN}") from None
    try:
        with watched(address, ray.get_runtime_context().gcs_address):
            yield
    finally:
        ray.shutdown()
