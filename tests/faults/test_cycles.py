"""Versions that come and go for a long time, in small."""

from __future__ import annotations

from pathlib import Path

from benchmarks.load_cycles import measure


def test_loads_and_evictions_leave_nothing_behind(tmp_path: Path) -> None:
    """No weights, no file handles; `benchmarks.load_cycles` watches memory for much longer."""
    found = measure(150, tmp_path)
    assert set(found["left_over"].values()) == {0}, found
    assert found["files_grown"] == 0, found
