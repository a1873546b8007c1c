"""A hub on loopback that speaks the real protocol, as the real client uses it, and fails on demand.

`python -m tests.hub FOLDER [--port N]` serves `FOLDER/org/name/...` in a process of its own and
prints its address; `POST /_fault` takes the fields of `Fault`, `POST /_commit` those of `commit`,
with contents in base64.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from tests.hub_exchange import Answer, Exchange, Fault

SHA = hashlib.sha1(b"first commit").hexdigest()
LARGE = (".bin", ".safetensors", ".pt", ".model", ".h5")
"""Names of files that the hub keeps apart (LFS), under their SHA-256."""

Files = dict[str, bytes]


@dataclass
class Repository:
    """Commits and what refs name them."""

    commits: dict[str, Files]
    refs: dict[str, str]

    def find(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.refs.get(revision)


class Hub:
    """Repositories as `{"org/name": {"path": content}}`, each with one commit.

    `requests` and `paths` list what was asked, `contents` the paths whose content was sent. A
    `private` repository asks for one of `tokens`, each of which may read some repositories or,
    with None, all. A `gated` one refuses everybody.
    """

    def __init__(
        self,
        repositories: Mapping[str, Mapping[str, bytes]],
        gated: frozenset[str] = frozenset(),
        private: frozenset[str] = frozenset(),
        tokens: Mapping[str, frozenset[str] | None] | None = None,
    ) -> None:
        refs = ("main", "v1", "refs/pr/1")
        self.repositories = {
            name: Repository({SHA: dict(files)}, dict.fromkeys(refs, SHA))
            for name, files in repositories.items()
        }
        self.gated = gated
        self.private = private
        self.tokens = dict(tokens or {})
        self.faults: list[Fault] = []
        self.paths: list[str] = []
        self.authorized: list[tuple[str, bool]] = []
        self.contents: list[str] = []
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.page_size = 1000
        self.url = self.files_url = ""

    def commit(self, repository: str, files: Mapping[str, bytes], branch: str = "main") -> str:
        """A new commit with exactly these files; the branch moves to it."""
        found = self.repositories[repository]
        sha = hashlib.sha1(f"{repository} {len(found.commits)}".encode()).hexdigest()
        found.commits[sha] = dict(files)
        found.refs[branch] = sha
        return sha

    def fail(self, kind: str, on: str = "", times: int = 1 << 30, value: int = 0) -> Fault:
        """Let the next requests fail; see `Fault`."""
        self.faults.append(Fault(kind, on, times, value))
        return self.faults[-1]

    def fetched(self) -> set[str]:
        """Names of the files whose content was fetched."""
        return set(self.contents)

    def take(self, kinds: tuple[str, ...], target: str) -> Fault | None:
        """The first fault of these kinds that concerns the target; counts as used."""
        with self.lock:
            for fault in self.faults:
                if fault.kind in kinds and fault.on in target and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def answer(self, target: str, token: str | None) -> Answer:
        """What to say to a request for a path, with its query."""
        parts = urlsplit(target)
        pieces = parts.path.strip("/").split("/")
        if pieces[0] == "lfs":
            return self._stored(pieces[1], unquote(parts.query))
        is_api = pieces[:2] == ["api", "models"]
        pieces = pieces[2:] if is_api else pieces
        size = next((n for n, piece in enumerate(pieces) if piece in _MARKERS), len(pieces))
        name = unquote("/".join(pieces[:size]))
        if refused := self._refusal(name, token):
            return refused
        action, revision, *path = [*map(unquote, pieces[size:]), "", ""][: max(2, len(pieces))]
        found = self.repositories[name]
        sha = found.find(revision or "main")
        if sha is None:
            return Answer(404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
        if is_api:
            return self._describe(name, sha, action, parts.query)
        return self._file(found.commits[sha], sha, "/".join(filter(None, path)))

    def _refusal(self, name: str, token: str | None) -> Answer | None:
        if token is not None and token not in self.tokens:
            message = "Invalid credentials in Authorization header"
            return Answer(401, {"X-Error-Message": message}, b"{}")
        if name in self.gated:
            return Answer(401 if token is None else 403, {"X-Error-Code": "GatedRepo"}, b"{}")
        if name in self.private and token is None:
            return Answer(401, {"X-Error-Message": "Invalid username or password."}, b"{}")
        readable = self.tokens[token] if token is not None else None
        hidden = name in self.private and readable is not None and name not in readable
        if hidden or name not in self.repositories:
            return Answer(404, {"X-Error-Code": "RepoNotFound"}, b"{}")
        return None

    def _describe(self, name: str, sha: str, action: str, query: str) -> Answer:
        files = self.repositories[name].commits[sha]
        if action != "tree":
            siblings = [{"rfilename": path} for path in files]
            about = {"id": name, "modelId": name, "sha": sha, "siblings": siblings}
            return Answer(200, {}, json.dumps({**about, "private": name in self.private}).encode())
        start = int(query.partition("cursor=")[2] or 0)
        page = [self._entry(path, data) for path, data in sorted(files.items())][start:]
        headers = {}
        if len(page) > self.page_size:
            link = f"{self.url}/api/models/{name}/tree/{sha}?cursor={start + self.page_size}"
            headers["Link"] = f'<{link}>; rel="next"'
        return Answer(200, headers, json.dumps(page[: self.page_size]).encode())

    def _entry(self, path: str, data: bytes) -> dict[str, object]:
        lie = self.take(("size",), path)
        size = len(data) + (lie.value if lie else 0)
        entry = {"type": "file", "path": path, "size": size, "oid": git_hash(data)}
        if path.endswith(LARGE):
            sha256 = hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": size, "pointerSize": 134}
        return entry

    def _file(self, files: Files, sha: str, path: str) -> Answer:
        if path not in files:
            return Answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha}, b"")
        data, headers = files[path], {"X-Repo-Commit": sha}
        if not path.endswith(LARGE):
            return Answer(200, {**headers, "ETag": f'"{git_hash(data)}"'}, data, path)
        sha256 = hashlib.sha256(data).hexdigest()
        linked = {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(data))}
        place = {
            "Location": f"{self.files_url}/lfs/{sha256}?{quote(path)}",
            "ETag": f'"{git_hash(data)}"',
        }
        return Answer(302, {**headers, **linked, **place}, b"Found. Redirecting", path)

    def _stored(self, sha256: str, path: str) -> Answer:
        for repository in self.repositories.values():
            for files in repository.commits.values():
                data = files.get(path)
                if data is not None and hashlib.sha256(data).hexdigest() == sha256:
                    return Answer(200, {"ETag": f'"{sha256}"'}, data, path)
        return Answer(404, {}, b"")

    def command(self, path: str, body: Mapping[str, object]) -> bytes:
        """Faults and commits for a hub in a process of its own."""
        if path == "/_commit":
            files = {name: base64.b64decode(data) for name, data in body["files"].items()}
            branch = str(body.get("branch", "main"))
            return self.commit(str(body["repository"]), files, branch).encode()
        self.fail(**body)
        return b""


_MARKERS = ("revision", "tree", "resolve")


def git_hash(data: bytes) -> str:
    """The name that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up; that is what many tests are about."""


@contextmanager
def serve(hub: Hub, port: int = 0) -> Iterator[Hub]:
    """Run the hub for the block: `hub.url` is its address, large files lie at `hub.files_url`."""
    handler = type("Exchange", (Exchange,), {"hub": hub})
    servers = [_Server(("127.0.0.1", number), handler) for number in (port, 0)]
    hub.url, hub.files_url = (f"http://127.0.0.1:{s.server_address[1]}" for s in servers)
    # Another host for the client, which then leaves the token out.
    hub.files_url = hub.files_url.replace("127.0.0.1", "localhost")
    threads = [threading.Thread(target=s.serve_forever, args=(0.02,)) for s in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        hub.stopped.set()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def read_repositories(folder: Path) -> dict[str, Files]:
    """Repositories from `folder/org/name/...`."""
    return {
        f"{place.parent.name}/{place.name}": {
            file.relative_to(place).as_posix(): file.read_bytes()
            for file in place.rglob("*")
            if file.is_file()
        }
        for place in folder.glob("*/*")
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=Path)
    options.add_argument("--port", type=int, default=0)
    given = options.parse_args()
    with serve(Hub(read_repositories(given.folder)), given.port) as running:
        sys.stdout.write(f"{running.url}\n")
        sys.stdout.flush()
        threading.Event().wait()
