"""The page as a whole: safe, findable, honest about errors, and at home behind a prefix."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from playwright.sync_api import Page, Route, expect

from tests.running import Running
from tests.ui.acting import open_task, pretend, run, task

EVIL = "<img src=x onerror=\"document.title='broken'\">"


def test_nothing_from_the_server_becomes_html(page: Page, demo: Running) -> None:
    """Names, labels, states, reasons, inputs and answers are text, whatever they say."""
    tasks = [task(EVIL, "text-classification", state=EVIL, labels=[EVIL], reason=EVIL)]
    pretend(page, tasks, [[{"label": EVIL, "score": 0.9}]])
    page.goto(demo.url)
    expect(page.get_by_role("heading", level=1)).to_have_text(EVIL)
    page.get_by_label("Text", exact=True).fill(EVIL)
    expect(run(page).get_by_role("listitem")).to_contain_text(EVIL)
    page.get_by_role("link", name="Compare").click()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".cards h2")).to_have_text(EVIL)
    assert page.locator("img[src=x]").count() == 0
    assert "broken" not in page.title().split()


def test_an_error_is_told_in_words(page: Page, demo: Running) -> None:
    """What happened, the server's own remedy, the code and the request to quote."""
    open_task(page, demo, "qa")
    page.get_by_label("Question").fill("   ")
    page.get_by_role("button", name="Run", exact=True).click()
    box = page.get_by_role("alert")
    expect(box).to_contain_text("The input is not right")
    expect(box).to_contain_text("send at least one word")
    expect(box).to_contain_text("code invalid_input")
    expect(box).to_contain_text(re.compile("request [0-9a-f]{24}"))


def test_every_reason_and_the_time_to_wait_are_told(page: Page, demo: Running) -> None:
    """A rejected task lists its reasons."""
    reasons = [{"code": "missing_tensor", "message": "A tensor is missing."}]
    said = {"error": "It was rejected.", "code": "rejected_adapter", "reasons": reasons}
    pretend(page, [task("bad", "text-classification", state="rejected")], said, status=424)
    open_task(page, demo, "bad")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("missing_tensor A tensor is missing.")


def test_a_key_is_asked_for_and_sent(page: Page, demo: Running) -> None:
    """It goes into a header and this tab's storage, and into no snippet."""
    seen: list[str | None] = []

    def guard(route: Any) -> None:
        seen.append(route.request.headers.get("authorization"))
        if seen[-1] == "Bearer s3cret":
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": "Send a key.", "code": "unauthorized"})

    for pattern in ("**/tasks", "**/models/*", "**/info"):
        page.route(pattern, guard)
    page.goto(demo.url)
    page.get_by_label("API key", exact=True).fill("s3cret")
    page.get_by_role("button", name="Use this key").click()
    run(page)
    assert seen[0] is None
    assert seen[-1] == "Bearer s3cret"
    assert page.evaluate("[...Object.values(sessionStorage)]") == ["s3cret"]
    assert page.evaluate("localStorage.length") == 0
    assert "s3cret" not in page.content()
    expect(page.get_by_role("group", name="curl command")).to_contain_text("$POLYHEAD_API_KEY")


def test_what_was_run_can_be_copied(page: Page, demo: Running) -> None:
    """The command and the script answer as the page did, quotes and all."""
    open_task(page, demo, "sentiment")
    page.get_by_label("Text", exact=True).fill("It's \"warm\",\nfunny & 'fine' $HOME")
    run(page)
    curl = page.get_by_role("group", name="curl command").inner_text()
    page.get_by_role("tab", name="Python").click()
    script = page.get_by_role("group", name="Python script").inner_text()
    assert "InferenceClient" in script
    for command in (["bash", "-c", curl], [sys.executable, "-c", script]):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert "positive" in done.stdout


