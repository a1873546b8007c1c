"""Heads beside AdapterHub adapters: flexible heads of any version, and converted task classes.

Source: `adapters` 1.3.0 `PredictionHeadLoader`, `heads/base.py`; adapter-transformers 1.x to 3.x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.build import HeadLayout, build_head
from adapter_runtime.checkpoint.heads.classes import StaticHead
from adapter_runtime.checkpoint.heads.flex import flex_layout, label_map
from adapter_runtime.checkpoint.heads.language import (
    LanguageLayout,
    build_language,
    static_language,
)
from adapter_runtime.checkpoint.heads.parsing import ParsingLayout, build_parsing
from adapter_runtime.checkpoint.heads.static import STATIC_HEADS, model_type_of, stack_on
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.ledger import Ledger
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import HeadWeights, Note

CONFIG_FILE = "head_config.json"
SAFE_FILE, PICKLE_FILE = "model_head.safetensors", "pytorch_model_head.bin"
ACTIVATIONS = ("as_trained", "adapters")
_BASES = (
    "transformer",
    "model",
    "encoder",
    "decoder",
    "shared",
    "prefix_tuning",
    "prompt_tuning",
    "invertible_adapters",
    "shared_parameters",
)
"""Prefixes of the base model and of what adapters hang on it, beside the family's own, that the
library does not know from heads in classes that are their own base model, such as T5's."""

Layout = HeadLayout | LanguageLayout | ParsingLayout


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
    config = read_config(folder, facts)
    ledger = Ledger(tensors)
    layout, notes = _as_trained(_layout(folder, config, ledger, facts), config, options)
    digest = folder.digest((CONFIG_FILE, SAFE_FILE, PICKLE_FILE))
    head = _build(layout, ledger, facts, labels, options, digest)
    if problems := ledger.problems():
        raise RejectedAdapter(folder.source, problems)
    return replace(head, notes=(*head.notes, *notes), accounts=ledger.accounts())


def read_config(folder: Folder, facts: BackboneFacts) -> Mapping[str, Any]:
    """A head's `head_config.json`.

    Raises:
        SourceError: it cannot be read.
        RejectedAdapter: there is none, or it is for another model.
    """
    config = folder.read_json(CONFIG_FILE) if folder.has(CONFIG_FILE) else None
    if not isinstance(config, dict):
        message = f"{CONFIG_FILE} is missing, so that nothing says what the head is; save it again."
        raise RejectedAdapter(folder.source, [Note("missing_head_config", message)])
    _check_class(folder, config, facts)
    return config


def flexible_config(folder: Folder, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a head's config that describes a flexible head.

    Raises:
        RejectedAdapter: there is none.
    """
    stack = config.get("config")
    if isinstance(stack, dict):
        return stack
    named = str(config.get("model_class"))
    message = (
        f"head_config.json has no `config` of a flexible head, and {named:.200} is no task class "
        "with a head that is known; save the head from a flexible model."
    )
    raise RejectedAdapter(folder.source, [Note("bad_head_config", message)])


def _build(
    layout: Layout,
    ledger: Ledger,
    facts: BackboneFacts,
    labels: Sequence[str] | None,
    options: Mapping[str, Any],
    digest: str,
) -> HeadWeights:
    if isinstance(layout, LanguageLayout):
        return build_language(layout, ledger, facts, options, digest)
    if isinstance(layout, ParsingLayout):
        return build_parsing(layout, ledger, facts, labels, digest)
    return build_head(layout, ledger, facts, labels, options, digest)


def _as_trained(
    layout: Layout, config: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[Layout, tuple[Note, ...]]:
    """Before version 3 a flexible head's `gelu` was its tanh form; in `adapters` it is exact."""
    is_old = "version" not in config and isinstance(config.get("config"), dict)
    if isinstance(layout, ParsingLayout) or not is_old or layout.settings.layers < 2:
        return layout, ()
    name = (layout.settings.activation or "").lower()
    if name == "gelu_orig":
        return _activated(layout, "gelu"), ()
    if name != "gelu":
        return layout, ()
    if options.get("head_gelu", ACTIVATIONS[0]) != ACTIVATIONS[0]:
        message = "The head's gelu is computed in its exact form, as adapters 1.x does."
        return layout, (Note("legacy_gelu", message),)
    message = (
        "A head without a version was trained with the tanh form of gelu, which is computed; "
        "options.head_gelu: adapters takes the exact form, as adapters 1.x does."
    )
    return _activated(layout, "gelu_new"), (Note("legacy_gelu", message),)


def _activated(layout: HeadLayout | LanguageLayout, name: str) -> Layout:
    if isinstance(layout, LanguageLayout):
        return replace(layout, settings=replace(layout.settings, activation=name))
    return replace(layout, settings=replace(layout.settings, activation=name))


def _check_class(folder: Folder, config: Mapping[str, Any], facts: BackboneFacts) -> None:
    class_name = config.get("model_class")
    found = config.get("model_type") or facts.model_type
    if class_name is not None:
        by_class = model_type_of(str(class_name))
        if by_class is None:
            message = (
                f"Heads of {class_name!s:.200} cannot be converted; save it from a flexible head."
            )
            raise RejectedAdapter(folder.source, [Note("unknown_head_class", message)])
        found = found if found != facts.model_type else by_class
    if found != facts.model_type:
        message = f"The head was trained on {found!s:.200}, the backbone is {facts.model_type}."
        raise RejectedAdapter(folder.source, [Note("wrong_model_type", message)])


def _layout(
    folder: Folder, config: Mapping[str, Any], ledger: Ledger, facts: BackboneFacts
) -> Layout:
    class_name, name = str(config.get("model_class")), str(config.get("name") or "")
    if class_name in STATIC_HEADS:
        return _static_layout(folder, config, STATIC_HEADS[class_name], ledger, facts)
    stack = flexible_config(folder, config)
    return flex_layout(name, stack, ledger, facts, folder.source)


def _static_layout(
    folder: Folder,
    config: Mapping[str, Any],
    head: StaticHead,
    ledger: Ledger,
    facts: BackboneFacts,
) -> Layout:
    _pass_over_base(ledger, head, facts)
    name = str(config.get("name") or "")
    if head.is_language:
        return replace(static_language(head, facts, ledger), name=name)
    return HeadLayout(
        name=name,
        head_type=head.head_type,
        settings=stack_on(head, facts),
        prefixes=head.modules,
        norms=head.norms,
        labels=label_map(config, folder.source),
    )


def _pass_over_base(ledger: Ledger, head: StaticHead, facts: BackboneFacts) -> None:
    """Where the library does not know a class's base model, its head file holds all of it."""
    own = tuple(f"{module}." for module in (*head.modules, *head.norms))
    bases = tuple(f"{prefix}." for prefix in (facts.prefix, *_BASES))
    names = [name for name in ledger.names() if name.startswith(bases) and not name.startswith(own)]
    ledger.alias(names, "the base model's")
