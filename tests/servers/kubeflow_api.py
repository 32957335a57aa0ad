"""A server that answers as Kubeflow Pipelines' API does, version 2, in the messages of KFP's OpenAPI definitions.

It keeps pipelines, versions, experiments and runs in memory. Requests are read, and answers written, by the classes
that the KFP project generates from its definitions; what does not fit them is refused as the real server refuses it. It
runs nothing: a run is in the state that a test gives it.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import policy
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import kfp_server_api as api
import pytest
import yaml

PREFIX = "/apis/v2beta1"


class RefusedError(Exception):
    """Indicates a request that the server does not do, with the status and the message of its answer."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


@dataclass
class Trouble:
    """What a server does wrong with the requests whose method and path a pattern fits, so many times.

    Attributes:
        kind: a status, `slow`, `cut` (half of the answer arrives), `lost` (none does, though the request was done),
            `page` (a web page to sign in on).
    """

    pattern: str
    kind: int | str
    times: int = 1_000_000


@dataclass
class KubeflowApi:
    """The server's state, and where it is.

    Attributes:
        address: where it answers.
        multi_user: whether users have namespaces, which requests must name.
        token: what it wants to hear; None if it lets everybody in.
        trouble: what goes wrong.
        requests: method and path of each request, in order.
    """

    address: str = ""
    multi_user: bool = False
    token: str | None = None
    trouble: list[Trouble] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    pipelines: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    experiments: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Any] = field(default_factory=dict)
    # What slow answers wait for.
    released: threading.Event = field(default_factory=threading.Event)
    has_runs: threading.Event = field(default_factory=threading.Event)

    def answer(self, method: str, path: str, query: dict[str, str], headers: Message, body: bytes) -> Any:
        """Does a request and returns the message to answer with."""
        if self.token is not None and headers["authorization"] != f"Bearer {self.token}":
            raise RefusedError(401, "Unauthenticated")
        for wanted, pattern, handler in _ROUTES:
            match = re.fullmatch(PREFIX + pattern, path)
            if match and wanted == method:
                return handler(self, _Request(query, headers, body, *map(unquote, match.groups())))
        raise RefusedError(404, "Not Found")

    def wants_namespace(self, namespace: str | None) -> str:
        """Checks the namespace of a request."""
        if self.multi_user and not namespace:
            raise RefusedError(400, "Invalid input error: A namespace is required in multi-user mode")
        if not self.multi_user and namespace:
            raise RefusedError(400, "Invalid input error: In single-user mode, namespace must be empty")
        return namespace or ""


class _Request:
    def __init__(self, query: dict[str, str], headers: Message, body: bytes, *names: str):
        self.query = query
        self.names = names
        self._headers = headers
        self._body = body

    def message(self, kind: type[Any]) -> Any:
        """Reads the body as a message of KFP's."""
        found = json.loads(self._body)
        unknown = set(found) - set(kind.attribute_map.values())
        if unknown:
            raise RefusedError(400, f"unknown field {sorted(unknown)[0]!r} in {kind.__name__}")
        return _read(found, kind)

    def file(self) -> Any:
        """Reads an uploaded package."""
        head = b"Content-Type: " + self._headers["content-type"].encode() + b"\n\n"
        form = BytesParser(policy=policy.default).parsebytes(head + self._body)
        [content] = [part.get_content() for part in form.iter_parts() if part.get_filename()]
        documents = list(yaml.safe_load_all(content))
        if not documents or "pipelineInfo" not in documents[0]:
            raise RefusedError(
                400, "Failed to create a pipeline (version): Invalid input error: unknown template format"
            )
        return {"pipeline_spec": documents[0], "platform_spec": documents[1] if len(documents) > 1 else {}}


def _health(server: KubeflowApi, request: _Request) -> Any:
    return api.V2beta1GetHealthzResponse(multi_user=server.multi_user, pipeline_store="database")


def _list_pipelines(server: KubeflowApi, request: _Request) -> Any:
    namespace = server.wants_namespace(request.query.get("namespace"))
    found = [each for each in _fitting(server.pipelines, request) if (each.namespace or "") == namespace]
    return api.V2beta1ListPipelinesResponse(pipelines=found or None, total_size=len(found))


