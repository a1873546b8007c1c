"""The playground's files, as the server hands them out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.running import ROOT, Running

UI = ROOT / "serving" / "ui"
MAX_LINES = 250
ASSETS = tuple(
    path.relative_to(UI).as_posix()
    for path in sorted(UI.rglob("*"))
    if path.suffix in {".css", ".js", ".svg"}
)
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def test_the_page_lies_at_the_root_under_a_strict_policy(demo: Running) -> None:
    """No inline script, no inline style, nothing from elsewhere."""
    answer = httpx.get(demo.url)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "<title>Polyhead playground</title>" in answer.text


def test_addresses_are_relative() -> None:
    """No file names a host or begins an address with `/`, so that a path prefix stays."""
    wrong = {}
    for path in sorted(UI.rglob("*")):
        if path.suffix in {".html", ".css", ".js"}:
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            found = re.findall(r"""https?://|(?:href|src)="/|url\(["']?/|from "/""", text)
            if found:
                wrong[path.name] = found
    assert {} == wrong


@pytest.fixture(scope="module")
def client(demo: Running) -> Iterator[httpx.Client]:
    """A client of the server."""
    with httpx.Client(base_url=demo.url) as made:
        yield made


@pytest.mark.parametrize("name", ASSETS)
def test_every_file_is_served_with_its_type(client: httpx.Client, name: str) -> None:
    """HEAD says what GET would, and one that is known already is not sent again."""
    url = f"/ui/{name}"
    answer, head = client.get(url), client.head(url)
    assert answer.content == (UI / name).read_bytes()
    assert answer.headers["content-type"].startswith(TYPES[Path(name).suffix])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (head.status_code, head.content) == (200, b"")
    for key in ("content-length", "content-type", "etag"):
        assert head.headers[key] == answer.headers[key]
    again = client.get(url, headers={"if-none-match": f'"old", W/{answer.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ("nothing.js", "pages.py", "index.html", "../app.py", "js"))
def test_nothing_else_is_served(client: httpx.Client, name: str) -> None:
    """Unknown files, our own code and folders are 404 in the server's own shape."""
    answer = client.get(f"/ui/{name.replace('..', '%2e%2e')}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    assert answer.json()["request_id"]


def test_files_stay_short() -> None:
    """A file that needs much scrolling holds two things."""
    long = {
        path.name: lines
        for path in sorted(UI.rglob("*"))
        if path.suffix in {".html", ".css", ".js"}
        and (lines := path.read_text(encoding="utf-8").count("\n")) > MAX_LINES
    }
    assert {} == long


def test_the_package_brings_every_file() -> None:
    """Nothing that the page needs has a suffix that the wheel leaves out."""
    kept = {".html", ".css", ".js", ".svg", ".py", ".pyc"}
    assert set() == {path.suffix for path in UI.rglob("*") if path.is_file()} - kept
