"""What the code really has: settings, routes, options and metrics, asked of the code itself."""

from __future__ import annotations

import importlib.util
import tomllib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from starlette.testclient import TestClient

from serving.app import create_app
from serving.cli import app as commands
from serving.metrics import METRICS, PrometheusRecorder
from serving.settings import PREFIX, Settings
from tests.running import ROOT

SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
SERIES = {
    f"{metric.name}{suffix}": {*metric.labels, *(("le",) if suffix == "_bucket" else ())}
    for metric in METRICS
    for suffix in SUFFIXES[metric.kind]
}
"""Every series that a server shows, with its labels."""


@lru_cache(maxsize=1)
def release() -> str:
    """The project's version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: str = project["version"]
    return found


@lru_cache(maxsize=1)
def routes() -> frozenset[str]:
    """The paths that a server answers to GET, but for those that need a name."""
    app = create_app(object(), Settings(), PrometheusRecorder())  # type: ignore[arg-type]
    paths = TestClient(app).get("/openapi.json").json()["paths"]
    return frozenset(
        path for path, operations in paths.items() if "get" in operations and "{" not in path
    )


def settings_of(variables: dict[str, str]) -> tuple[Settings, list[str]]:
    """The settings of an environment, and what is wrong with it."""
    ours = {name: value for name, value in variables.items() if name.startswith(PREFIX)}
    given: dict[str, Any] = {name.removeprefix(PREFIX).lower(): ours[name] for name in ours}
    try:
        return Settings(**given), []
    except ValidationError as error:
        problems = [
            f"{PREFIX}{each['loc'][0]}".upper() + f": {each['msg']}" for each in error.errors()
        ]
        return Settings(), problems


def problems_of(arguments: list[str]) -> list[str]:
    """What the command line would say to arguments in a manifest, or we."""
    name, *given = arguments
    command: Any = getattr(typer.main.get_command(commands), "commands", {}).get(name)
    if name != "serve" or command is None:
        return [f"{name}: pods serve"]
    try:
        command.make_context(name, list(given))
    except Exception as error:
        return [f"polyhead {name}: {error}"]
    return [
        f"{each}: give it as a variable, which the other checks read"
        for each in given
        if each.partition("=")[0].removeprefix("--").replace("-", "_") in Settings.model_fields
    ]


def ray_options_of(command: str) -> set[str]:
    """The options of a command of Ray's."""
    from ray.scripts.scripts import cli

    return _options(cli.commands[command])


def _options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


def ray_version() -> str:
    """The Ray that is installed, and locked."""
    return version("ray")


@lru_cache(maxsize=1)
def ray_says() -> str:
    """The files of the installed Ray that answer health checks."""
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    names = (
        "dashboard/modules/reporter/healthz_agent.py",
        "dashboard/modules/reporter/reporter_head.py",
        "serve/_private/proxy_request_response.py",
    )
    return "".join((folder / name).read_text(encoding="utf-8") for name in names)
