"""Serves a slow FakeEngine in a process of its own: `python -m tests.serving.fake_server RUN_S`."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack

from adapter_runtime import Kind, Leaf, TaskSpec
from serving.catalog.keys import plan_of
from serving.catalog.plans import TaskFile
from serving.lifecycle.admitting.at_once import AtOnce
from serving.lifecycle.live.tasks import Tasks
from serving.listeners import listen_all
from serving.opening import Opened
from serving.serve import serve_on
from serving.settings import load_settings
from tests.serving.fake_engine import FakeEngine
from tests.serving.fixed_store import FixedStore

SPECS = (
    TaskSpec("topic", adapter=Leaf("/a/topic")),
    TaskSpec("spam", adapter=Leaf("/a/spam")),
    TaskSpec("echo", adapter=Leaf("/a/echo"), kind=Kind.QUESTION_ANSWERING),
)
FILE = TaskFile("fake", tuple(map(plan_of, SPECS)))


def main() -> None:
    """Serve on a free port until told to stop."""
    engine, tasks = FakeEngine(), Tasks()
    tasks.apply(FILE)
    at_once = AtOnce(tasks, engine)
    at_once.resolve("topic")
    engine.run_s = float(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        settings = load_settings(port=0, drain_notice_s=float(sys.argv[2]), state_dir=folder)
        opened = Opened(engine, tasks, at_once, FixedStore(FILE), "fake")
        serve_on(stack.enter_context(listen_all(settings)), opened, settings)


if __name__ == "__main__":
    main()
