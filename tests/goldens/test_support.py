"""The documentation's support table is what the goldens prove."""

from __future__ import annotations

from tests.goldens.support import TARGET, page


def test_the_support_table_counts_the_goldens():
    """Run `python -m tests.goldens.support` when goldens were added or removed."""
    assert page() == TARGET.read_text("utf-8")
