"""What a shell is told when somebody presses Tab."""

from __future__ import annotations

import pytest

from tests.commands.conftest import Secured
from tests.commands.started import Started, polyhead
from tests.running import free_port


def completed(line: str, **variables: str) -> list[str]:
    """Words that bash is offered at the end of a line."""
    words = line.split(" ")
    asked = {"_POLYHEAD_COMPLETE": "complete_bash", "COMP_WORDS": line}
    asked["COMP_CWORD"] = str(len(words) - 1)
    return polyhead(variables=asked | variables).stdout.split()


@pytest.mark.parametrize("line", ("polyhead predict to", "polyhead tasks show to"))
def test_task_names_are_completed_from_the_server(plain: Started, line: str) -> None:
    """Those that begin so, for every command that takes one."""
    assert completed(line, POLYHEAD_URL=plain.url) == ["topic"]


def test_completion_asks_the_server_on_the_line_with_its_key(secured: Secured) -> None:
    """Only tasks that the key may see."""
    line = f"polyhead predict --url {secured.url} --cacert {secured.authority.file} "
    assert completed(line, POLYHEAD_KEY=secured.keys.secrets["topics"]) == ["topic"]


def test_completion_is_silent_where_no_server_answers() -> None:
    """No error in the middle of somebody's line."""
    assert completed("polyhead predict ", POLYHEAD_URL=f"http://127.0.0.1:{free_port()}") == []


def test_commands_are_completed_and_the_script_is_shown() -> None:
    """By typer's own."""
    assert {"predict", "plan"} <= set(completed("polyhead p"))
    assert "complete" in polyhead("--show-completion", "bash").stdout
