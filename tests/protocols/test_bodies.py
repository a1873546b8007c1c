"""Bodies that state a task or its traffic: what is taken, and what is refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.protocols.conftest import Api

ENTRY = {"adapter": "hf://org/name", "id": "9"}


@pytest.mark.parametrize(
    "kind",
    (
        "application/yaml",
        "text/yaml",
        "application/x-yaml",
        "application/yaml; charset=utf-8",
        "Application/YAML",
    ),
)
def test_put_takes_yaml(api: Api, kind: str) -> None:
    """As task files are written."""
    body = "adapter: hf://org/name  # new\nid: '9'\n"
    response = api("PUT", "/tasks/topic", content=body, headers={"content-type": kind})
    assert response.status_code == 200, response.text
    assert api.service.calls == [("put", "topic", ENTRY, None)]


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (letter, letter, b",".join([b"*%c" % (letter - 1)] * 10))
    for letter in b"bcdefg"
)
"""A few lines of YAML that stand for millions of values."""
YAML = {"content-type": "application/yaml"}
JSON = {"content-type": "application/json"}
BAD_ENTRIES: tuple[tuple[bytes, dict[str, str], str], ...] = (
    (b"", JSON, "body: is empty"),
    (b"  \n", YAML, "body: is empty"),
    (b"null", JSON, "body: is no mapping"),
    (b"[1]", JSON, "body: is no mapping"),
    (b"just text", YAML, "body: is no mapping"),
    (b"adapter: ./a", JSON, "content-type: application/yaml"),
    (b'{"adapter": "\xff"}', JSON, "body: is not valid JSON"),
    (b"adapter: \xff", YAML, "body: is not readable as YAML"),
    (b"adapter: [", YAML, "body: is not readable as YAML"),
    (b"? {a: b}\n: c", YAML, "body: is not readable as YAML"),
    (b"!!python/object/apply:os.getcwd []", YAML, "body: is not readable as YAML"),
    (b"id: 2020-13-45", YAML, "body: is not readable as YAML"),
    (b"id: 2020-01-02", YAML, "id: is a date; quote it"),
    (b"versions: [{id: 2020-01-02}]", YAML, "versions[0].id: is a date"),
    (b"labels: !!set {a, b}", YAML, "labels: is a set"),
    (b"limits: {1: 2}", YAML, "limits: has the key 1; quote it"),
    (b'id: "\\ud800"', YAML, "UTF-8"),
    (b"weight: 1" + b"0" * 400, YAML, "weight: is larger"),
    (b"weight: 1" + b"0" * 5000, YAML, "body: is not readable as YAML"),
    (b'{"adapter": ' + b"[" * 200 + b"]" * 200 + b"}", JSON, "nests more than 32 deep"),
    (b'{"adapter": ' + b"[" * 9999 + b"]" * 9999 + b"}", JSON, "body: "),
    (b"a: " + b"[" * 9999, YAML, "body: "),
    (b'{"name": "other", "adapter": "a"}', JSON, "name: is another"),
    (BOMB, YAML, "more than 200000 values"),
)  # fmt: skip


@pytest.mark.parametrize(("body", "headers", "said"), BAD_ENTRIES)
def test_bad_entry_is_422_with_a_sentence(
    api: Api, body: bytes, headers: dict[str, str], said: str
) -> None:
    """And nothing is changed."""
    response = api("PUT", "/tasks/topic", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")
    assert said in response.json()["error"]
    assert api.service.calls == []


@pytest.mark.parametrize(
    ("size", "headers"), ((2 << 20, JSON), (300 << 10, {"content-type": "text/yaml"}))
)
def test_large_entry_is_413(api: Api, size: int, headers: dict[str, str]) -> None:
    """YAML is slow to read and gets less room."""
    body = b'{"adapter": "' + b"a" * size + b'"}'
    response = api("PUT", "/tasks/topic", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


BAD_TRAFFIC: tuple[tuple[Any, str], ...] = (
    ({}, "body: is empty"),
    ([], "body: is no mapping"),
    ({"weight": {"1": 1}}, "weight: is no known key"),
    ({"weights": {}}, "weights: must map"),
    ({"weights": [1]}, "weights: must map"),
    ({"weights": {"1": "90"}}, "weights.1: must be a number"),
    ({"weights": {"1": True}}, "weights.1: must be a number"),
    ({"weights": {"1": -1}}, "weights.1: must be a finite number"),
    ({"shadow": "3"}, "shadow: must be a list"),
    ({"shadow": [3]}, "shadow: must be a list"),
)


@pytest.mark.parametrize(("body", "said"), BAD_TRAFFIC)
def test_bad_traffic_is_422(api: Api, body: Any, said: str) -> None:
    """The place is named."""
    response = api("POST", "/tasks/topic/traffic", content=json.dumps(body))
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")
    assert said in response.json()["error"]
