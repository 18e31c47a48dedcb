"""The W&B server of these tests hides no fault and ignores a request that is cut short."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from ..wandb_server.server import Server, serving

STREAM = "/files/reader/project/run/file_stream"
LATER_LINES = {"files": {"wandb-history.jsonl": {"offset": 3, "content": ["{}"]}}}
NO_NAME = {"query": "mutation UpsertBucket { x }", "variables": {"entity": "reader"}}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server whose record of requests that it does not know may hold some."""
    with serving() as server:
        yield server


def post(server: Server, path: str, body: bytes) -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    client.request("POST", path, body)
    answer = client.getresponse()
    content = answer.read()
    client.close()
    return answer.status, content


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (STREAM, json.dumps(LATER_LINES).encode(), "the client skipped lines"),
        ("/graphql", json.dumps(NO_NAME).encode(), "KeyError('name')"),
        ("/graphql", b"{", "JSONDecodeError"),
        ("/graphql", b"\xff", "UnicodeDecodeError"),
    ],
)
def test_a_request_that_the_server_does_not_expect_is_answered_and_recorded(
    server: Server, path: str, body: bytes, message: str
) -> None:
    status, content = post(server, path, body)
    assert status == 500
    assert message in json.loads(content)["error"]
    (recorded,) = server.unknown
    assert recorded.startswith(f"POST {path}: ")
    assert message in recorded


def test_an_unknown_operation_is_recorded_even_if_its_text_is_cut_inside_a_letter(server: Server) -> None:
    request = json.dumps({"query": "query Unheard { x }", "more": "\u20ac" * 1000}, ensure_ascii=False)
    assert post(server, "/graphql", request.encode())[0] == 404
    (recorded,) = server.unknown
    assert "Unheard" in recorded


@pytest.mark.parametrize(("method", "path"), [("POST", STREAM), ("PUT", "/put/config.yaml")])
def test_what_a_client_sends_before_it_is_killed_is_no_request(
    server: Server, method: str, path: str
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(f"{method} {path} HTTP/1.1\r\nContent-Length: 100\r\n\r\n{{}}".encode())
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""  # the server has read all, and closes the connection
    assert (server.unknown, server.requests, server.runs, server.uploads) == ([], [], {}, {})
