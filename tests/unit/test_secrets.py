"""Marks that stand for secrets: what they tell, and what they are replaced by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from penstock import spec
from penstock.errors import UsageError
from penstock.secrets import Secrets, is_secret, mark

CANARY = 'canary "\\ 4711'
SECRETS = Secrets({"API_TOKEN": CANARY}, {"db_password": "hidden", "steps": 3})


@pytest.mark.parametrize(
    "name", ["API_TOKEN", "token", "db_password", "AWS_SECRET_ACCESS_KEY", "apikey", "x-api-key", "GithubToken"]
)
def test_names_that_are_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["PWD", "tokens_per_line", "keyboard", "secretary", "steps", "passage", "max_tokens"])
def test_names_that_are_not(name: str) -> None:
    assert not is_secret(name)


@given(st.text(), st.text())
def test_a_mark_of_a_parameter_changes_with_its_value_and_does_not_tell_it(first: str, second: str) -> None:
    marks = {mark("parameters", "token", value) for value in (first, second)}
    assert len(marks) == len({first, second})
    assert {mark("env", "TOKEN", value) for value in (first, second)} == {"${secret.env.TOKEN}"}
    for value, told in ((first, mark("parameters", "token", first)),):
        assert Secrets({}, {"token": value}).reveal(f"<{told}>") == f"<{value}>"


def test_json_stays_json() -> None:
    arguments = {"headers": ["a", {"x": mark("env", "API_TOKEN", CANARY)}], "n": [1, None, True]}
    revealed = SECRETS.reveal(json.dumps(arguments))
    assert json.loads(revealed) == {"headers": ["a", {"x": CANARY}], "n": [1, None, True]}
    assert SECRETS.reveal("{not json ${secret.env.API_TOKEN}") == f"{{not json {CANARY}"


def test_what_is_no_mark_stays() -> None:
    for text in ("", "${env.API_TOKEN}", "${secret.}", "${secret.env.}", "${secret.files.X}", "${secret.env.API_TOKEN"):
        assert SECRETS.reveal(text) == text


@pytest.mark.parametrize("text", ["${secret.env.OTHER_TOKEN}", "${secret.parameters.other#a1b2c3}"])
def test_a_secret_that_is_not_there_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"OTHER_TOKEN|other"):
        SECRETS.reveal(text)


def test_messages_are_copied_where_there_is_a_mark() -> None:
    plain = struct_pb2.Struct()
    plain.update({"steps": 3})
    assert SECRETS.reveal_message(plain) is plain
    marked = struct_pb2.Struct()
    marked.update({"deep": [{"token": mark("env", "API_TOKEN", CANARY)}], "steps": 3})
    before = marked.SerializeToString(deterministic=True)
    revealed = SECRETS.reveal_message(marked)
    assert revealed["deep"][0]["token"] == CANARY
    assert marked.SerializeToString(deterministic=True) == before


DECLARATION = """\
penstock: 1
name: hush
parameters:
  api_token: {type: str}
  limit_token: {type: int, default: 7}
nodes:
  data:
    component: CsvExampleGen
    input_base: "data"
    env: {SIGN_IN: "${env.SIGN_IN_PASSWORD}", PLAIN: "${env.PLAIN}"}
  model:
    component: Importer
    source_uri: "/x/model"
    artifact_type: Model
  push:
    component: Pusher
    model: ${nodes.model.result}
    push_destination: {filesystem: {base_directory: "/x/${parameters.api_token}"}}
    custom_config: {headers: ["Bearer ${parameters.api_token}", "${parameters.limit_token}"]}
always:
  - webhook: ${env.HOOK_SECRET}
environments:
  local:
    beam_args: ["--key=${env.SIGN_IN_PASSWORD}"]
    env: {OWN: "${env.SIGN_IN_PASSWORD}"}
"""


def test_a_declaration_holds_marks_where_it_goes_into_the_compiled_pipeline(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("a\n1\n")
    (tmp_path / "pipeline.yaml").write_text(DECLARATION)
    environ = {"SIGN_IN_PASSWORD": "canary-env", "PLAIN": "plain", "HOOK_SECRET": "https://canary-hook"}
    loaded = spec.load(tmp_path, parameters={"api_token": "canary-param"}, environ=environ)
    told = repr([(node.arguments, node.options) for node in loaded.nodes.values()]) + repr(loaded.policy)
    assert "canary" not in told and "plain" in told and "7" in told
    assert loaded.environment.beam_args == ["--key=${secret.env.SIGN_IN_PASSWORD}"]
    # The environment's own variables go to the processes alone.
    assert loaded.environment.env == {"OWN": "canary-env"}
    secrets = Secrets(environ, loaded.parameter_values)
    assert secrets.reveal(loaded.policy.always[0].webhook or "") == "https://canary-hook"
