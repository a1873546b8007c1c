"""What of a request's body is a tensor, and what each that is not is told."""

from __future__ import annotations

from typing import Any

import pytest

from adapter_runtime import InvalidInput
from serving.protocols.oip_inputs import items_of
from serving.protocols.oip_outputs import read_requested
from serving.protocols.oip_tensors import read_tensors


def tensor(name: str = "text", *data: Any, **other: Any) -> dict[str, Any]:
    """One input tensor; members can be replaced."""
    stated = {"name": name, "datatype": "BYTES", "shape": [len(data)], "data": list(data)}
    return {**stated, **other}


PLACES: tuple[tuple[Any, str], ...] = (
    (None, "inputs: expected a list"),
    ({}, "inputs: expected a list"),
    ([], "inputs: expected a list"),
    (["a"], "inputs[0]: expected an object"),
    ([tensor("")], "inputs[0].name"),
    ([tensor("text", "a"), tensor("text", "b")], "inputs[1].name: 'text' is given twice"),
    ([tensor(name=7)], "inputs[0].name"),
    ([tensor("text", 1.5, datatype="FP32")], "inputs[0].datatype: expected BYTES"),
    ([tensor("text", "a", datatype=None)], "inputs[0].datatype"),
    ([tensor("text", "a", datatype=["BYTES"])], "inputs[0].datatype"),
    ([tensor("text", "a", shape=None)], "inputs[0].shape"),
    ([tensor("text", "a", shape=[])], "inputs[0].shape: expected a list of 1 to 2"),
    ([tensor("text", "a", shape=[1, 1, 1])], "inputs[0].shape"),
    ([tensor("text", "a", shape=[-1])], "inputs[0].shape: expected whole numbers"),
    ([tensor("text", "a", shape=[True])], "inputs[0].shape: expected whole numbers"),
    ([tensor("text", "a", shape=[1.0])], "inputs[0].shape: expected whole numbers"),
    ([tensor("text", shape=[0])], "inputs[0].shape: expected whole numbers"),
    ([tensor("text", shape=[1 << 62, 0])], "inputs[0].shape: expected whole numbers"),
    ([tensor("text", "a", shape=[2])], "holds 1 elements, the shape [2] needs 2"),
    ([tensor("text", "a", shape=[1 << 62])], "holds 1 elements"),
    ([tensor("text", 7)], "inputs[0].data: element 0 is no string"),
    ([tensor("text", "a", None)], "inputs[0].data: element 1 is no string"),
    ([tensor("text", ["a"])], "inputs[0].data: element 0 is no string"),
    ([tensor("text", ["a"], ["b", "c"], shape=[2, 1])], "inputs[0].data: is nested otherwise"),
    ([tensor("text", ["a"], "b", shape=[2, 1])], "inputs[0].data: is nested otherwise"),
    ([tensor("text", [["a"]], shape=[1, 1])], "inputs[0].data: element 0 is no string"),
    ([tensor("text", data="a", shape=[1])], "inputs[0].data: expected a list"),
    ([{"name": "text", "datatype": "BYTES", "shape": [1]}], "inputs[0].data: is missing"),
    ([tensor("text", "a", parameters=[])], "inputs[0].parameters: must be an object"),
    ([tensor("text", "a", parameters={"x": {}})], "inputs[0].parameters.x: must be a string"),
    ([tensor("text", "a", parameters={"content_type": "base64"})], "content_type: expected str"),
    ([tensor("text", parameters={"binary_data_size": 3}, shape=[1])], "stands beside"),
    ([tensor("text", parameters={"shared_memory_region": "x"}, shape=[1])], "shared memory"),
)


@pytest.mark.parametrize(("inputs", "said"), PLACES)
def test_what_is_no_tensor_is_told_where_and_why(inputs: Any, said: str) -> None:
    """Never read otherwise than it was meant."""
    with pytest.raises(InvalidInput) as caught:
        read_tensors(inputs)
    assert said in str(caught.value)


