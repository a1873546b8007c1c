"""Heads beside AdapterHub adapters: flexible heads of any version, and converted task classes.

Source: `adapters` 1.3.0 `PredictionHeadLoader`, `heads/base.py`; adapter-transformers 1.x to 3.x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads_build import HeadLayout, build_head
from adapter_runtime.checkpoint.heads_static import STATIC_HEADS, model_type_of
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.heads.layers import StackSettings
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.configuration import BadConfig, boolean
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import HeadWeights, Note

CONFIG_FILE = "head_config.json"
MAX_LAYERS, MAX_LABELS = 64, 1 << 24
SAFE_FILE, PICKLE_FILE = "model_head.safetensors", "pytorch_model_head.bin"

DEFAULT_LAYERS: Mapping[str, int] = {
    "classification": 2,
    "multilabel_classification": 2,
    "multiple_choice": 2,
    "tagging": 1,
    "question_answering": 1,
}
"""The flexible head types that are layer stacks, and their layers where a config names none."""

_OTHER_TYPES = (
    "dependency_parsing",
    "masked_lm",
    "causal_lm",
    "seq2seq_lm",
    "image_classification",
)


def read_adapterhub_head(
    folder: Folder,
    tensors: Mapping[str, Any],
    facts: BackboneFacts,
    labels: Sequence[str] | None,
    options: Mapping[str, Any],
) -> HeadWeights:
    """The head of a folder with a head file.

    Raises:
        RejectedAdapter: the head does not fit the backbone, or its tensors do not fit its config.
    """
    config = folder.read_json(CONFIG_FILE) if folder.has(CONFIG_FILE) else None
    if not isinstance(config, dict):
        message = f"{CONFIG_FILE} is missing, so that nothing says what the head is; save it again."
        raise RejectedAdapter(folder.source, [Note("missing_head_config", message)])
    _check_class(folder, config, facts)
    ledger = Ledger(tensors)
    layout = _layout(folder, config, ledger)
    digest = folder.digest((CONFIG_FILE, SAFE_FILE, PICKLE_FILE))
    head = build_head(layout, ledger, facts, labels, options, digest)
    if problems := ledger.problems():
        raise RejectedAdapter(folder.source, problems)
    return replace(head, notes=(*head.notes, *_legacy_notes(config, layout.settings)))


def _legacy_notes(config: Mapping[str, Any], settings: StackSettings) -> tuple[Note, ...]:
    """Before version 3 `gelu` was its tanh form; `adapters` reads it as the exact one in heads."""
    if "version" in config or settings.activation != "gelu" or settings.layers < 2:
        return ()
    message = "The head's gelu is computed in its exact form, as adapters 1.x does."
    return (Note("legacy_gelu", message),)


def _check_class(folder: Folder, config: Mapping[str, Any], facts: BackboneFacts) -> None:
    class_name = config.get("model_class")
    found = config.get("model_type") or facts.model_type
    if class_name is not None:
        by_class = model_type_of(str(class_name))
        if by_class is None:
            message = f"Heads of {class_name} cannot be converted; save it from a flexible head."
            raise RejectedAdapter(folder.source, [Note("unknown_head_class", message)])
        found = found if found != facts.model_type else by_class
    if found != facts.model_type:
        message = f"The head was trained on {found}, the backbone is {facts.model_type}."
        raise RejectedAdapter(folder.source, [Note("wrong_model_type", message)])


def _layout(folder: Folder, config: Mapping[str, Any], ledger: Ledger) -> HeadLayout:
    stack, class_name = config.get("config"), str(config.get("model_class"))
    if class_name in STATIC_HEADS:
        return _static_layout(folder, config, class_name)
    if not isinstance(stack, dict):
        message = "head_config.json has no `config` of a flexible head; save the head again."
        raise RejectedAdapter(folder.source, [Note("bad_head_config", message)])
    return _flex_layout(folder, config, stack, ledger)


def _static_layout(folder: Folder, config: Mapping[str, Any], class_name: str) -> HeadLayout:
    head = STATIC_HEADS[class_name]
    return HeadLayout(
        name=str(config.get("name") or ""),
        head_type=head.head_type,
        settings=head.settings,
        prefixes=head.modules,
        labels=_label_map(config, folder.source),
    )


def _flex_layout(
    folder: Folder, config: Mapping[str, Any], stack: Mapping[str, Any], ledger: Ledger
) -> HeadLayout:
    settings = stack_settings(stack, folder.source)
    head_type = str(stack["head_type"])
    name = str(config.get("name") or "")
    _pass_over_other_heads(ledger, name)
    indices = _layer_indices(ledger, f"heads.{name}.", settings)
    return HeadLayout(
        name=name,
        head_type=head_type,
        settings=settings,
        prefixes=tuple(f"heads.{name}.{index}" for index in indices),
        num_labels=_count(stack.get("num_labels", 2), "num_labels", folder.source, MAX_LABELS),
        labels=_label_map(stack, folder.source),
    )


def stack_settings(stack: Mapping[str, Any], where: str) -> StackSettings:
    """The layer stack that a flexible head's `config` describes.

    Raises:
        RejectedAdapter: the head type is no layer stack, or a value is out of range.
    """
    head_type = str(stack.get("head_type"))
    if head_type not in DEFAULT_LAYERS:
        known = ", ".join(DEFAULT_LAYERS)
        code = "unsupported_head" if head_type in _OTHER_TYPES else "unknown_head"
        message = f"Heads of type {head_type!r} cannot be served; known are {known}."
        raise RejectedAdapter(where, [Note(code, message)])
    per_token = head_type in ("tagging", "question_answering")
    function = stack.get("activation_function", "tanh") or None
    if function is not None and not isinstance(function, str):
        raise _bad(where, f"activation_function must be a name, not {function!r:.200}.")
    try:
        use_pooler, bias = boolean(stack, "use_pooler"), boolean(stack, "bias", True)
    except BadConfig as error:
        raise _bad(where, str(error)) from error
    layers = stack.get("layers", DEFAULT_LAYERS[head_type])
    return StackSettings(
        layers=_count(layers, "layers", where, MAX_LAYERS),
        activation=function,
        use_pooler=use_pooler and not per_token,
        bias=bias,
    )


def layer_indices(settings: StackSettings, dropouts: bool = True) -> tuple[int, ...]:
    """Where a flexible head's linear layers stand among its modules.

    Args:
        settings: the stack.
        dropouts: whether a dropout module precedes each layer.
    """
    step = 1 + dropouts + bool(settings.activation)
    return tuple(layer * step + dropouts for layer in range(settings.layers))


def _layer_indices(ledger: Ledger, prefix: str, settings: StackSettings) -> tuple[int, ...]:
    """Versions 2.2 to 3.1 left out dropouts of probability 0, which moved every index."""
    present = {
        name.removeprefix(prefix).partition(".")[0]
        for name in ledger.names()
        if name.startswith(prefix)
    }
    shifted = layer_indices(settings, dropouts=False)
    if present == {str(index) for index in shifted}:
        return shifted
    return layer_indices(settings)


def _pass_over_other_heads(ledger: Ledger, name: str) -> None:
    """Saving head `a` also writes `heads.ab`: the writer compares text, not whole names."""
    others = [
        tensor
        for tensor in ledger.names()
        if tensor.startswith(f"heads.{name}") and not tensor.startswith(f"heads.{name}.")
    ]
    ledger.alias(others, "another head")


def _label_map(config: Mapping[str, Any], where: str) -> dict[int, str] | None:
    """Label names by id; JSON turned the ids of `id2label` into strings."""
    by_id, by_label = config.get("id2label"), config.get("label2id")
    for key, value in (("id2label", by_id), ("label2id", by_label)):
        if value is not None and not isinstance(value, dict):
            raise _bad(where, f"{key} must be an object of ids and names, not {value!r:.200}.")
    try:
        if by_label and not by_id:
            by_id = {number: label for label, number in by_label.items()}
        return {int(key): str(label) for key, label in (by_id or {}).items()} or None
    except (TypeError, ValueError, OverflowError) as error:
        message = f"The label map is not one of ids and names ({error}); mend head_config.json."
        raise _bad(where, message) from error


def _count(value: Any, key: str, where: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise _bad(where, f"{key} must be a whole number of 1 to {most}, not {value!r:.200}.")
    return value


def _bad(where: str, message: str) -> RejectedAdapter:
    return RejectedAdapter(where, [Note("bad_head_config", message)])
