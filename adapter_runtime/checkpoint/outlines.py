"""What a folder's configs say of its head, before any weight is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.files import find_file
from adapter_runtime.checkpoint.heads import adapterhub, peft
from adapter_runtime.checkpoint.heads.build import LABELLED, default_labels
from adapter_runtime.checkpoint.heads.classes import LANGUAGE_TYPES, StaticHead
from adapter_runtime.checkpoint.heads.flex import check_type, label_map, num_labels
from adapter_runtime.checkpoint.heads.static import STATIC_HEADS
from adapter_runtime.sources.folder import Folder

_MAX_HEADER_BYTES = 8 << 20
_MOST_UNPROVED = 1 << 16
"""Labels that a config may claim; only tensors prove that there are more."""


class HeadOutline(NamedTuple):
    """A head's type, and its labels as far as they are known."""

    head_type: str
    labels: tuple[str, ...] = ()


def outline_head(folder: Folder, facts: BackboneFacts) -> HeadOutline | None:
    """The head that a folder holds; None where it has none, or its configs do not tell. Blocks.

    Args:
        folder: an adapter's or a head's folder.
        facts: the backbone that the head must fit.

    Raises:
        SourceError: a config cannot be read.
        RejectedAdapter: the configs alone show that the head cannot be served.
    """
    if find_file(folder, (adapterhub.SAFE_FILE, adapterhub.PICKLE_FILE, adapterhub.CONFIG_FILE)):
        return _adapterhub(folder, facts)
    config = peft.read_config(folder)
    if config is None:
        return None
    class_name = peft.class_name_of(folder, config, facts, is_needed=False)
    head = STATIC_HEADS[class_name] if class_name else None
    if head is None or head.is_language:
        return None
    return HeadOutline(head.head_type, _by_count(_num_stored(folder, head), head.head_type))


def _adapterhub(folder: Folder, facts: BackboneFacts) -> HeadOutline:
    config, where = adapterhub.read_config(folder, facts), folder.source
    head = STATIC_HEADS.get(str(config.get("model_class")))
    if head is not None:
        return HeadOutline(head.head_type, _known(label_map(config, where), head.head_type))
    stack = adapterhub.flexible_config(folder, config)
    head_type, found = check_type(stack, where), label_map(stack, where)
    defaults = _by_count(num_labels(stack, where), head_type)
    if not defaults:
        return HeadOutline(head_type, _known(found, head_type))
    names = found or {}
    return HeadOutline(head_type, tuple(names.get(key, name) for key, name in enumerate(defaults)))


def _known(names: Mapping[int, str] | None, head_type: str) -> tuple[str, ...]:
    if names is None or head_type in LANGUAGE_TYPES:
        return ()
    return tuple(names[key] for key in sorted(names))


def _by_count(count: int, head_type: str) -> tuple[str, ...]:
    return default_labels(count) if head_type in LABELLED and count <= _MOST_UNPROVED else ()


def _num_stored(folder: Folder, head: StaticHead) -> int:
    """Rows of a PEFT file's last classifier layer, by the file's header; 0 where it cannot tell."""
    ending = f".{head.modules[-1]}.weight"
    with suppress(OSError, ValueError, TypeError, LookupError, RecursionError):
        header = _header(folder)
        rows = [int(header[name]["shape"][0]) for name in header if name.endswith(ending)]
        return max(rows, default=0)
    return 0


def _header(folder: Folder) -> Mapping[str, Any]:
    if not folder.has(peft.SAFE_FILE):
        return {}
    with folder.path(peft.SAFE_FILE).open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        found = json.loads(stream.read(min(length, _MAX_HEADER_BYTES)))
    return found if isinstance(found, dict) else {}
