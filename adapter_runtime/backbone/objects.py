"""JSON files of a backbone that must hold an object."""

from __future__ import annotations

from typing import Any

from adapter_runtime.errors import BackboneError
from adapter_runtime.sources.folder import Folder


def read_object(folder: Folder, name: str) -> dict[str, Any]:
    """A JSON file's object.

    Raises:
        SourceError: the file is missing or no JSON.
        BackboneError: it holds something else.
    """
    content = folder.read_json(name)
    if not isinstance(content, dict):
        raise BackboneError(f"{folder.source}: {name} must hold a JSON object; fetch it again.")
    return content
