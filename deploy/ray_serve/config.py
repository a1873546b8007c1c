"""The file that production applies: `python -m deploy.ray_serve.config [--check FILE]`."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer
import yaml
from pydantic import BaseModel, ValidationError

from adapter_runtime import PolyheadError, SettingsError
from deploy.ray_serve.options import RayOptions, load_options
from serving.unreadable import UNREADABLE

BUILD = "deploy.ray_serve.application:build"
NAME = "polyhead"
PORT = 8000
PRODUCTION = RayOptions.model_validate(
    {
        "topology": "affine",
        "min_replicas": 2,
        "max_replicas": 2,
        "num_cpus": 1.8,  # of a node with two; an ingress has some of the rest
        "ingress_replicas": 2,
    }
)
_EXIT_BROKEN = 2
_HEAD = """\
# What production applies: `serve deploy deploy/ray_serve/config.yaml`, or KubeRay's serveConfigV2.
# Made by `python -m deploy.ray_serve.config`; check your own copy with `--check FILE`, because
# Ray itself takes unknown keys without a word. docs/ray.md says what each of the args means.
"""


def production() -> str:
    """The production file's text."""
    args = PRODUCTION.model_dump(exclude={"settings", "initial_replicas"})
    content = {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": PORT, "keep_alive_timeout_s": 75},  # noqa: S104
        "logging_config": {"encoding": "JSON", "log_level": "INFO", "enable_access_log": False},
        "applications": [{"name": NAME, "route_prefix": "/", "import_path": BUILD, "args": args}],
    }
    return _HEAD + yaml.safe_dump(content, sort_keys=False)


def check(text: str) -> None:
    """Refuse a file that Ray, or our application, would not take as it was meant.

    Args:
        text: of the file.

    Raises:
        SettingsError: a key or value is wrong; names its path.
    """
    from ray.serve.schema import ServeDeploySchema

    try:
        content = yaml.safe_load(text)
    except UNREADABLE as error:
        raise SettingsError(f"The file is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise SettingsError("The file must be a mapping with applications: in it.")
    for path, known in unknown_keys(ServeDeploySchema, content):
        raise SettingsError(_refusal(path, known))
    try:
        ServeDeploySchema.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "The file"
        raise SettingsError(f"{place}: {first['msg'].removeprefix('Value error, ')}.") from error
    for number, application in enumerate(content.get("applications") or ()):
        _check_application(f"applications[{number}]", application)


def _check_application(place: str, application: Mapping[str, Any]) -> None:
    if application["import_path"] != BUILD:
        return
    try:
        load_options(application.get("args") or {})
    except SettingsError as error:
        raise SettingsError(f"{place}.args: {error}") from error


def unknown_keys(
    model: type[BaseModel], content: Mapping[str, Any], place: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """The paths of keys that a model does not have, at every level, with those that it has.

    Args:
        model: says what there may be; its free mappings may hold anything.
        content: what there is.
        place: path of `content`.
    """
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for key, value in content.items():
        path = f"{place}.{key}" if place else str(key)
        if key not in fields:
            yield path, sorted(fields)
            continue
        inner = _model_of(fields[key].annotation)
        if inner is None:
            continue
        listed = value if isinstance(value, list) else [value]
        for number, each in enumerate(listed):
            if isinstance(each, Mapping):
                at = f"{path}[{number}]" if isinstance(value, list) else path
                yield from unknown_keys(inner, each, at)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model within an annotation such as `list[Model] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, list):
        return next(filter(None, map(_model_of, get_args(annotation))), None)
    return None


def _refusal(path: str, known: list[str]) -> str:
    near = difflib.get_close_matches(path.rsplit(".", 1)[-1], known, 1)
    rest = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}."
    return f"{path} is not known; {rest}"


def main(
    check_file: Annotated[
        Path | None, typer.Option("--check", help="Check this file instead of printing ours.")
    ] = None,
) -> None:
    """Print the production file, or check one: exit 0 fine, 2 not."""
    if check_file is None:
        typer.echo(production(), nl=False)
        return
    try:
        check(check_file.read_text(encoding="utf-8"))
    except (PolyheadError, OSError, UnicodeDecodeError) as error:
        typer.echo(f"{check_file}: {error}", err=True)
        sys.exit(_EXIT_BROKEN)
    typer.echo(f"{check_file}: fine")


if __name__ == "__main__":
    typer.run(main)
