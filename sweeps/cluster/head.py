"""The head of a running cluster: check that it answers and accepts us, and watch that it stays."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import ray

from lvae_core.errors import InputError
from sweeps.guardian import end_launch

TOKEN = (
    "if it asks for a token, set RAY_AUTH_MODE=token and have the token in RAY_AUTH_TOKEN or "
    "~/.ray/auth_token"
)
"""Advice if the head refuses a connection."""

SILENCE = 45.0
"""Seconds without an answer after which a head counts as lost: somewhat less than Ray waits."""

_ANSWER_SECONDS = 10.0
_BETWEEN_SECONDS = 5.0


def check_address(address: str) -> None:
    """Check within seconds that something listens at the address; Ray itself would try for minutes.

    Raises:
        InputError: nothing does, or it is no address of a cluster's head.
    """
    if address == "auto":
        _check_found()
        return
    if address.startswith("ray://"):
        raise InputError(
            f"--address {address}: launch on a machine of the cluster, with --address auto; a launch "
            "from outside would end with its connection"
        )
    host, port = _host_and_port(address)
    if not host or not port.isdecimal():
        raise InputError(f"--address {address}: give auto, or HOST:PORT of the cluster's head")
    try:
        _knock(host, port)
    except OSError as error:
        raise InputError(f"--address {address}: nothing answers there ({error})") from None


def _check_found() -> None:
    """Check the Ray that is found here: that of a launch without ``--address`` listens to itself alone."""
    place = _found()
    if place is None or not _host_and_port(place)[1].isdecimal():
        return  # reported later
    try:
        _knock(*_host_and_port(place))
    except OSError as error:
        if os.environ.get("RAY_ADDRESS"):
            raise InputError(f"--address auto: nothing answers at RAY_ADDRESS, {place} ({error})") from None
        raise InputError(
            f"--address auto: the Ray that runs on this machine, {place}, cannot be reached ({error}); it "
            "may be that of another launch: leave out --address, or give HOST:PORT of the cluster's head"
        ) from None


def ask(address: str) -> None:
    """Check that a Ray answers and accepts us; Ray itself would try for minutes and print each attempt.

    Raises:
        InputError: no Ray answers, or it refuses the connection.
    """
    place = _found() if address == "auto" else address
    if place is None:
        return  # ray.init reports this
    problem = _question(place)
    if problem == "UNAUTHENTICATED":
        raise InputError(f"--address {address}: Ray refuses the connection; {TOKEN}")
    if problem:
        raise InputError(
            f"--address {address}: no Ray answers at {place} ({problem}); give HOST:PORT of the cluster's "
            "head, whose default port is 6379"
        )


@contextlib.contextmanager
def watched(address: str, place: str, *, silence: float = SILENCE) -> Iterator[None]:
    """End this process, with one line and status 2, if the head falls silent in the ``with`` block.

    Ray would do so as well, a minute later and with its own message. Until then all calls into Ray hang, so
    ending the process is all that can be done.

    Args:
        address: address of the cluster, as the user gave it.
        place: HOST:PORT of its head.
        silence: seconds that a head may be silent.
    """
    over = threading.Event()
    threading.Thread(target=_watch, args=(address, place, silence, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(address: str, place: str, silence: float, over: threading.Event) -> None:
    heard = time.monotonic()
    while not over.wait(min(_BETWEEN_SECONDS, silence / 4)):
        if not _question(place):
            heard = time.monotonic()
        elif time.monotonic() - heard > silence and not over.is_set():
            end_launch(f"--address {address}: its head has not answered for {silence:g} s")


def _question(place: str) -> str:
    """The reason why the head does not answer a small request; empty if it answers.

    Also empty if the package grpcio, which comes with ``ray[default]``, is missing.
    """
    try:
        import grpc
        from ray._private.grpc_utils import init_grpc_channel
        from ray.core.generated import gcs_service_pb2_grpc
    except ImportError:
        return ""
    messages: Any = importlib.import_module("ray.core.generated.gcs_service_pb2")
    channel = init_grpc_channel(place, options=[("grpc.enable_http_proxy", 0)])
    try:
        service: Any = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)  # type: ignore[no-untyped-call]
        service.GetClusterId(messages.GetClusterIdRequest(), timeout=_ANSWER_SECONDS)
    except ray.exceptions.AuthenticationError:  # this process has no token
        return "UNAUTHENTICATED"
    except grpc.RpcError as error:
        return str(error.code().name)
    finally:
        channel.close()
    return ""


def _found() -> str | None:
    """Return the address at which Ray would find the cluster of this machine."""
    try:
        place: str | None = ray._private.services.canonicalize_bootstrap_address("auto")
    except (ConnectionError, ValueError):
        return None
    return place


def is_on_loopback_alone(address: str) -> bool:
    """Whether a head at 127.0.0.1 is out of Ray's reach: Ray replaces 127.0.0.1 with an outside address."""
    host, port = _host_and_port(address)
    if host not in ("127.0.0.1", "localhost"):
        return False
    try:
        _knock(ray.util.get_node_ip_address(), port)  # type: ignore[no-untyped-call]
    except OSError:
        return True
    return False


def _host_and_port(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return host, port


def _knock(host: str, port: str) -> None:
    """Raise OSError if nothing listens."""
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except OverflowError as error:
        raise OSError(str(error)) from None
