"""A proxy that spoils a share of the answers of an S3 server, as networks and busy stores do.

Host and path go through as they came, so that signatures stay valid.
"""

import http.client
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, cast
from urllib.parse import urlsplit

Fault = Literal["slow_down", "reset", "cut_short", "unavailable", "delay"]

DELAY_S = 0.2
_ERRORS = {"slow_down": "SlowDown", "unavailable": "ServiceUnavailable"}


class FaultProxy(ThreadingHTTPServer):
    """Each answer is spoiled with the probability `share`, drawn from a fixed seed."""

    daemon_threads = True
    # Many connections at once, all of them new after a reset.
    request_queue_size = 128

    def __init__(self, upstream: str, fault: Fault, share: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = cast(str, urlsplit(upstream).netloc)
        self.fault = fault
        self.share = share
        self.num_requests = 0
        self.num_spoiled = 0
        self._random = random.Random(7)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def draw(self) -> Fault | None:
        with self._lock:
            is_spoiled = self._random.random() < self.share
            self.num_requests += 1
            self.num_spoiled += is_spoiled
        return self.fault if is_spoiled else None


@contextmanager
def fault_proxy(upstream: str, fault: Fault, share: float) -> Iterator[FaultProxy]:
    with FaultProxy(upstream, fault, share) as proxy:
        threading.Thread(target=proxy.serve_forever, args=[0.02], daemon=True).start()
        yield proxy
        proxy.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def do_GET(self) -> None:
        # Also where no answer depends on it: what is left on the connection would be taken for the next request.
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.draw()
        if fault in _ERRORS:
            self._answer(503, [], f"<Error><Code>{_ERRORS[fault]}</Code><Message>wait</Message></Error>".encode())
            return
        if fault == "delay":
            time.sleep(DELAY_S)
        status, headers, body = self._ask(sent)
        if fault == "reset":
            self._reset()
        elif fault == "cut_short" and len(body) > 1:
            self._answer(status, headers, body, num_sent=len(body) // 2)
            self.close_connection = True
        else:
            self._answer(status, headers, body)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _ask(self, sent: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(sent)
            answer = upstream.getresponse()
            body = answer.read()
            headers = [
                pair for pair in answer.getheaders() if pair[0].lower() not in ("connection", "transfer-encoding")
            ]
            return answer.status, headers, body
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, num_sent: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:num_sent])

    def _reset(self) -> None:
        """Closing with the linger time at zero sends RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
