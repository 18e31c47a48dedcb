"""An S3 server with injected faults: a proxy before moto, both on loopback.

Give the client the proxy's address as its endpoint: requests are signed for that host, and the proxy
forwards them unchanged. S3 checks for an object and writes it in one atomic step, but moto does so in two
steps; so the proxy forwards one PUT at a time.
"""

import http.client
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal["LIST", "GET", "PUT", "COPY", "HEAD", "DELETE", "POST"]
HOP_BY_HOP = {"connection", "keep-alive", "expect", "transfer-encoding"}


@dataclass
class Fault:
    """A fault of some of the requests.

    ``refuse``: answer with ``status`` and ``code`` and do nothing. ``delay``: wait for ``seconds``, then
    forward the request. ``drop``: break the connection and do nothing. ``lose``: forward the request, but
    break the connection before the answer. ``cut``: break the connection in the middle of the answer.
    """

    action: Literal["refuse", "delay", "drop", "lose", "cut"]
    kinds: tuple[Kind, ...] = ()
    """Kinds of requests; () for all."""
    times: int | None = None
    """Largest number of faults; None for no limit."""
    share: float = 1.0
    """Probability of a fault, drawn from ``seed``."""
    key: str = ""
    """Affect only requests whose key ends with this."""
    status: int = 503
    code: str = "SlowDown"
    seconds: float = 0.0
    seed: int = 2019
    hits: int = 0
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def applies(self, kind: Kind, key: str) -> bool:
        """Decide whether the fault affects this request, and count it if so."""
        if (self.kinds and kind not in self.kinds) or not key.endswith(self.key):
            return False
        if (self.times is not None and self.hits >= self.times) or self._dice.random() >= self.share:
            return False
        self.hits += 1
        return True


@dataclass(frozen=True)
class Request:
    kind: Kind
    bucket: str
    key: str
    """For a LIST, the prefix."""
    status: int
    """The status of the answer; 0 if the connection broke."""


class Proxy:
    """A proxy on loopback before a server at ``host:port``."""

    def __init__(self, host: str, port: int) -> None:
        self.behind = (host, port)
        self.lock = threading.Lock()
        self.one_put = threading.Lock()
        self._faults: list[Fault] = []
        self._log: list[Request] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def fault(self, action: str, *kinds: Kind, **options: object) -> Fault:
        """Inject a fault from now on; see :class:`Fault`."""
        fault = Fault(action, kinds, **options)  # type: ignore[arg-type]
        with self.lock:
            self._faults.append(fault)
        return fault

    def calm(self) -> None:
        """End all faults."""
        with self.lock:
            self._faults.clear()

    @contextmanager
    def down(self) -> Iterator[Fault]:
        """Answer no request during the ``with`` block."""
        fault = self.fault("drop")
        try:
            yield fault
        finally:
            with self.lock:
                self._faults.remove(fault)

    def requests(self, *kinds: Kind) -> list[Request]:
        """Return all requests so far, or those of some kinds, in the order of their answers."""
        with self.lock:
            return [request for request in self._log if not kinds or request.kind in kinds]

    def counts(self) -> Counter[Kind]:
        return Counter(request.kind for request in self.requests())

    def forget(self) -> None:
        """Clear the log of requests."""
        with self.lock:
            self._log.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_fault(self, kind: Kind, key: str) -> Fault | None:
        """Return the fault of this request, if any, and count it."""
        with self.lock:
            return next((fault for fault in self._faults if fault.applies(kind, key)), None)

    def log(self, request: Request) -> None:
        with self.lock:
            self._log.append(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    proxy: Proxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: a client that has timed out is no error of this server."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def pass_on(self) -> None:
        proxy = self.server.proxy
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # its client was killed: moto would wait for the rest, and others for moto
            self.close_connection = True
            return
        kind, bucket, key = self._parse()
        fault = proxy.next_fault(kind, key)
        action = fault.action if fault else ""
        if fault and action == "delay":
            time.sleep(fault.seconds)
        if fault and action in ("refuse", "drop"):
            proxy.log(Request(kind, bucket, key, fault.status if action == "refuse" else 0))
            if action == "drop":
                self._break()
            else:
                message = f"<Error><Code>{fault.code}</Code><Message>injected</Message></Error>".encode()
                self._answer(fault.status, [("Content-Type", "application/xml")], message, len(message))
            return
        status, headers, answer = self._ask(body)
        broken = action in ("lose", "cut")
        proxy.log(Request(kind, bucket, key, 0 if broken else status))
        if action != "lose":
            length = int(dict(headers).get("Content-Length", len(answer)))
            self._answer(status, headers, answer[: len(answer) // 2] if action == "cut" else answer, length)
        if broken:
            self._break()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on  # noqa: N815

    def _parse(self) -> tuple[Kind, str, str]:
        address = urlsplit(self.path)
        bucket, _, key = unquote(address.path).lstrip("/").partition("/")
        query = parse_qs(address.query, keep_blank_values=True)
        if self.command == "GET" and not key:
            return "LIST", bucket, query.get("prefix", [""])[0]
        if self.command == "PUT" and "x-amz-copy-source" in self.headers:
            return "COPY", bucket, key
        return self.command, bucket, key  # type: ignore[return-value]

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        server = http.client.HTTPConnection(*self.server.proxy.behind, timeout=240)
        try:
            if self.command == "PUT":
                self.server.proxy.one_put.acquire()
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    server.putheader(name, value)
            server.endheaders(body)
            answer = server.getresponse()
            headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in HOP_BY_HOP]
            return answer.status, headers, answer.read()
        finally:
            if self.command == "PUT":
                self.server.proxy.one_put.release()
            server.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, length: int) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _break(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        # shutdown, not close: the client must see it now, even if another thread holds the socket.
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Print nothing: the proxy has its log of requests."""
