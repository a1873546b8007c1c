"""A hub on loopback that speaks as much of the hub's protocol as a snapshot download needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

SHA = hashlib.sha1(b"first commit").hexdigest()


class Hub:
    """Repositories as `{"org/name": {"path": content}}`; all refs of `revisions` are one commit.

    `paths` lists every request, `gated` names repositories that ask for a token.
    """

    def __init__(
        self, repositories: Mapping[str, Mapping[str, bytes]], gated: frozenset[str] = frozenset()
    ) -> None:
        self.repositories = repositories
        self.gated = gated
        self.revisions = {"main", "v1", "refs/pr/1", SHA}
        self.paths: list[str] = []
        self.url = ""

    def fetched(self) -> set[str]:
        """Names of the files whose content was fetched."""
        return {
            path.split(f"/resolve/{SHA}/")[1]
            for path in self.paths
            if "GET" in path[:3] and "/resolve/" in path
        }

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a request path."""
        api = path.startswith("/api/models/")
        name, _, rest = self._split(path.removeprefix("/api/models/").lstrip("/"))
        if name in self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
        if name not in self.repositories:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        action, _, rest = rest.partition("/")
        files = self.repositories[name]
        if api:
            return self._describe(name, files, action, rest)
        content = files.get(rest.partition("/")[2])
        if content is None:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        return 200, {"X-Repo-Commit": SHA, "ETag": etag}, content

    def _split(self, path: str) -> tuple[str, str, str]:
        for marker in ("/revision/", "/tree/", "/resolve/"):
            name, found, rest = path.partition(marker)
            if found:
                return name, found, marker[1:] + rest
        return path, "", ""

    def _describe(
        self, name: str, files: Mapping[str, bytes], action: str, revision: str
    ) -> tuple[int, dict[str, str], bytes]:
        if revision not in self.revisions:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        if action == "revision":
            return 200, {}, json.dumps({"id": name, "sha": SHA, "siblings": []}).encode()
        tree = [
            {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for path, data in files.items()
        ]
        return 200, {}, json.dumps(tree).encode()


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Run the hub on a free loopback port for the block; `hub.url` is its address."""

    class Exchange(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.paths.append(f"{self.command} {path}")
            status, headers, body = hub.answer(path)
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *args: object) -> None:
            """Keep the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
