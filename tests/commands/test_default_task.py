"""`--default-task` of a server that has no such task."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.started import started_server


@pytest.mark.parametrize(("task", "is_told"), (("topik", True), ("topic", False)))
def test_a_default_task_that_is_not_there_is_told_at_the_start(
    tmp_path: Path, task: str, is_told: bool
) -> None:
    """With the name that is near; the server starts, for the task may come later."""
    with started_server(tmp_path, {"POLYHEAD_DEFAULT_TASK": task}):
        said = (tmp_path / "log").read_text()
    assert ("--default-task" in said) is is_told
    assert ("topik" in said) is is_told