def test_tasks_are_found_among_very_many(page: Page, demo: Running) -> None:
    """Two thousand tasks: some are shown, all are searched, arrows walk through them."""
    pretend(page, [task(f"task-{number}", "fill-mask") for number in range(2000)])
    page.goto(demo.url)
    links = page.get_by_role("navigation", name="Tasks").get_by_role("link")
    expect(links).to_have_count(150)
    page.get_by_label("Search tasks").fill("task-1999 mask")
    expect(links).to_have_count(1)
    expect(page.get_by_text("1 task found")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("task-1999")


def test_tasks_are_compared(page: Page, demo: Running) -> None:
    """Each chosen task has a card with its own picture; all are asked at once."""
    page.goto(f"{demo.url}/#compare")
    page.get_by_label("Text", exact=True).fill("A warm and funny film.")
    with page.expect_response("**/v1/analyze") as found:
        page.get_by_role("button", name="Compare").click()
    assert len(found.value.request.post_data_json["tasks"]) == 4
    expect(
        page.get_by_role("region", name="sentiment").get_by_role("listitem").first
    ).to_contain_text("positive")
    expect(page.get_by_role("region", name="pos").locator("mark").first).to_be_visible()
    expect(page.locator("#announcements")).to_have_text("4 of 4 tasks have answered")


def test_what_a_compared_task_cannot_do_is_told_in_its_card(page: Page, demo: Running) -> None:
    """Be it one of them, or all, when the response is an error itself."""
    refused = {"error": "No.", "code": "row_failed", "status": 500, "request_id": "r1"}
    answered = {"outputs": [[{"label": "positive", "score": 0.9}]], "queue_ms": 0}

    def reply(route: Route) -> None:
        names = [each["task"] for each in route.request.post_data_json["tasks"]]
        results = {name: answered if name == "sentiment" else refused for name in names}
        is_any = "sentiment" in names
        error = {} if is_any else refused
        route.fulfill(status=200 if is_any else 500, json={"results": results, **error})

    page.route("**/v1/analyze", reply)
    page.goto(f"{demo.url}/#compare")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("region", name="pos").get_by_text("No.")).to_be_visible()
    expect(
        page.get_by_role("region", name="sentiment").get_by_text("0.0 ms", exact=True)
    ).to_be_visible()
    expect(page.locator("#announcements")).to_have_text("1 of 4 tasks have answered")
    page.get_by_role("checkbox", name="sentiment").uncheck()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#announcements")).to_have_text("0 of 3 tasks have answered")
    expect(page.get_by_role("region", name="pos").get_by_text("No.")).to_be_visible()


def test_charts_show_what_the_server_does(page: Page, demo: Running) -> None:
    """After two readings there are rates, and the tasks that cause them."""
    page.goto(f"{demo.url}/#live")
    adapters = page.get_by_role("region", name="Adapters", exact=True)
    requests = page.get_by_role("region", name="Requests a second")
    expect(adapters.locator("dd").first).to_have_text("–")
    with httpx.Client(base_url=demo.url) as client:
        for _ in range(10):
            client.post("/models/sentiment", json={"inputs": "Fine."})
    expect(adapters.locator("dd").first).to_have_text(re.compile("[1-9]"))
    expect(requests.locator("dd").first).to_have_text(re.compile(r"\d"))


@contextmanager
def prefix_proxy(target: str) -> Iterator[str]:
    """A proxy that serves the server below `/team/polyhead/` and nothing beside it."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith("/team/polyhead/"):
                self.send_error(404)
                return
            length = int(self.headers.get("content-length", 0))
            answer = httpx.request(
                self.command,
                target + self.path.removeprefix("/team/polyhead"),
                content=self.rfile.read(length),
            )
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in {"content-encoding", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/team/polyhead/"
        server.shutdown()
        thread.join()


def test_it_works_behind_a_path_prefix(page: Page, demo: Running) -> None:
    """Every address that the page asks, and the one that it tells, keeps the prefix."""
    with prefix_proxy(demo.url) as url:
        page.goto(url)
        run(page)
        expect(page.get_by_role("group", name="curl command")).to_contain_text(
            f"{url}models/sentiment"
        )
        link = page.get_by_role("link", name="API docs")
        assert link.evaluate("link => link.href") == f"{url}docs"
        page.goto("about:blank")  # no request may come after the proxy has gone