ITEMS: tuple[tuple[list[dict[str, Any]], Any], ...] = (
    ([tensor("text", "a", "b")], ["a", "b"]),
    ([tensor("text", "a", "b", shape=[2, 1])], ["a", "b"]),
    ([tensor("text", ["a"], ["b"], shape=[2, 1])], ["a", "b"]),
    ([tensor("whatever", "a")], ["a"]),
    ([tensor("text", "a", parameters={"content_type": "str"})], ["a"]),
    ([tensor("text", "a"), tensor("text_pair", "b")], [{"text": "a", "text_pair": "b"}]),
    ([tensor("text_pair", "b"), tensor("text", "a")], [{"text": "a", "text_pair": "b"}]),
    (
        [tensor("question", "q", "r"), tensor("context", "c", "d")],
        [{"question": "q", "context": "c"}, {"question": "r", "context": "d"}],
    ),
    (
        [tensor("context", "x", "y"), tensor("choices", "a", "b", "c", "d", shape=[2, 2])],
        [{"context": "x", "choices": ["a", "b"]}, {"context": "y", "choices": ["c", "d"]}],
    ),
    (
        [tensor("context", "x"), tensor("choices", "a", "b")],
        [{"context": "x", "choices": ["a", "b"]}],
    ),
    ([tensor("words", "a", "b")], [{"words": ["a", "b"]}]),
    ([tensor("json", '"a"', '{"text": "b"}')], ["a", {"text": "b"}]),
    ([tensor("text", '{"text": "b"}')], ['{"text": "b"}']),
    ([tensor("text", '"b"', parameters={"content_type": "json"})], ["b"]),
)


@pytest.mark.parametrize(("inputs", "items"), ITEMS)
def test_each_row_is_one_input(inputs: list[dict[str, Any]], items: list[Any]) -> None:
    """Tensors are fields, rows are inputs."""
    assert items_of(read_tensors(inputs)) == items


@pytest.mark.parametrize(
    ("kind", "item"),
    (
        ("question-answering", {"question": "q", "context": "c"}),
        ("text-classification", '{"question": "q", "context": "c"}'),
        (None, '{"question": "q", "context": "c"}'),
    ),
)
def test_a_lone_tensor_of_any_name_is_what_the_kind_takes(kind: str | None, item: Any) -> None:
    """Objects in JSON where a kind takes objects only, else text, whatever it looks like."""
    tensors = read_tensors([tensor("input-0", '{"question": "q", "context": "c"}')])
    assert items_of(tensors, kind) == [item]


MISFITS: tuple[tuple[list[dict[str, Any]], str], ...] = (
    ([tensor("text", "a"), tensor("other", "b")], "'other' is no input"),
    ([tensor("question", "q", "r"), tensor("context", "c")], "question 2, context 1"),
    ([tensor("context", "x", "y"), tensor("choices", "a", "b")], "[rows, texts]"),
    ([tensor("text", "a", "b", shape=[1, 2])], "inputs.text: one text per row"),
    ([tensor("json", "{}"), tensor("text", "b")], "nothing beside it"),
    ([tensor("json", "{}", "{")], "inputs.json: element 1 is not valid JSON"),
    ([tensor("json", "NaN")], "inputs.json: element 0 is not valid JSON"),
)


@pytest.mark.parametrize(("inputs", "said"), MISFITS)
def test_tensors_that_do_not_fit_each_other_are_refused(
    inputs: list[dict[str, Any]], said: str
) -> None:
    """Rows are never dropped or made up."""
    with pytest.raises(InvalidInput) as caught:
        items_of(read_tensors(inputs))
    assert said in str(caught.value)


REQUESTS: tuple[tuple[Any, str], ...] = (
    ({}, "outputs: expected a list"),
    (["label"], "outputs[0]: expected an object"),
    ([{}], "outputs[0]: expected an object"),
    ([{"name": "nonsense"}], "'nonsense' is no output"),
    ([{"name": "label"}, {"name": "label"}], "named twice"),
    ([{"name": "label", "parameters": {"classification": 3}}], "top_k"),
    ([{"name": "label", "parameters": {"shared_memory_region": "x"}}], "shared memory"),
    ([{"name": "label", "parameters": 3}], "outputs[0].parameters"),
)


@pytest.mark.parametrize(("outputs", "said"), REQUESTS)
def test_wrong_outputs_are_refused_before_anything_is_computed(outputs: Any, said: str) -> None:
    """With the place and the remedy."""
    with pytest.raises(InvalidInput) as caught:
        read_requested(outputs)
    assert said in str(caught.value)
