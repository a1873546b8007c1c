"""A second hub on loopback, as somebody writes one who needs no more than the client asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

SHA = "c0ffee" * 6 + "beef"


class Mirror(BaseHTTPRequestHandler):
    """Repositories as folders of files; `lacks` names what it does not speak of."""

    files: ClassVar[Mapping[str, Mapping[str, bytes]]]
    lacks: ClassVar[frozenset[str]] = frozenset()
    sha: ClassVar[str] = SHA
    head_status: ClassVar[int] = 200
    sent: ClassVar[list[str]]

    def do_GET(self) -> None:
        pieces = self.path.partition("?")[0].strip("/").split("/")
        if pieces[:2] == ["api", "models"]:
            self._describe(self.files.get("/".join(pieces[2:4])), "/".join(pieces[4:5]))
        elif pieces[0] == "stored":
            self._say(200, self.files["/".join(pieces[1:3])]["/".join(pieces[3:])], {})
        else:
            self._resolve("/".join(pieces[:2]), "/".join(pieces[4:]))

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def _describe(self, files: Mapping[str, bytes] | None, action: str) -> None:
        if files is None or (action or "plain") in self.lacks:
            self._say(404, b"{}", {})
        elif action == "tree":
            self._say(200, json.dumps([self._entry(*each) for each in files.items()]).encode(), {})
        else:
            about: dict[str, object] = {"id": "x", "sha": self.sha}
            if "siblings" not in self.lacks:
                about["siblings"] = [{"rfilename": name} for name in files]
            self._say(200, json.dumps(about).encode(), {})

    def _entry(self, path: str, content: bytes) -> dict[str, object]:
        size = {} if "sizes" in self.lacks else {"size": len(content)}
        return {"type": "file", "path": path, "oid": "0" * 40, **size}

    def _resolve(self, repository: str, path: str) -> None:
        content = self.files[repository][path]
        headers = {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}
        if "commits" not in self.lacks:
            headers["X-Repo-Commit"] = self.sha
        if self.command == "HEAD" and self.head_status != 200:
            self._say(self.head_status, b"", headers)
        elif path.endswith(".bin") and "redirects" not in self.lacks:
            port = self.server.server_address[1]
            place = f"http://localhost:{port}/stored/{repository}/{path}"
            self._say(302, b"", {**headers, "Location": place})
        else:
            self._say(200, content, headers)

    def _say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.sent.append(self.path)
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the test output clean."""


@contextmanager
def mirror(files: Mapping[str, Mapping[str, bytes]], **traits: object) -> Iterator[type[Mirror]]:
    """Run one for the block; what it is given are attributes of `Mirror`."""
    speaker = type("Speaker", (Mirror,), {"files": files, "sent": [], **traits})
    server = ThreadingHTTPServer(("127.0.0.1", 0), speaker)
    speaker.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield speaker
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
