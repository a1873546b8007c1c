"""vLLM's routes that load and unload adapters, over a service whose every step is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapter_runtime import Note, RejectedAdapter
from tests.protocols.conftest import Api

LOAD = {"lora_name": "mine", "lora_path": "/a/mine"}


@pytest.mark.parametrize(("is_changed", "is_left"), ((False, False), (True, True)))
def test_a_failed_load_takes_back_what_it_made_and_nothing_else(
    api: Api, monkeypatch: pytest.MonkeyPatch, is_changed: bool, is_left: bool
) -> None:
    """A task of that name that somebody has changed meanwhile is theirs."""

    async def fail(name: str, *_: Any) -> None:
        if is_changed:
            api.service.views[name] = replace(api.service.views[name], etag="t1")
        raise RejectedAdapter(name, [Note("missing_tensor", "x is missing.")])

    monkeypatch.setattr(api.service, "act", fail)
    answer = api("POST", "/v1/load_lora_adapter", json=LOAD)
    assert 400 <= answer.status_code < 500
    assert ("mine" in api.service.views) is is_left
