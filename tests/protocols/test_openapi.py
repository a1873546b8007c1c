"""The description of the interface covers all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.protocols.conftest import Api

ROUTES = {
    "GET /tasks",
    "GET /tasks/{name}",
    "PUT /tasks/{name}",
    "DELETE /tasks/{name}",
    "POST /tasks/{name}/traffic",
    "GET /tasks/{name}/versions/{version}",
    "DELETE /tasks/{name}/versions/{version}",
    "POST /tasks/{name}/versions/{version}:{action}",
    "GET /models/{task}",
    "POST /models/{task}",
    "GET /v2",
    "GET /v2/health/live",
    "GET /v2/health/ready",
    "GET /v2/models",
    "GET /v2/models/{model}",
    "GET /v2/models/{model}/ready",
    "POST /v2/models/{model}/infer",
    "GET /v2/models/{model}/versions/{version}",
    "GET /v2/models/{model}/versions/{version}/ready",
    "POST /v2/models/{model}/versions/{version}/infer",
    "POST /v2/repository/models/{model}/load",
    "POST /v2/repository/models/{model}/unload",
    "GET /v1/models",
    "GET /v1/models/{model}",
    "POST /v1/embeddings",
    "POST /models/{task}/embed",
    "POST /models/{task}/predict",
    "POST /models/{task}/rerank",
    "POST /models/{task}/similarity",
    "GET /models/{task}/info",
    "POST /classify",
    "POST /rerank",
    "POST /score",
    "POST /v1/load_lora_adapter",
    "POST /v1/unload_lora_adapter",
}
OURS = {"error", "code", "request_id"}
SHAPES = {
    "open inference protocol": {"error"},
    "openai": {"error"},
    "vllm": {"error"},
    "text embeddings inference": {"error", "error_type"},
}
"""What other protocols' errors have, by tag."""


def operations(api: Api) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every route with what is said of it."""
    for path, methods in api("GET", "/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_is_described(api: Api) -> None:
    """A summary, a sentence, a good answer, and no answer without a text."""
    found = dict(operations(api))
    assert set(found) >= ROUTES
    for place, operation in found.items():
        assert operation["summary"], place
        assert operation["description"], place
        assert any(status.startswith("2") for status in operation["responses"]), place
        assert all(each["description"] for each in operation["responses"].values()), place


def test_every_error_is_in_its_protocols_shape(api: Api) -> None:
    """Nothing of the framework's own."""
    for place, operation in operations(api):
        for status, response in operation["responses"].items():
            if status.startswith("2") or not response.get("content"):
                continue
            schema = response["content"]["application/json"]["schema"]
            shapes = schema.get("anyOf", [schema])
            expected = SHAPES.get(operation["tags"][0], OURS)
            assert all(expected <= set(each.get("properties", ())) for each in shapes), (
                place,
                status,
            )


def test_operations_have_names_of_their_own(api: Api) -> None:
    """Generated clients need them."""
    names = [operation["operationId"] for _, operation in operations(api)]
    assert len(set(names)) == len(names)


def test_paths_name_their_parameters(api: Api) -> None:
    """Each that stands in the path, and once."""
    for place, operation in operations(api):
        given = [(each["in"], each["name"]) for each in operation.get("parameters", ())]
        assert len(set(given)) == len(given), place
        named = {name for where, name in given if where == "path"}
        assert all(f"{{{name}}}" in place for name in named)
        assert place.count("{") == len(named), place
