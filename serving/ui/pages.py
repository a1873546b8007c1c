"""The playground: one page and its scripts, styles and icon, all from this package."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

PAGE = "index.html"
_ROOT = Path(__file__).parent
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing from elsewhere, nothing inline, and no text that a script may take for HTML."""
_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "cache-control": "no-cache",  # ask each time: a page must not mix two releases
        "content-security-policy": _POLICY,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
)


class Playground:
    """Serves the page at `/` and what it loads below `/ui/`; no request reads a disk."""

    def __init__(self) -> None:
        self._files = {
            path.relative_to(_ROOT).as_posix(): path.read_bytes()
            for path in sorted(_ROOT.rglob("*"))
            if path.suffix in _TYPES
        }
        self._etags = {
            name: f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            for name, content in self._files.items()
        }

    def routes(self) -> APIRouter:
        """The page and its files."""
        router = APIRouter(default_response_class=Response, include_in_schema=False)
        methods = ["GET", "HEAD"]
        router.add_api_route("/", self.page, methods=methods)
        router.add_api_route("/ui/{name:path}", self.asset, methods=methods)
        return router

    async def page(self, request: Request) -> Response:
        """The page."""
        return self._answer(PAGE, request)

    async def asset(self, name: str, request: Request) -> Response:
        """What the page loads.

        Raises:
            HTTPException: 404, there is no such file.
        """
        if name not in self._files or name == PAGE:  # its addresses are relative to `/`
            raise HTTPException(404, "The playground has no such file")
        return self._answer(name, request)

    def _answer(self, name: str, request: Request) -> Response:
        etag = self._etags[name]
        headers = {**_HEADERS, "etag": etag}
        known = request.headers.get("if-none-match", "").replace("W/", "").split(",")
        if etag in map(str.strip, known):
            return Response(status_code=304, headers=headers)
        content = self._files[name]
        return Response(content, headers=headers, media_type=_TYPES[Path(name).suffix])
