"""An S3-compatible server on loopback, and a proxy before it that fails as networks and overloaded stores do."""

from __future__ import annotations

import http.client
import logging
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from moto.server import ThreadedMotoServer

ACCESS_KEY = "a-key-of-tests"
SECRET_KEY = "a-secret-of-tests"
# As Amazon's S3 answers: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_WRONG_KEY = (
    b"<Error><Code>InvalidAccessKeyId</Code>"
    b"<Message>The AWS Access Key Id you provided does not exist in our records.</Message></Error>"
)
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass
class Faults:
    """What the proxy does to requests. Counts go down with each request that met its fault.

    Attributes:
        away: whether every request is answered with 503.
        refusals: how many requests are answered with 503.
        cuts: how many uploads of at least `cut_bytes` lose their connection in the middle.
        cut_bytes: how long an upload must be to be cut.
        stalled: while it is set, uploads of at least `cut_bytes` are taken and not passed on.
        requests: method and path of every request that came.
    """

    away: bool = False
    refusals: int = 0
    cuts: int = 0
    cut_bytes: int = 1
    stalled: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class ObjectStore:
    """A server with its proxy.

    Attributes:
        url: the proxy's address.
        faults: how the proxy behaves.
    """

    url: str
    faults: Faults
    _direct_url: str

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which a process finds the server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    def client(self) -> boto3.client:
        """Returns another implementation's client, which does not pass the proxy."""
        return boto3.client(
            "s3",
            endpoint_url=self._direct_url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )

    def keys(self, bucket: str, prefix: str = "") -> dict[str, int]:
        """Returns the sizes of all objects below a prefix by key; empty marks of folders are left out."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [each for page in pages for each in page.get("Contents", ())]
        return {each["Key"]: each["Size"] for each in found if not each["Key"].endswith("/")}


@contextmanager
def google(program: str) -> Iterator[str]:
    """Runs a stand-in for Google Cloud Storage, the program fake-gcs-server, and yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory", "-external-url", url]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, "fake-gcs-server has ended"
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait()


@contextmanager
def running() -> Iterator[ObjectStore]:
    """Runs server and proxy on free ports of loopback."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address, port = server.get_host_and_port()
    faults = Faults()
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(address, port, faults))
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield ObjectStore(f"http://127.0.0.1:{proxy.server_address[1]}", faults, f"http://{address}:{port}")
    finally:
        proxy.shutdown()
        proxy.server_close()
        server.stop()


def _handler(address: str, port: int, faults: Faults) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            with lock:
                faults.requests.append((self.command, self.path))
                is_cut = self.command == "PUT" and length >= faults.cut_bytes and faults.cuts > 0
                faults.cuts -= is_cut
                is_refused = faults.away or (faults.refusals > 0 and not is_cut)
                faults.refusals -= faults.refusals > 0 and not is_cut and not faults.away
            if is_cut:
                self.rfile.read(length // 2)
                self.close_connection = True
                self.connection.close()
                return
            body = self.rfile.read(length)
            while faults.stalled.is_set() and self.command == "PUT" and length >= faults.cut_bytes:
                time.sleep(0.05)
            if f"Credential={ACCESS_KEY}/" not in self.headers.get("Authorization", ""):
                self._answer(403, {"Content-Type": "application/xml"}, _WRONG_KEY)
                return
            if is_refused:
                self._answer(503, {"Content-Type": "application/xml"}, _SLOW_DOWN)
                return
            connection = http.client.HTTPConnection(address, port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self._answer(answer.status, dict(answer.getheaders()), answer.read())
            connection.close()

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: `faults.requests` has it."""

    return Handler
