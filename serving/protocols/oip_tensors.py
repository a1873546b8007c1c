"""Tensors of the Open Inference Protocol, as its JSON states them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapter_runtime import InvalidInput
from serving.protocols.oip_attached import BINARY_SIZE, Attached, texts_of

BYTES, FP32, INT64 = "BYTES", "FP32", "INT64"
_MAX_DIMENSIONS = 2
_TEXT, _JSON = "str", "json"
_CONTENT_TYPES = (_TEXT, _JSON)
SHARED_MEMORY = "shared_memory_region"
NO_SHARED_MEMORY = "shared memory is not taken; send the data in the request."


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array, whatever it travels as.

    Args:
        name: of the input or output.
        datatype: `BYTES`, `FP32` or `INT64`; elements are then strings, floats or integers.
        shape: the size of each dimension.
        data: the elements, the last dimension's first.
        is_json: each element is an input in JSON rather than a text.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]
    is_json: bool = False

    def as_json(self) -> dict[str, Any]:
        """The tensor as the protocol's JSON."""
        return {
            "name": self.name,
            "datatype": self.datatype,
            "shape": self.shape,
            "data": self.data,
        }

    def rows(self) -> Iterator[list[Any]]:
        """The elements of each row of a tensor with two dimensions."""
        width = self.shape[1]
        for row in range(self.shape[0]):
            yield self.data[row * width : (row + 1) * width]


def read_tensors(inputs: Any, attached: Attached | None = None) -> list[Tensor]:
    """A request's `inputs`.

    Args:
        inputs: of the request's JSON.
        attached: what follows the JSON; None: nothing.

    Raises:
        InvalidInput: no list of tensors, or one of them is wrong; names it.
    """
    if not isinstance(inputs, list) or not inputs:
        raise InvalidInput("expected a list of at least one tensor.", "inputs")
    attached = attached or Attached(b"")
    found: dict[str, Tensor] = {}
    for number, each in enumerate(inputs):
        tensor = _read(each, f"inputs[{number}]", attached)
        if tensor.name in found:
            raise InvalidInput(f"{tensor.name!r:.60} is given twice.", f"inputs[{number}].name")
        found[tensor.name] = tensor
    attached.check_empty()
    return list(found.values())


def read_scalars(value: Any, place: str) -> dict[str, Any]:
    """A `parameters` object: strings, numbers and Booleans by name; None is an empty one.

    Raises:
        InvalidInput: something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput("must be an object.", place)
    for name, scalar in value.items():
        if scalar is not None and not isinstance(scalar, str | int | float):
            message = "must be a string, a number or a Boolean; that is all this protocol has."
            raise InvalidInput(message, f"{place}.{name:.60}")
    return value


def is_json_content(parameters: Mapping[str, Any], place: str) -> bool:
    """Whether `content_type` says that elements are JSON; without it they are text.

    Raises:
        InvalidInput: it says something else.
    """
    content_type = parameters.get("content_type")
    if content_type is not None and content_type not in _CONTENT_TYPES:
        known = " or ".join(_CONTENT_TYPES)
        raise InvalidInput(f"expected {known}.", f"{place}.parameters.content_type")
    return content_type == _JSON


def _read(value: Any, place: str, attached: Attached) -> Tensor:
    if not isinstance(value, dict):
        raise InvalidInput("expected an object with name, datatype, shape and data.", place)
    name = value.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidInput("expected the name of an input.", f"{place}.name")
    if value.get("datatype") != BYTES:
        message = f"expected {BYTES}: every input is text, and tokens are made here."
        raise InvalidInput(message, f"{place}.datatype")
    parameters = read_scalars(value.get("parameters"), f"{place}.parameters")
    if SHARED_MEMORY in parameters:
        raise InvalidInput(NO_SHARED_MEMORY, place)
    shape = _shape(value.get("shape"), f"{place}.shape")
    data = _elements(value, parameters.get(BINARY_SIZE), shape, place, attached)
    return Tensor(name, BYTES, shape, data, is_json_content(parameters, place))


def _elements(
    value: dict[str, Any], size: Any, shape: tuple[int, ...], place: str, attached: Attached
) -> list[Any]:
    """A tensor's elements, from its JSON or from what follows it."""
    if size is None:
        if "data" not in value:
            raise InvalidInput("is missing; the tensor needs it.", f"{place}.data")
        return _flat(value["data"], shape, f"{place}.data")
    if "data" in value:
        raise InvalidInput(f"stands beside {BINARY_SIZE}; send one of them.", f"{place}.data")
    content = attached.take(size, f"{place}.parameters.{BINARY_SIZE}")
    return _counted(texts_of(content, place), shape, place)


def _shape(value: Any, place: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_DIMENSIONS:
        raise InvalidInput(f"expected a list of 1 to {_MAX_DIMENSIONS} sizes.", place)
    for size in value:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InvalidInput("expected whole numbers of at least 1.", place)
    return tuple(value)


def _flat(data: Any, shape: tuple[int, ...], place: str) -> list[Any]:
    """The elements in order; the data may be nested as the shape says, or flat."""
    if not isinstance(data, list):
        raise InvalidInput("expected a list.", place)
    is_nested = len(shape) > 1 and bool(data) and isinstance(data[0], list)
    found = _unnested(data, shape, place) if is_nested else data
    for number, element in enumerate(found):
        if not isinstance(element, str):
            raise InvalidInput(
                f"element {number} is no string; BYTES are written as text, and nested only as "
                "the shape says.",
                place,
            )
    return _counted(found, shape, place)


def _counted(found: list[Any], shape: tuple[int, ...], place: str) -> list[Any]:
    needed = math.prod(shape)
    if len(found) != needed:
        message = f"holds {len(found)} elements, the shape {list(shape)} needs {needed}."
        raise InvalidInput(message, place)
    return found


def _unnested(rows: list[Any], shape: tuple[int, ...], place: str) -> list[Any]:
    is_right = len(rows) == shape[0]
    if not is_right or not all(isinstance(row, list) and len(row) == shape[1] for row in rows):
        raise InvalidInput("is nested otherwise than the shape says.", place)
    return [element for row in rows for element in row]
