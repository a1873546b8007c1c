"""What the Open Inference Protocol tells about the server and its models."""

from __future__ import annotations

from typing import Any

from serving.protocols.describe import find_version
from serving.protocols.oip_inputs import JSON, OPTIONAL, REQUIRED, num_dimensions
from serving.protocols.oip_outputs import columns_of
from serving.protocols.oip_tensors import BYTES
from serving.views import TaskView

PLATFORM = "polyhead"
EXTENSIONS = ("binary_tensor_data", "model_repository_extension")


def server_metadata(release: str) -> dict[str, Any]:
    """The server's name, release and extensions."""
    return {"name": PLATFORM, "version": release, "extensions": EXTENSIONS}


def model_metadata(view: TaskView, id: str | None) -> dict[str, Any]:
    """A task as a model: its versions, and the tensors that it takes and gives.

    Args:
        view: the task.
        id: of the version to tell about; None means the one that answers.

    Raises:
        VersionRetired, UnknownVersion: it has no such version (any more).
    """
    shown = view if id is None else find_version(view, id)
    facts = {"kind": shown.kind, "state": shown.state, "version": id or view.version}
    return {
        "name": view.name,
        "versions": [
            each.id for each in view.versions if each.id is not None and each.state != "retired"
        ],
        "platform": PLATFORM,
        "inputs": _inputs(shown.kind),
        "outputs": [
            _tensor(column.name, column.datatype, column.num_dimensions)
            for column in columns_of(shown.kind)
        ],
        "parameters": {name: fact for name, fact in facts.items() if fact is not None},
    }


def _inputs(kind: str | None) -> list[dict[str, Any]]:
    """The tensors of one whole request; before the kind is known, any input as JSON."""
    required = REQUIRED.get(kind or "", (JSON,))
    found = [_tensor(name, BYTES, num_dimensions(name)) for name in required]
    for name in OPTIONAL.get(kind or "", ()):
        tensor = _tensor(name, BYTES, num_dimensions(name))
        found.append({**tensor, "parameters": {"optional": True}})
    return found


def _tensor(name: str, datatype: str, num_dimensions: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1] * num_dimensions}
