"""A W&B server on loopback that answers what the client needs and records everything that it receives.

It answers GraphQL operations by name, the file stream, and file uploads. Any other request gets 404, and
one with content that it does not expect gets 500. Tests check that ``unknown``, which records both, stays
empty.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from . import artifacts, operations
from .artifacts import Artifact

OPERATIONS = {**operations.OPERATIONS, **artifacts.OPERATIONS}

_STREAM = re.compile(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream")


@dataclass
class Run:
    """A W&B run as the server knows it."""

    id: str
    entity: str
    project: str
    fields: dict[str, Any] = field(default_factory=dict)
    """Arguments of upsertBucket by name; later values replace earlier ones."""
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)
    """States in order: running, then finished, failed or preempted, then running again …"""
    preempting: bool = False
    rewritten: int = 0
    """Number of history lines that were sent again, to an offset that already had one."""

    @property
    def config(self) -> dict[str, Any]:
        """The config without the entries that the client adds."""
        config = json.loads(self.fields.get("config") or "{}")
        return {name: entry["value"] for name, entry in config.items() if name != "_wandb"}

    @property
    def client(self) -> dict[str, Any]:
        """The entries that the client adds to the config, such as the definitions of metrics."""
        config = json.loads(self.fields.get("config") or "{}")
        return dict(config.get("_wandb", {}).get("value", {}))

    def rows(self) -> list[dict[str, Any]]:
        """Return the history without the client's internal columns."""
        return [{k: v for k, v in row.items() if not k.startswith("_")} for row in self.history]


class Server:
    """The state of the server and its answers. One lock guards it: the client sends in parallel."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.runs: dict[str, Run] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.uploads: dict[str, bytes] = {}
        """Path of an upload -> its content."""
        self.deleted: set[str] = set()
        """Ids of runs that were deleted: the server never takes them again."""
        self.views: dict[str, dict[str, Any]] = {}
        self.projects: set[str] = set()
        self.requests: list[str] = []
        self.unknown: list[str] = []
        self.keys: set[str] = set()
        self.broken = False
        """While this is set, every request is answered with 503."""
        self.refuse = ""
        """While this is set, the file stream of the run with this id gets 404, which is final."""
        self.refuses_uploads = False
        """While this is set, uploads of files get 503, after which the client retries."""
        self._http: _Http | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start to listen; after a stop, on the same port as before."""
        server = self

        class Handler(_Handler):
            owner = server

        self._http = _Http(("127.0.0.1", self.port), Handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and keep all recorded state."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    @contextmanager
    def down(self) -> Iterator[None]:
        """Be unreachable during the ``with`` block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Answer every request with 503 during the ``with`` block."""
        self.broken = True
        try:
            yield
        finally:
            self.broken = False

    def delete(self, name: str) -> None:
        """Delete a run, as a person on W&B's page."""
        with self.lock:
            del self.runs[name]
            self.deleted.add(name)

    def run(self, entity: str, project: str, name: str) -> Run:
        return self.runs.setdefault(name, Run(name, entity, project))

    def stream(self, run: Run, body: dict[str, Any]) -> None:
        """Record one request of the file stream."""
        files = body.get("files") or {}
        if history := files.get("wandb-history.jsonl"):
            for place, line in enumerate(history["content"], start=history["offset"]):
                row = json.loads(line)
                assert place <= len(run.history), "the client skipped lines"
                if place < len(run.history):
                    run.rewritten += 1
                    run.history[place] = row
                else:
                    run.history.append(row)
        if summary := files.get("wandb-summary.json"):
            run.summary = json.loads(summary["content"][-1])
        run.preempting = body.get("preempting", run.preempting)
        if body.get("complete"):
            bad = "preempted" if run.preempting else "failed"
            run.states.append(bad if body.get("exitcode") else "finished")


class _Http(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections, because tests kill clients; report other errors as usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving() -> Iterator[Server]:
    """A server that runs in the ``with`` block."""
    server = Server()
    server.start()
    try:
        yield server
    finally:
        server.stop()


class _Handler(BaseHTTPRequestHandler):
    owner: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self._serve(self._post)

    def do_PUT(self) -> None:
        self._serve(self._put)

    def do_GET(self) -> None:
        self._serve(self._get)

    def _serve(self, handle: Any) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # the client was killed while it sent
            self.close_connection = True
            return
        with self.owner.lock:
            self._answer(handle, body)

    def _get(self, body: bytes) -> dict[str, Any] | None:
        self.owner.requests.append(f"GET {self.path}")
        return {} if self.path == "/healthz" else None

    def _put(self, body: bytes) -> dict[str, Any]:
        self.owner.uploads[self.path] = body
        return {}

    def _post(self, body: bytes) -> dict[str, Any] | None:
        if "Authorization" in self.headers:
            self.owner.keys.add(self.headers["Authorization"])
        if self.path.startswith("/sdk/otel/"):  # the client's telemetry about itself, in protobuf
            return {}
        request = json.loads(body)
        if self.path == "/graphql":
            name = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
            operation = name[1] if name else "?"
            self.owner.requests.append(operation)
            answer = OPERATIONS.get(operation)
            if answer is None:
                return None
            return {"data": answer(self.owner, request.get("variables") or {})}
        if match := _STREAM.fullmatch(self.path):
            entity, project, run = match.groups()
            self.owner.requests.append("file_stream")
            if run == self.owner.refuse:
                return None
            self.owner.stream(self.owner.run(entity, project, run), request)
            return {"limits": {}}
        return None

    def _answer(self, handle: Any, body: bytes) -> None:
        status, answer = 200, None
        if self.owner.broken or (self.command == "PUT" and self.owner.refuses_uploads):
            status = 503
        else:
            try:
                answer = handle(body)
            except operations.RefusedError as error:
                status, answer = error.status, {"errors": [{"message": str(error)}], "data": None}
            except Exception as error:  # else a broken connection, after which the client only retries
                status, answer = 500, {"error": repr(error)}
                self.owner.unknown.append(f"{self.command} {self.path}: {error!r}")
            if answer is None:
                status = 404
                content = body[:2000].decode(errors="replace")
                self.owner.unknown.append(f"{self.command} {self.path} {content}")
        data = json.dumps(answer or {"error": "not here"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass
