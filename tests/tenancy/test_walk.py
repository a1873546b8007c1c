"""Every route, documented or not, however it is written: nobody passes without the right key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import pytest
from starlette.types import Message

from serving.admission.scopes import stated_actions
from tests.tenancy.conftest import Guarded

Asked = tuple[str, str]
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "get")
HEALTH = ("/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready")
OPEN = {(method, path) for method in ("GET", "HEAD") for path in ("/", "/ui/css/base.css", *HEALTH)}
"""All that is open without a key; stated here a second time, so that it cannot grow unseen."""
UNDOCUMENTED = ("/", "/ui/css/base.css", "/docs", "/docs/oauth2-redirect", "/openapi.json")
UNDOCUMENTED += ("/static-offline-docs/swagger-ui.css", "/nobody/knows", "/usage/x", "*")
TRICKS = (
    "//health",
    "/health/",
    "/health//live",
    "/HEALTH",
    "/health/../metrics",
    "/health/%2e%2e/metrics",
    "/health;/../metrics",
    "/ui/../metrics",
    "/ui/%2e%2e/metrics",
    "/ui/..%2fmetrics",
    "/ui/%252e%252e/metrics",
    "/ui/\\..\\metrics",
    "//metrics",
    "/metrics/",
    "/metrics%20",
    "/metrics%0a",
    "/health%0a",
    "/metrics%00",
    "/Metrics",
    "/%6detrics",
    "/./metrics",
    "/tasks//topic",
    "/models/topic/",
    "/models//topic",
    "/models/topic%2fhealth",
    "/v2/health/live/../../models/topic",
    "/\u2024\u2024/metrics",
)


STATED: Mapping[str, str] = MappingProxyType(
    {
        "predict": """
            POST /models/topic
            POST /v2/models/topic/infer
            POST /v2/models/topic/versions/topic/infer
            POST /v1/embeddings
            POST /v1/analyze
            POST /models/topic/embed
            POST /models/topic/predict
            POST /models/topic/rerank
            POST /models/topic/similarity
            POST /embed
            POST /predict
            POST /similarity
            POST /classify
            POST /rerank
            POST /v1/rerank
            POST /v2/rerank
            POST /score
            POST /v1/score""",
        "admin predict": """
            GET /models/topic
            GET /models/topic/info
            GET /models/topic/health
            GET /v2
            GET /v2/models
            GET /v2/models/topic
            GET /v2/models/topic/ready
            GET /v2/models/topic/versions/topic
            GET /v2/models/topic/versions/topic/ready
            POST /v2/repository/index
            GET /v1/models
            GET /v1/models/topic
            GET /tasks
            GET /tasks/topic
            GET /tasks/topic/versions/topic
            GET /info""",
        "public": """
            GET /v2/health/live
            GET /v2/health/ready
            GET /health/live
            GET /health/ready
            GET /health""",
        "admin": """
            POST /v2/repository/models/topic/load
            POST /v2/repository/models/topic/unload
            POST /v1/load_lora_adapter
            POST /v1/unload_lora_adapter
            PUT /tasks/topic
            DELETE /tasks/topic
            POST /tasks/topic/traffic
            DELETE /tasks/topic/versions/topic
            POST /tasks/topic/versions/topic:topic""",
        "metrics": """
            GET /metrics
            GET /debug/batches""",
        "admin metrics predict": """
            GET /usage""",
    }
)
"""What each documented route needs, one of these; stated here a second time as well."""


def documented(guarded: Guarded) -> Iterator[tuple[str, str]]:
    """Method and path of every operation, with a task's name in the place of each parameter."""
    for path, operations in guarded("GET", "/openapi.json", "admin").json()["paths"].items():
        for method in operations:
            yield method.upper(), re.sub(r"{\w+}", "topic", path)


def every(guarded: Guarded) -> list[tuple[str, str]]:
    """Every path that there is or could be, with every method."""
    paths = {path for _, path in documented(guarded)} | {*UNDOCUMENTED, *TRICKS}
    return [(method, path) for path in sorted(paths) for method in METHODS]


def walk(guarded: Guarded, asked: Sequence[Asked], key: str = "") -> dict[Asked, int]:
    """The status of each."""
    answers = guarded.raw(asked, key)
    return {each: status for each, (status, _) in zip(asked, answers, strict=True)}


