"""Whoever reads by ear, by keyboard, in the dark or on a phone can use every view."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.running import Running
from tests.ui.acting import open_task, pretend, run, task

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
CHECKS = (Path(__file__).parent / "checks.js").read_text(encoding="utf-8")


def task_with_answer(name: str) -> Callable[[Page, Running], None]:
    """Shows a task's form and its answer."""

    def show(page: Page, demo: Running) -> None:
        open_task(page, demo, name)
        run(page)

    return show


def show_comparison(page: Page, demo: Running) -> None:
    """Shows several answers side by side."""
    page.goto(f"{demo.url}/#compare")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#announcements")).to_contain_text("have answered")


def show_charts(page: Page, demo: Running) -> None:
    """Shows the charts with a first reading."""
    page.goto(f"{demo.url}/#live")
    expect(page.locator(".legend dd").last).not_to_have_text("–")


def show_error(page: Page, demo: Running) -> None:
    """Shows a rejected task and its error."""
    reasons = [{"code": "missing_tensor", "message": "A tensor is missing."}]
    said = {"error": "It was rejected.", "code": "rejected_adapter", "reasons": reasons}
    bad = task("bad", "text-classification", state="rejected", reason="A tensor is missing.")
    pretend(page, [bad], said, status=424)
    open_task(page, demo, "bad")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()


VIEWS = {
    "classes": task_with_answer("sentiment"),
    "tags": task_with_answer("pos"),
    "span": task_with_answer("qa"),
    "matrix": task_with_answer("embed"),
    "comparison": show_comparison,
    "charts": show_charts,
    "error": show_error,
}


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_can_be_read(page: Page, demo: Running, view: str) -> None:
    """Fields have labels, headings their order, texts contrast, and nothing is too wide."""
    page.emulate_media(reduced_motion="reduce")
    VIEWS[view](page, demo)
    for theme, width in product(THEMES, (1280, 360)):
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(CHECKS) == [], (theme, width)


def test_the_checks_find_what_is_wrong(page: Page, demo: Running) -> None:
    """They complain of a field without a label, grey on grey, a skipped heading and a wide box."""
    open_task(page, demo, "sentiment")
    page.evaluate(
        """() => {
            const field = document.createElement("input");
            const pale = document.createElement("h4");
            pale.textContent = "pale";
            pale.style.color = "#999";
            pale.style.width = "3000px";
            document.querySelector("main").append(field, pale);
        }"""
    )
    found = " ".join(page.evaluate(CHECKS))
    for complaint in ("no label", "contrast 2", "a heading is skipped", "wider than"):
        assert complaint in found


def test_the_reader_chooses_the_theme(page: Page, demo: Running) -> None:
    """The choice wins over the system's, and is there after a reload."""
    page.emulate_media(color_scheme="light")
    open_task(page, demo, "sentiment")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Theme: system").click()
    page.get_by_role("button", name="Theme: light").click()
    dark = page.evaluate(ground)
    assert light != dark
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate(ground) == dark


def test_the_keyboard_is_enough(page: Page, demo: Running) -> None:
    """Skip link, form, Ctrl+Enter, tabs by arrows; every stop shows that it has the focus."""
    open_task(page, demo, "qa")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    question = page.get_by_label("Question")
    expect(question).to_be_focused()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("When was it built?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("region", name="Answer").locator("mark")).to_have_text("1874")
    expect(question).to_be_focused()
    page.get_by_role("tab", name="curl").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Python")).to_be_focused()
    expect(page.get_by_role("group", name="Python script")).to_be_visible()


def test_the_keyboard_is_never_trapped(page: Page, demo: Running) -> None:
    """Tab walks through everything and out at the end."""
    open_task(page, demo, "sentiment")
    run(page)
    page.locator("body").evaluate("body => { body.tabIndex = -1; body.focus(); }")
    stops: list[str] = []
    while len(stops) < 60 and "BODY" not in stops:
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.tagName"))
    assert stops[-1] == "BODY"
    assert {"A", "BUTTON", "TEXTAREA", "INPUT", "SUMMARY", "PRE"} <= set(stops)


def test_the_key_field_says_what_it_is_for(page: Page, demo: Running) -> None:
    """It has a label and a description, and can be put away again."""
    said = {"error": "Send a key.", "code": "unauthorized"}
    page.route("**/tasks", lambda route: route.fulfill(status=401, json=said))
    page.goto(demo.url)
    expect(page.get_by_label("API key", exact=True)).to_have_accessible_description(
        "This server wants a key. It is kept for this tab only, and sent to this server only."
    )
    expect(page.get_by_role("alert").first).to_contain_text("A key is needed")
    page.get_by_role("button", name="API key").click()
    expect(page.get_by_label("API key", exact=True)).to_have_count(0)
