"""Heads from folders: which format a folder holds, and the head that needs no folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.backbone.sentence import SentenceSettings
from adapter_runtime.checkpoint.files import find_file, read_tensors
from adapter_runtime.checkpoint.heads import adapterhub as heads_adapterhub
from adapter_runtime.checkpoint.heads import peft as heads_peft
from adapter_runtime.checkpoint.heads.adapterhub import read_adapterhub_head
from adapter_runtime.checkpoint.heads.peft import head_tensor_names, read_peft_head
from adapter_runtime.checkpoint.heads.write import new_head, write_head
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.heads.embedding import POOLINGS, EmbeddingSettings
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import HeadSpec, HeadWeights, Note

__all__ = ["embedding_head", "head_tensor_names", "new_head", "read_head", "write_head"]


def read_head(
    folder: Folder,
    facts: BackboneFacts,
    labels: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> HeadWeights | None:
    """The prediction head in a folder, AdapterHub's or PEFT's; None where it has none. Blocks.

    Args:
        folder: an adapter's or a head's folder.
        facts: the backbone that the head must fit.
        labels: the task's own label names by id, which win over the checkpoint's.
        options: the task's options; `multi_label` and `problem_type` change how a head answers.

    Raises:
        SourceError: a file cannot be read or trusted.
        RejectedAdapter: the head does not fit; every reason is listed.
    """
    options = options or {}
    head_file = find_file(folder, (heads_adapterhub.SAFE_FILE, heads_adapterhub.PICKLE_FILE))
    if head_file is not None:
        return read_adapterhub_head(folder, read_tensors(folder, head_file), facts, labels, options)
    if folder.has(heads_adapterhub.CONFIG_FILE):
        names = f"{heads_adapterhub.SAFE_FILE} or {heads_adapterhub.PICKLE_FILE}"
        message = f"{heads_adapterhub.CONFIG_FILE} is there without its weights; add {names}."
        raise RejectedAdapter(folder.source, [Note("missing_file", message)])
    config = heads_peft.read_config(folder)
    peft_file = find_file(folder, (heads_peft.SAFE_FILE, heads_peft.PICKLE_FILE))
    if config is None or peft_file is None:
        return None
    tensors = read_tensors(folder, peft_file)
    return read_peft_head(folder, config, tensors, facts, labels, options)


def embedding_head(sentence: SentenceSettings | None, options: Mapping[str, Any]) -> HeadWeights:
    """The head of an embedding task: pooling and normalisation, no weights.

    Args:
        sentence: what the backbone's own sentence-transformers files say, if it has any.
        options: the task's options; `pooling` and `normalize` win.

    Raises:
        RejectedAdapter: the pooling is none that can be computed.
    """
    pooling = options.get("pooling") or (sentence.pooling if sentence else "mean")
    if pooling not in POOLINGS:
        message = f"Pooling {pooling!r} cannot be computed; options.pooling may be cls, mean, last."
        raise RejectedAdapter("embedding", [Note("unknown_pooling", message)])
    normalize = options.get("normalize")
    if normalize is None:
        normalize = sentence is not None and sentence.normalize
    settings = EmbeddingSettings(cast(Any, pooling), bool(normalize))
    digest = hashlib.sha256(f"embedding {settings}".encode()).hexdigest()
    return HeadWeights(HeadSpec("embedding", settings, digest=digest), {})
