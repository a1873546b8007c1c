"""What docs/python_client.md shows, as a process with one authority to trust."""

from __future__ import annotations

import os

import httpx
import typer
from huggingface_hub import InferenceClient
from openai import OpenAI

URL, KEY, VERSION = (os.environ[name] for name in ("URL", "KEY", "TASK_VERSION"))

if __name__ == "__main__":
    hub = InferenceClient(model=f"{URL}/models/topic", token=KEY)
    typer.echo(hub.text_classification("a b")[0].label)
    pinned = InferenceClient(model=f"{URL}/models/topic?version={VERSION}", token=KEY)
    typer.echo(pinned.text_classification("a b")[0].label)
    with OpenAI(base_url=f"{URL}/v1", api_key=KEY) as openai:
        typer.echo([model.id for model in openai.models.list()])
    with httpx.Client(base_url=URL, headers={"x-api-key": KEY}) as client:
        body = {"inputs": "a b", "tasks": ["topic"]}
        typer.echo(client.post("/v1/analyze", json=body).raise_for_status().status_code)