def _upload_pipeline(server: KubeflowApi, request: _Request) -> Any:
    namespace = server.wants_namespace(request.query.get("namespace"))
    name = request.query["name"]
    if any((each.display_name, each.namespace or "") == (name, namespace) for each in server.pipelines.values()):
        raise RefusedError(409, f"Already exist error: The name {name} already exist. Please specify a new name")
    spec = request.file()
    made = api.V2beta1Pipeline(
        pipeline_id=_new_id(),
        display_name=name,
        name=name,
        description=request.query.get("description"),
        namespace=namespace or None,
        created_at=_now(),
    )
    server.pipelines[made.pipeline_id] = made
    _add_version(server, made.pipeline_id, name, spec)  # as the real one does
    return made


def _upload_version(server: KubeflowApi, request: _Request) -> Any:
    pipeline_id = request.query["pipelineid"]
    if pipeline_id not in server.pipelines:
        raise RefusedError(404, f"ResourceNotFoundError: Pipeline {pipeline_id} not found")
    return _add_version(server, pipeline_id, request.query["name"], request.file())


def _add_version(server: KubeflowApi, pipeline_id: str, name: str, spec: Any) -> Any:
    if any((each.pipeline_id, each.display_name) == (pipeline_id, name) for each in server.versions.values()):
        raise RefusedError(409, f"Already exist error: The name {name} already exist")
    made = api.V2beta1PipelineVersion(
        pipeline_id=pipeline_id,
        pipeline_version_id=_new_id(),
        display_name=name,
        name=name,
        created_at=_now(),
        pipeline_spec=spec,
    )
    server.versions[made.pipeline_version_id] = made
    return made


def _list_versions(server: KubeflowApi, request: _Request) -> Any:
    found = [each for each in _fitting(server.versions, request) if each.pipeline_id == request.names[0]]
    return api.V2beta1ListPipelineVersionsResponse(pipeline_versions=found or None, total_size=len(found))


def _list_experiments(server: KubeflowApi, request: _Request) -> Any:
    namespace = server.wants_namespace(request.query.get("namespace"))
    found = [each for each in _fitting(server.experiments, request) if (each.namespace or "") == namespace]
    return api.V2beta1ListExperimentsResponse(experiments=found or None, total_size=len(found))


def _create_experiment(server: KubeflowApi, request: _Request) -> Any:
    made = request.message(api.V2beta1Experiment)
    server.wants_namespace(made.namespace)
    made.experiment_id, made.created_at = _new_id(), _now()
    server.experiments[made.experiment_id] = made
    return made


def _create_run(server: KubeflowApi, request: _Request) -> Any:
    made = request.message(api.V2beta1Run)
    reference = made.pipeline_version_reference
    version = server.versions.get(reference.pipeline_version_id if reference else "")
    if version is None or version.pipeline_id != reference.pipeline_id:
        raise RefusedError(404, "ResourceNotFoundError: PipelineVersion not found")
    if made.experiment_id not in server.experiments:
        raise RefusedError(404, f"ResourceNotFoundError: Experiment {made.experiment_id} not found")
    declared = version.pipeline_spec["pipeline_spec"]["root"].get("inputDefinitions", {}).get("parameters", {})
    given = (made.runtime_config.parameters if made.runtime_config else None) or {}
    for name in given:
        if name not in declared:
            raise RefusedError(400, f"Invalid input error: unknown parameter {name!r}")
    for name, entry in declared.items():
        if name not in given and "defaultValue" not in entry and not entry.get("isOptional"):
            raise RefusedError(400, f"Invalid input error: parameter {name!r} is required")
    made.run_id, made.state, made.created_at = _new_id(), api.V2beta1RuntimeState.PENDING, _now()
    server.runs[made.run_id] = made
    server.has_runs.set()
    return made


def _list_runs(server: KubeflowApi, request: _Request) -> Any:
    wanted = request.query.get("experiment_id")
    found = [each for each in _fitting(server.runs, request) if wanted in (None, each.experiment_id)]
    return api.V2beta1ListRunsResponse(runs=found or None, total_size=len(found))


