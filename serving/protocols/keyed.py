"""What the API's description says of keys, so that its page and generated clients ask for one."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from serving.admission.scopes import PUBLIC, stated_actions

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def tell_of_keys(app: FastAPI) -> None:
    """Have the application's description say which routes need a key."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        document = describe()
        document.setdefault("components", {})["securitySchemes"] = _SCHEMES
        document["security"] = [{name: []} for name in _SCHEMES]
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if stated_actions(method.upper(), path) == PUBLIC:
                    operation["security"] = []
        return document

    app.openapi = described  # type: ignore[method-assign]