def test_nothing_is_open_without_a_key(guarded: Guarded) -> None:
    """But for health and the playground's page: 401, which says how, and nothing was asked."""
    asked = [each for each in every(guarded) if each not in OPEN]
    answers = guarded.raw(asked)
    passed = [each for each, (got, _) in zip(asked, answers, strict=True) if got != 401]
    assert passed == []
    assert {headers["www-authenticate"] for _, headers in answers} == {"Bearer"}
    assert guarded.service.calls == []


def test_what_is_open_is_answered(guarded: Guarded) -> None:
    """Probes and the page need no key."""
    asked = [(method, path) for method, path in sorted(OPEN) if method == "GET"]
    assert set(walk(guarded, asked).values()) == {200}


@pytest.mark.parametrize("key", ("predict", "admin", "metrics"))
def test_key_that_lacks_the_action_is_refused(guarded: Guarded, key: str) -> None:
    """403 wherever the table does not name its action, also where there is nothing."""
    asked = [each for each in every(guarded) if each not in OPEN]
    lacking = [each for each in asked if not may(key, *each)]
    passed = [each for each, status in walk(guarded, lacking, key).items() if status != 403]
    assert len(lacking) > 10
    assert passed == []
    assert guarded.service.calls == []


def test_key_that_has_the_action_comes_in(guarded: Guarded) -> None:
    """Every documented route answers somebody."""
    refused = [
        (key, each)
        for key in ("predict", "admin", "metrics")
        for each, status in walk(
            guarded, [each for each in documented(guarded) if may(key, *each)], key
        ).items()
        if status in (401, 403)
    ]
    assert refused == []


def may(key: str, method: str, path: str) -> bool:
    """Whether a key that is called as its action may ask that; changes are told here as well."""
    path = path.replace("%2f", "/").replace("%6d", "m")
    changes = ("/load", "/unload", "/traffic", "_lora_adapter", ":topic")
    if method in ("PUT", "DELETE", "PATCH") or (method == "POST" and path.endswith(changes)):
        return key == "admin"
    stated = stated_actions(method, path)
    return key == "admin" if stated is None else key in stated


def test_every_documented_route_needs_what_is_written_down_here(guarded: Guarded) -> None:
    """No row grows unseen, and no route falls to the default, which is seldom meant."""
    found = {
        f"{method} {path}": " ".join(sorted(stated_actions(method, path) or ()))
        for method, path in documented(guarded)
    }
    lines = {actions: text.split("\n")[1:] for actions, text in STATED.items()}
    expected = {line.strip(): actions for actions, routes in lines.items() for line in routes}
    assert found == expected


def test_description_says_where_a_key_is_needed(guarded: Guarded) -> None:
    """For the page at /docs and for generated clients."""
    document = guarded("GET", "/openapi.json", "all").json()
    assert document["security"] == [{"bearer": []}, {"header": []}]
    free = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if operation.get("security") == []
    }
    assert free == set(HEALTH)


@pytest.mark.parametrize("path", ("/metrics", "/models/topic", "/p", "/p/metrics", "/px", "/p//"))
def test_prefix_of_a_proxy_opens_nothing(guarded: Guarded, path: str) -> None:
    """Whether the prefix is in the path or not."""
    for root_path in ("/p", "/metrics", "/health", "/"):
        answers = guarded.raw([("GET", path), ("POST", path)], root_path=root_path)
        assert [status for status, _ in answers] == [401, 401], root_path


def test_prefix_of_a_proxy_is_no_part_of_the_route(guarded: Guarded) -> None:
    """Health below the prefix is open, and keys do there what they do at the root."""
    assert guarded("GET", "/p/health", root_path="/p").status_code == 200
    assert guarded("GET", "/p/metrics", "predict", root_path="/p").status_code == 403
    assert guarded("GET", "/p/tasks", "predict", root_path="/p").status_code == 200


def test_refused_request_is_not_read(guarded: Guarded) -> None:
    """A body that nobody may send is no work; a WebSocket is closed before it opens."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("The body was read.")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"path": "/models/topic", "headers": [], "query_string": b"", "scheme": "http"}
    asyncio.run(guarded.app(scope | {"type": "http", "method": "POST"}, receive, send))
    asyncio.run(guarded.app(scope | {"type": "websocket"}, receive, send))
    assert sent[0]["status"] == 401
    assert sent[-1] == {"type": "websocket.close", "code": 1008}
