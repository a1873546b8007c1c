"""Serves a slow FakeEngine in a process of its own: `python -m tests.serving.fake_server RUN_S`."""

from __future__ import annotations

import sys

from serving.catalog.catalog import admit_all
from serving.serve import listen, serve_on
from serving.settings import load_settings
from tests.serving.conftest import FILE
from tests.serving.fake_engine import FakeEngine


def main() -> None:
    """Serve on a free port until told to stop."""
    engine = FakeEngine(run_s=float(sys.argv[1]))
    settings = load_settings(drain_notice_s=float(sys.argv[2]))
    with listen("127.0.0.1", 0) as listener:
        serve_on(listener, engine, admit_all(engine, FILE), settings)


if __name__ == "__main__":
    main()
