"""Binary tensors over REST: what is read, what is sent, and what each wrong body is told."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from serving.protocols.oip_attached import packed_texts, texts_of
from serving.protocols.oip_binary import packed
from serving.protocols.oip_tensors import FP32, INT64, Tensor
from tests.protocols.conftest import Api

LENGTH = "inference-header-content-length"
INFER = "/v2/models/topic/infer"


def stated(size: Any, *shape: int, name: str = "text") -> dict[str, Any]:
    """A tensor whose elements follow the JSON."""
    parameters = {"binary_data_size": size}
    return {"name": name, "datatype": "BYTES", "shape": shape or (1,), "parameters": parameters}


def ask(
    api: Api, inputs: list[Any], content: bytes, length: Any = None, **body: Any
) -> httpx.Response:
    """One request; its header tells the truth unless another length is given."""
    head = orjson.dumps({"inputs": inputs, **body})
    headers = {LENGTH: str(len(head)) if length is None else length}
    return api("POST", INFER, content=head + content, headers=headers)


def test_texts_come_as_bytes_and_outputs_go_as_asked(api: Api) -> None:
    """One output's own word wins over the request's."""
    content = packed_texts(["a", "ü" * 3])
    outputs = [{"name": "score"}, {"name": "label", "parameters": {"binary_data": False}}]
    parameters = {"binary_data_output": True}
    response = ask(api, [stated(len(content), 2)], content, outputs=outputs, parameters=parameters)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/octet-stream"
    size = int(response.headers[LENGTH])
    score, label = orjson.loads(response.content[:size])["outputs"]
    assert score["parameters"] == {"binary_data_size": 8}
    assert len(np.frombuffer(response.content[size:], "<f4")) == 2
    assert len(label["data"]) == 2


def test_elements_stand_in_little_endian() -> None:
    """Texts behind their lengths, numbers as numpy has them."""
    assert texts_of(packed_texts(["", "b"]), "x") == ["", "b"]
    assert packed(Tensor("x", INT64, (2,), [1, -1])) == np.array([1, -1], "<i8").tobytes()
    assert packed(Tensor("x", FP32, (1,), [0.5])) == np.array([0.5], "<f4").tobytes()


GOOD = packed_texts(["a"])
WRONG: tuple[tuple[dict[str, Any], bytes, str | None, str], ...] = (
    (stated(5), GOOD, "-1", "are JSON, not"),
    (stated(5), GOOD, "\xb2", "are JSON, not"),
    (stated(5), GOOD, "", "are JSON, not"),
    (stated(5), GOOD, "9" * 5000, "are JSON, not"),
    (stated(5), GOOD, "99999", "are JSON, not"),
    (stated(5), GOOD, "3", "not valid JSON"),
    (stated(5), GOOD, "0", "is empty"),
    (stated(6), GOOD, None, "binary_data_size: expected how many of the 5 bytes"),
    (stated(-1), GOOD, None, "binary_data_size: expected"),
    (stated(True), GOOD, None, "binary_data_size: expected"),
    (stated("5"), GOOD, None, "binary_data_size: expected"),
    (stated(1 << 63), GOOD, None, "binary_data_size: expected"),
    (stated(0), b"", None, "holds 0 elements"),
    (stated(5), GOOD + b"x", None, "1 bytes behind the JSON"),
    (stated(4), GOOD[:4], None, "element 0 ends past"),
    (stated(3), GOOD[:3], None, "element 0 ends past"),
    (stated(9), b"\xff\xff\xff\xff" + GOOD, None, "element 0 ends past"),
    (stated(6), GOOD + b"x", None, "element 1 ends past"),
    (stated(5), b"\x01\x00\x00\x00\xff", None, "not UTF-8"),
    (stated(5, 2), GOOD, None, "holds 1 elements"),
    (stated(5, 1 << 62), GOOD, None, "holds 1 elements"),
    (stated(5) | {"datatype": "FP32"}, GOOD, None, "expected BYTES"),
    (stated(5) | {"data": ["a"]}, GOOD, None, "stands beside"),
)


@pytest.mark.parametrize(("tensor", "content", "length", "said"), WRONG)
def test_a_wrong_length_is_the_clients_error(
    api: Api, tensor: dict[str, Any], content: bytes, length: Any, said: str
) -> None:
    """400 and where it is wrong, never 500."""
    length = None if length is None else length.encode("latin-1")
    response = ask(api, [tensor], content, length)
    assert response.status_code == 400, response.text
    assert said in response.json()["error"]


@pytest.mark.parametrize(
    "body",
    (
        {"parameters": {"binary_data_output": "yes"}},
        {"outputs": [{"name": "score", "parameters": {"binary_data": 1}}]},
    ),
)
def test_how_outputs_travel_is_said_with_booleans(api: Api, body: dict[str, Any]) -> None:
    """Anything else would be guessed at."""
    response = ask(api, [stated(5)], GOOD, **body)
    assert response.status_code == 400
    assert "expected true or false" in response.json()["error"]
