"""Connect to Ray: start one on this machine for a launch, or use a running cluster."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants

from lvae_core.errors import InputError
from lvae_core.training.failures import one_line
from sweeps.cluster.daemons import end_without, watched_daemons
from sweeps.cluster.head import TOKEN, ask, check_address, is_on_loopback_alone, watched
from sweeps.cluster.own_ray import OWN_RAY, logged_error
from sweeps.cluster.replaced import environment, replaced
from sweeps.cluster.scratch_folder import check_space, own_folder
from sweeps.cluster.signals import hangup_ignored, signals_deferred
from sweeps.cluster.start_clock import LONGEST, StartClock, patient_start
from sweeps.guardian import enter_stage, has_guardian

_MIN_OBJECT_STORE = 128 * 2**20

_GIVES_UP_SECONDS = 10.0
"""How long an attempt to start Ray that has lost a process may take to fail."""

_STOP_SECONDS = 15.0
"""How long an interrupt waits for Ray to stop."""

_LOST_PROCESS = (ray.exceptions.RayError, ConnectionError, RuntimeError)
"""What Ray raises if one of its processes ends while it starts."""


@contextlib.contextmanager
def cluster(address: str | None, *, object_bytes: int = 0) -> Iterator[None]:
    """Connect to Ray for the ``with`` block.

    If the process is already connected, its connection is used and left open.

    Args:
        address: address of a running cluster (``auto``: the one of this machine). None: start a private
            Ray, which has no dashboard and accepts only connections from this machine with its token, and
            stop it at the end of the block.
        object_bytes: approximate size of what the launch keeps in the object store of a private Ray.

    Raises:
        InputError: there is no cluster at the address, it refuses the connection, or a private Ray does not
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
        # Under a guardian a terminal's end is no signal to Ray's processes, and must not be lost here.
        with contextlib.nullcontext() if has_guardian() else hangup_ignored():
            enter_stage("own Ray")
            _start(folder, max(_MIN_OBJECT_STORE, 2 * object_bytes))
        try:
            node = ray._private.worker.global_worker.node
            store = node.plasma_store_socket_name if node else ""
            with watched_daemons(store, end=partial(end_without, folder=folder)):
                yield
        finally:
            _stop()


def _start(folder: Path, object_store_bytes: int) -> None:
    """Start a private Ray and connect to it.

    It is tried again, for some minutes, if Ray's start-up limit of 30 seconds passes, and once if one of
    its processes ends meanwhile. Seconds in which they make progress do not count; see :class:`StartClock`.
    If that does not help, or hangs, this process ends, and its guardian begins anew.

    Raises:
        InputError: Ray does not start.
    """
    began, attempt, end = time.monotonic(), 0, partial(end_without, folder=folder)
    while True:
        attempt += 1
        clock = StartClock()
        try:
            with (
                _loopback(),
                _quietly(),
                _fewer_processes(),
                patient_start(clock),
                _lost_processes_end_it(clock, end) if attempt == 1 else watched_daemons(end=end),
            ):
                ray.init(
                    address="local",
                    include_dashboard=False,
                    object_store_memory=object_store_bytes,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    # Ray makes it readable for every user; the folder around it is closed to all others.
                    _temp_dir=str(folder / f"r{attempt}"),
                )
            return
        except KeyboardInterrupt:
            _stop()
            raise
        except Exception as error:
            _stop()
            check_space(folder)  # it may have filled while Ray was starting
            is_slow = "timed out during startup" in str(error)  # Ray has no class for this error
            if not is_slow and not isinstance(error, _LOST_PROCESS):
                raise
            seconds = time.monotonic() - began
            if attempt > 1 and (seconds >= LONGEST or not is_slow):
                cause = (
                    "this machine is overloaded or low on memory: stop other programs and launch again"
                    if is_slow
                    else f"{logged_error(folder) or one_line(error)}; launch again"
                )
                raise InputError(
                    f"Ray: did not start within {seconds:.0f} s, in {attempt} attempts; {cause}"
                ) from None


def _stop() -> None:
    """Stop the Ray that this process has started.

    An interrupt waits: Ray would stop the rest as Python exits, and make its folder again for this.
    """
    with signals_deferred(_STOP_SECONDS):
        ray.shutdown()


@contextlib.contextmanager
def _lost_processes_end_it(clock: StartClock, end: Callable[[str], None]) -> Iterator[None]:
    """End the attempt to start Ray if one of its processes dies, and the launch if it then hangs.

    Args:
        clock: by which the attempt measures its limit.
        end: ends the launch, for the name of a process that has died.
    """
    over = threading.Event()

    def lost(name: str) -> None:
        clock.expire()
        if not over.wait(_GIVES_UP_SECONDS):
            end(name)

    with watched_daemons(end=lost):
        try:
            yield
        finally:
            over.set()


def _nothing(*_arguments: Any, **_options: Any) -> None:
    """Stand in for a function of Ray that a launch does without."""


def _loopback() -> AbstractContextManager[None]:
    """Make a Ray that is started in the ``with`` block listen on 127.0.0.1 only.

    Ray does so only on systems for which it does not support clusters. On others it replaces a node address
    of 127.0.0.1 with one that other machines can reach.
    """
    return replaced(ray_constants, ENABLE_RAY_CLUSTER=False)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep a Ray that is connected to in the ``with`` block from printing, and from ending without a line.

    It would replace our handler of SIGTERM, and print the messages of its own processes: pages of their
    logs below the one line of an error. An interrupt while its C++ code connects would leave that half
    done, which crashes at the end of the process.
    """
    connect = ray._private.worker.connect

    def undisturbed(*arguments: Any, **options: Any) -> Any:
        with signals_deferred():
            return connect(*arguments, **options)

    with (
        replaced(ray._private.utils, set_sigterm_handler=_nothing),
        replaced(ray._private.worker, listen_error_messages=_nothing, connect=undisturbed),
    ):
        yield


def _fewer_processes() -> AbstractContextManager[None]:
    """Start a Ray in the ``with`` block without three processes that a private one does not need.

    They send workers' logs to the driver, serve a dashboard, and scale a cluster. Each takes a second or
    two of processor time to start.
    """
    return replaced(
        ray._private.node.Node,
        start_log_monitor=_nothing,
        start_api_server=_nothing,
        start_monitor=_nothing,
    )


@contextlib.contextmanager
def _connected(address: str) -> Iterator[None]:
    check_address(address)
    ask(address)
    try:
        with _loopback() if is_on_loopback_alone(address) else contextlib.nullcontext(), _quietly():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ray.exceptions.AuthenticationError) as error:
        raise InputError(f"--address {address}: {one_line(error)}; {TOKEN}") from None
    try:
        with watched(address, ray.get_runtime_context().gcs_address):
            yield
    finally:
        ray.shutdown()
