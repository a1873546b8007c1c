"""From one request's inputs to its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapter_runtime.backbone.tokenizer import Tokenizer
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import Encoded, TaskVersion


def encode_by(
    tokenizer: Tokenizer, version: TaskVersion, inputs: Any, parameters: Mapping[str, Any]
) -> Encoded:
    """One request's rows, by the version's head and limits.

    Args:
        tokenizer: the backbone's.
        version: who is to answer.
        inputs, parameters: as the client sent them.

    Raises:
        InvalidInput: inputs or parameters are wrong; names the field.
    """
    kind = HEADS[version.head.head_type]
    return kind.encode(version.head, inputs, parameters, tokenizer, version.limits)
