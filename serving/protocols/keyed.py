"""What the API's description says of keys, so that its page and generated clients ask for one."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from serving.admission.scopes import PUBLIC, stated_actions
from serving.protocols.openapi import errors

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def tell_of_keys(app: FastAPI) -> None:
    """Have the application's description say which routes need a key, and what they then refuse."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        document = describe()
        document.setdefault("components", {})["securitySchemes"] = _SCHEMES
        document["security"] = [{name: []} for name in _SCHEMES]
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if stated_actions(method.upper(), path) == PUBLIC:
                    operation["security"] = []
                else:
                    _add_refusals(operation["responses"])
        return document

    app.openapi = described  # type: ignore[method-assign]


def _add_refusals(responses: dict[str, Any]) -> None:
    """401 and 403, in the shape of the route's other errors."""
    for status, response in errors(401, 403).items():
        if status != "default":
            shape = responses.get("default", response)
            responses.setdefault(str(status), {**shape, "description": response["description"]})
