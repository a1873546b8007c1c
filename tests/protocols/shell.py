"""The command line against a server over a FakeService."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from click.testing import Result
from typer.testing import CliRunner

from serving.cli import app
from tests.protocols.fake_service import FakeService


@dataclass
class Shell:
    """Runs `polyhead tasks` against a server over a FakeService."""

    url: str
    service: FakeService

    def __call__(self, *arguments: str, typed: str | None = None) -> Result:
        """One command; an error that `main` would print is raised."""
        result = CliRunner().invoke(app, ["tasks", "--url", self.url, *arguments], input=typed)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    @property
    def asked(self) -> Sequence[object]:
        """What the service was last told to do."""
        return self.service.calls[-1]
