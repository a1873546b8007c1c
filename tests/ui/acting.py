"""What a reader does on the page, and answers of kinds that the demo has no task of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from playwright.sync_api import Locator, Page, Route, expect

from tests.running import Running

HEADERS = {
    "x-task-version": "v7",
    "x-adapter-residency": "device",
    "x-queue-time": "1.5",
    "x-inference-time": "2.5",
}


def open_task(page: Page, server: Running, name: str) -> None:
    """Show a task's form."""
    page.goto(f"{server.url}/#try/{name}")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def run(page: Page) -> Locator:
    """Send the form; gives the answer's card."""
    page.get_by_role("button", name="Run", exact=True).click()
    answer = page.get_by_role("region", name="Answer")
    expect(answer).to_be_visible()
    return answer


def task(name: str, kind: str | None, **facts: Any) -> dict[str, Any]:
    """A task as `GET /tasks` lists it."""
    known = {"name": name, "kind": kind, "state": "ready", "version": "v7", "residency": "device"}
    return {**known, "labels": [], "limits": {}, "reason": None, "versions": [], **facts}


def pretend(
    page: Page, tasks: Sequence[Mapping[str, Any]], answer: Any = None, status: int = 200
) -> list[dict[str, Any]]:
    """Let the page see other tasks, whose answer is given; gives what they are sent."""
    sent: list[dict[str, Any]] = []

    def reply(route: Route) -> None:
        if route.request.method == "POST":
            sent.append(json.loads(route.request.post_data or "null"))
            route.fulfill(status=status, headers=HEADERS, json=answer)
        else:
            route.fulfill(json={"example": None})

    page.route("**/tasks", lambda route: route.fulfill(json={"tasks": list(tasks)}))
    page.route("**/models/*", reply)
    return sent
