"""Exit handlers: who is called when, with what, and what becomes of those that fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from penstock.backends.local import exit_handlers
from penstock.secrets import Secrets


def run(state: str) -> dict[str, Any]:
    return {"run_id": "r1", "pipeline": "taxi", "state": state, "error": None, "nodes": {"trainer": state}}


def note(name: str) -> dict[str, Any]:
    return {
        "command": [
            "sh",
            "-c",
            f"cat > {name}.json; echo $PENSTOCK_RUN_ID $PENSTOCK_PIPELINE $PENSTOCK_RUN_STATE > {name}.env",
        ]
    }


NO_SECRETS = Secrets({}, {})
POLICY = {"on_success": [note("success")], "on_failure": [note("failure")], "always": [note("always")]}


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any]]]:
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/broken" else 204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", received
        http.shutdown()


@pytest.mark.parametrize(
    ("state", "called"),
    [("succeeded", {"success", "always"}), ("failed", {"failure", "always"}), ("cancelled", {"always"})],
)
def test_calls_what_fits_the_end(tmp_path: Path, state: str, called: set[str]) -> None:
    assert exit_handlers.call(POLICY, run(state), tmp_path, NO_SECRETS) == []
    assert {path.stem for path in tmp_path.glob("*.json")} == called
    assert json.loads((tmp_path / "always.json").read_text()) == run(state)
    assert (tmp_path / "always.env").read_text() == f"r1 taxi {state}\n"


def test_a_webhook_gets_the_run(server: tuple[str, list[Any]], tmp_path: Path) -> None:
    address, received = server
    assert exit_handlers.call({"always": [{"webhook": address}]}, run("failed"), tmp_path, NO_SECRETS) == []
    assert received == [run("failed")]


def test_a_handler_that_fails_is_told_and_stops_no_other(server: tuple[str, list[Any]], tmp_path: Path) -> None:
    address, _ = server
    policy = {
        "always": [
            {"command": ["sh", "-c", "echo no such room >&2; exit 3"]},
            {"command": ["no-such-program"]},
            {"command": ["sleep", "60"], "timeout_seconds": 0.2},
            {"webhook": f"{address}/broken"},
            note("last"),
        ]
    }
    failures = exit_handlers.call(policy, run("failed"), tmp_path, NO_SECRETS)
    assert len(failures) == 4
    assert "ended with status 3: no such room" in failures[0]
    assert "no-such-program" in failures[1]
    assert "took longer than 0.2 s" in failures[2]
    assert "500" in failures[3]
    assert (tmp_path / "last.json").exists()


def test_secrets_reach_handlers_and_are_not_told(server: tuple[str, list[Any]], tmp_path: Path) -> None:
    address, _ = server
    policy = {
        "always": [
            {"command": ["sh", "-c", "echo $0 > said; exit 3", "${secret.env.HOOK_TOKEN}"]},
            {"webhook": f"{address}/?${{secret.env.HOOK_TOKEN}}"},
            {"webhook": f"{address}/${{secret.env.OTHER_TOKEN}}"},
        ]
    }
    failures = exit_handlers.call(policy, run("failed"), tmp_path, Secrets({"HOOK_TOKEN": "canary"}, {}))
    assert (tmp_path / "said").read_text() == "canary\n"
    assert len(failures) == 2 and "canary" not in "".join(failures)
    assert "OTHER_TOKEN" in failures[1]


def test_without_handlers_nothing_is_called(tmp_path: Path) -> None:
    assert exit_handlers.call({}, run("succeeded"), tmp_path, NO_SECRETS) == []