def _run(server: KubeflowApi, request: _Request) -> Any:
    if request.names[0] not in server.runs:
        raise RefusedError(404, f"ResourceNotFoundError: Run {request.names[0]} not found")
    return server.runs[request.names[0]]


def _terminate_run(server: KubeflowApi, request: _Request) -> Any:
    _run(server, request).state = api.V2beta1RuntimeState.CANCELING
    return {}


def _retry_run(server: KubeflowApi, request: _Request) -> Any:
    run = _run(server, request)
    if run.state not in ("FAILED", "CANCELED"):
        raise RefusedError(400, f"Bad request: Workflow cannot be retried with node {run.state}")
    run.state = api.V2beta1RuntimeState.PENDING
    return {}


_ROUTES: list[tuple[str, str, Callable[[KubeflowApi, _Request], Any]]] = [
    ("GET", "/healthz", _health),
    ("GET", "/pipelines", _list_pipelines),
    ("POST", "/pipelines/upload", _upload_pipeline),
    ("POST", "/pipelines/upload_version", _upload_version),
    ("GET", "/pipelines/([^/]+)/versions", _list_versions),
    ("GET", "/experiments", _list_experiments),
    ("POST", "/experiments", _create_experiment),
    ("POST", "/runs", _create_run),
    ("GET", "/runs", _list_runs),
    ("GET", "/runs/([^/:]+)", _run),
    ("POST", "/runs/([^/:]+):terminate", _terminate_run),
    ("POST", "/runs/([^/:]+):retry", _retry_run),
]


def _fitting(known: dict[str, Any], request: _Request) -> Iterator[Any]:
    """What fits the request's filter: KFP's predicates, of which only equal names are known here."""
    predicates = json.loads(request.query.get("filter") or "{}").get("predicates", [])
    for each in known.values():
        for predicate in predicates:
            if predicate["operation"] not in ("EQUALS", 1) or predicate["key"] != "display_name":
                raise RefusedError(400, f"Invalid input error: filter {predicate}")
            if each.display_name != predicate["stringValue"]:
                break
        else:
            yield each


def _new_id() -> str:
    return str(uuid.uuid4())


def _now() -> datetime:
    return datetime.now(UTC)


def _read(found: Any, kind: type[Any]) -> Any:
    """Reads a message, with the types that KFP's definitions give its fields."""

    class Response:
        data = json.dumps(found)

    return api.ApiClient().deserialize(Response, kind.__name__)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""

    def _serve(self) -> None:
        known = self.server.known
        parts = urlsplit(self.path)
        asked = f"{self.command} {parts.path}"
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        known.requests.append(asked)
        kind = _trouble(known, asked)
        if kind == "slow":
            known.released.wait(60)
        if kind == "page":
            self._send(200, b"<!doctype html><title>Sign in</title>", "text/html")
            return
        try:
            if isinstance(kind, int):
                raise RefusedError(kind, "so the test wants it")
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            with self.server.one_at_a_time:
                status, answer = 200, known.answer(self.command, parts.path, query, self.headers, body)
        except RefusedError as error:
            status, answer = error.status, {"error": str(error), "code": error.status, "message": str(error)}
        content = json.dumps(api.ApiClient().sanitize_for_serialization(answer)).encode()
        if kind == "lost":
            self.close_connection = True
            return
        self._send(status, content, "application/json", cut=kind == "cut")

    def _send(self, status: int, content: bytes, kind: str, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        with suppress(ConnectionError):  # who asked has not waited
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True


def _trouble(known: KubeflowApi, asked: str) -> int | str | None:
    for each in known.trouble:
        if each.times and re.search(each.pattern, asked):
            each.times -= 1
            return each.kind
    return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    known: KubeflowApi
    one_at_a_time = threading.Lock()


@contextmanager
def serving() -> Iterator[KubeflowApi]:
    """A server on this machine, on a port of its own, until the end of the block."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.known = KubeflowApi(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.known
        finally:
            server.known.released.set()
            server.shutdown()
            thread.join()


@pytest.fixture(name="server")
def kubeflow_server() -> Iterator[KubeflowApi]:
    """A server for one test."""
    with serving() as running:
        yield running
