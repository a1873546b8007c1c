"""What each route needs: one table from method and path to actions; all else needs admin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Action(StrEnum):
    """What a key may do; `PUBLIC` needs none and stands in no file."""

    PUBLIC = "public"
    PREDICT = "predict"
    ADMIN = "admin"
    METRICS = "metrics"


Actions = frozenset[Action]
PUBLIC = frozenset({Action.PUBLIC})
PREDICT = frozenset({Action.PREDICT})
ADMIN = frozenset({Action.ADMIN})
METRICS = frozenset({Action.METRICS})
READ = PREDICT | ADMIN
"""What is said of tasks; who changes them must see them."""
ANY = READ | METRICS
_ONE = "[^/]+"
_GET, _POST = ("GET", "HEAD"), ("POST",)
_ROWS: tuple[tuple[tuple[str, ...], str, Actions], ...] = (
    (_GET, "/|/ui/[A-Za-z0-9_./-]+", PUBLIC),
    (_GET, "/health|/health/live|/health/ready|/v2/health/live|/v2/health/ready", PUBLIC),
    (_POST, f"/models/{_ONE}", PREDICT),
    (_GET, f"/models/{_ONE}|/models/{_ONE}/info|/models/{_ONE}/health", READ),
    (_POST, f"/models/{_ONE}/(embed|embed_all|predict|rerank|similarity|classify)", PREDICT),
    (_POST, "/(embed|embed_all|predict|rerank|similarity|classify|score|tokenize)", PREDICT),
    (_POST, "/v1/(embeddings|analyze|rerank|score|classify)|/v2/rerank", PREDICT),
    (_GET, f"/v1/models|/v1/models/{_ONE}", READ),
    (_GET, "/info|/version", READ),
    (_GET, f"/tasks|/tasks/{_ONE}|/tasks/{_ONE}/versions|/tasks/{_ONE}/versions/{_ONE}", READ),
    (_GET, f"/v2|/v2/|/v2/models|/v2/models/{_ONE}(/versions/{_ONE})?(/ready)?", READ),
    (_POST, f"/v2/models/{_ONE}(/versions/{_ONE})?/infer", PREDICT),
    (_POST, "/v2/repository/index", READ),
    (_POST, f"/v2/repository/models/{_ONE}/(load|unload)", ADMIN),
    (_POST, "/v1/(load|unload)_lora_adapter", ADMIN),
    (("PUT", "DELETE"), f"/tasks/{_ONE}", ADMIN),
    (("DELETE", "POST"), f"/tasks/{_ONE}/versions/{_ONE}", ADMIN),
    (_POST, f"/tasks/{_ONE}/traffic", ADMIN),
    (_GET, "/metrics|/debug/batches", METRICS),
    (_GET, "/usage|/docs|/docs/oauth2-redirect|/openapi.json", ANY),
    (_GET, "/static-offline-docs/[A-Za-z0-9_./-]+", ANY),
)


def _compiled() -> Mapping[str, tuple[tuple[re.Pattern[str], Actions], ...]]:
    """The table by method, so that a request is held against its method's rows only."""
    methods = {method for row in _ROWS for method in row[0]}
    return {
        method: tuple((re.compile(path), need) for names, path, need in _ROWS if method in names)
        for method in methods
    }


_TABLE = MappingProxyType(_compiled())


def stated_actions(method: str, path: str) -> Actions | None:
    """What the table says of a request; None where it says nothing.

    Args:
        method: as it stands in the request.
        path: decoded, as the router sees it.
    """
    if ".." in path:
        return None
    rows = _TABLE.get(method, ())
    return next((need for pattern, need in rows if pattern.fullmatch(path)), None)


def needed_actions(method: str, path: str) -> Actions:
    """Actions of which one is needed: what the table does not know needs admin."""
    return stated_actions(method, path) or ADMIN
