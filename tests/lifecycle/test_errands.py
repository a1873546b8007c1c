"""Work on threads of its own, a bounded number at a time."""

from __future__ import annotations

import threading

import pytest

from serving.errors import Draining, Overloaded
from serving.lifecycle.changing.errands import Errands


def test_errands_beyond_the_bound_are_refused() -> None:
    """One that ends makes room for another."""
    errands, go = Errands(1, "test"), threading.Event()
    first = errands.start(go.wait)
    with pytest.raises(Overloaded):
        errands.start(go.wait)
    go.set()
    assert first.result(30)
    assert errands.start(lambda: 2).result(30) == 2
    errands.close()
    with pytest.raises(Draining):
        errands.start(go.wait)


def test_an_errand_without_a_thread_takes_nobody_s_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is full no thread starts; it is refused, and the next one is not."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    errands = Errands(1, "test")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(Overloaded, match="thread"):
                errands.start(lambda: None)
    assert errands.start(lambda: 3).result(30) == 3
