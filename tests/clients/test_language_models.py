"""Masked words, next tokens and parses over HTTP, on backbones with heads of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.heads.folders import saved
from tests.running import Running, running_server


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A BERT that fills masks."""
    yield from _server(tmp_path_factory.mktemp("encoder"), "bert", "wordpiece", "fill-mask")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A GPT-2 that writes."""
    yield from _server(tmp_path_factory.mktemp("decoder"), "gpt2", "bpe", "text-generation")


def _server(folder: Path, name: str, tokenizer: str, kind: str) -> Iterator[Running]:
    tasks = folder / "tasks.yaml"
    tasks.write_text(
        f"backbone: {saved(name, tokenizer)}\ntasks:\n  - {{name: language, kind: {kind}}}\n"
    )
    with running_server(tasks, folder / "server.log") as server:
        yield server


def client(server: Running) -> InferenceClient:
    """The task's client."""
    return InferenceClient(model=f"{server.url}/models/language")


def test_fill_mask(encoder: Running) -> None:
    """The likeliest tokens with the text that they make."""
    fills = client(encoder).fill_mask("The [MASK] dog sleeps.", top_k=3)
    assert len(fills) == 3
    assert [fill.score for fill in fills] == sorted((fill.score for fill in fills), reverse=True)
    assert all(fill.token_str.replace("##", "") in fill.sequence for fill in fills)


def test_fill_mask_with_targets(encoder: Running) -> None:
    """Only the words that are asked for."""
    fills = client(encoder).fill_mask("The [MASK] dog.", targets=["the", "a"])
    assert {fill.token_str for fill in fills} == {"the", "a"}


def test_several_masks_answer_a_list_each(encoder: Running) -> None:
    """As the pipeline's own answer."""
    body = {"inputs": "The [MASK] dog [MASK].", "parameters": {"top_k": 2}}
    found = httpx.post(f"{encoder.url}/models/language", json=body).json()
    assert [len(fills) for fills in found] == [2, 2]


def test_a_text_without_a_mask_is_the_callers_mistake(encoder: Running) -> None:
    """With the mask's own spelling in the message."""
    with pytest.raises(HfHubHTTPError, match="422") as refused:
        client(encoder).fill_mask("no mask here")
    assert "[MASK]" in refused.value.response.text


def test_text_generation(decoder: Running) -> None:
    """One token; more are refused rather than left out."""
    assert client(decoder).text_generation("The old dog", max_new_tokens=1)
    with pytest.raises(HfHubHTTPError, match="422") as refused:
        client(decoder).text_generation("The old dog", max_new_tokens=20)
    assert "one new token" in refused.value.response.text


def test_tasks_describe_themselves(encoder: Running, decoder: Running) -> None:
    """Their kinds are the hub's names."""
    kinds = [httpx.get(f"{one.url}/models/language").json()["kind"] for one in (encoder, decoder)]
    assert kinds == ["fill-mask", "text-generation"]
