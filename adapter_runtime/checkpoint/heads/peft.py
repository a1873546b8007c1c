"""Classifiers that PEFT saves beside an adapter.

PEFT records the task type, not the class, nor any label names: the head is that of the backbone's
task class. A task type without its tensors means a head that was random and never saved.

Source: peft 0.21 `get_peft_model_state_dict`, `PeftModelForSequenceClassification` and siblings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.build import HeadLayout, build_head
from adapter_runtime.checkpoint.heads.classes import StaticHead
from adapter_runtime.checkpoint.heads.folded import fold, foldable_modules
from adapter_runtime.checkpoint.heads.language import build_language, static_language
from adapter_runtime.checkpoint.heads.static import (
    LANGUAGE_TASKS,
    STATIC_HEADS,
    TASK_SUFFIXES,
    family_of,
    head_modules,
    language_heads,
    model_type_of,
    stack_on,
)
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.configuration import BadConfig
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import HeadWeights, Note

CONFIG_FILE = "adapter_config.json"
SAFE_FILE, PICKLE_FILE = "adapter_model.safetensors", "adapter_model.bin"
_COPIES = frozenset({"original_module", "modules_to_save"})
"""With `bias="all"` PEFT saves biases of its wrappers too: the replaced module's and the head's."""


def read_config(folder: Folder) -> Mapping[str, Any] | None:
    """PEFT's `adapter_config.json`; None where the folder has none of PEFT's.

    Raises:
        SourceError: it cannot be read.
    """
    config = folder.read_json(CONFIG_FILE) if folder.has(CONFIG_FILE) else None
    return config if isinstance(config, dict) and "peft_type" in config else None


def head_tensor_names(
    config: Mapping[str, Any], names: Iterable[str], facts: BackboneFacts
) -> frozenset[str]:
    """Which tensors of a PEFT file belong to the prediction head, and to no adapter method.

    Args:
        config: `adapter_config.json`.
        names: every tensor name in the file.
        facts: the backbone.
    """
    paths = {_path(name): name for name in names}
    own = {name for path, name in paths.items() if _is_head_path(path, facts)}
    inside = tuple(f"{module}." for module in foldable_modules(paths, facts) - facts.modules.keys())
    return frozenset(own | {name for path, name in paths.items() if path.startswith(inside)})


def read_peft_head(
    folder: Folder,
    config: Mapping[str, Any],
    tensors: Mapping[str, Any],
    facts: BackboneFacts,
    labels: Sequence[str] | None,
    options: Mapping[str, Any],
) -> HeadWeights | None:
    """The head in a PEFT folder, None where its task type has none.

    Raises:
        RejectedAdapter: the head is unknown, incomplete, or was never saved.
    """
    names = head_tensor_names(config, tensors, facts)
    saved, problems = _folded({_path(name): tensors[name] for name in sorted(names)}, config, facts)
    if problems:
        raise RejectedAdapter(folder.source, problems)
    trained = [path for path in saved if _COPIES.isdisjoint(path.split("."))]
    class_name = class_name_of(folder, config, facts, is_needed=bool(trained))
    if class_name is None:
        return None
    head = STATIC_HEADS[class_name]
    if head.is_language and not trained:
        return None  # It was trained under the backbone's own.
    borrowed = _from_backbone(head, trained, facts)
    if not head.is_language:
        _check_saved(folder, head, class_name, [*trained, *borrowed])
    ledger = Ledger({**borrowed, **saved})
    ledger.alias([path for path in saved if path not in trained], "bias of a wrapper")
    found = _built(head, config, ledger, facts, labels, options, _digest(folder))
    if problems := ledger.problems():
        raise RejectedAdapter(folder.source, problems)
    if not borrowed:
        return found
    message = f"{', '.join(borrowed)}: the file holds none, so they are those of the backbone."
    return replace(found, notes=(*found.notes, Note("backbone_head", message)))


def _built(
    head: StaticHead,
    config: Mapping[str, Any],
    ledger: Ledger,
    facts: BackboneFacts,
    labels: Sequence[str] | None,
    options: Mapping[str, Any],
    digest: str,
) -> HeadWeights:
    if head.is_language:
        layout = static_language(head, facts, ledger)
        return build_language(layout, ledger, facts, options, digest)
    settings = replace(stack_on(head, facts), reads_types=_reads_types(config, options))
    stack = HeadLayout("", head.head_type, settings, head.modules, head.norms)
    return build_head(stack, ledger, facts, labels, options, digest)


def _digest(folder: Folder) -> str:
    return folder.digest((CONFIG_FILE, SAFE_FILE, PICKLE_FILE))


def _folded(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], facts: BackboneFacts
) -> tuple[Mapping[str, Tensor], tuple[Note, ...]]:
    try:
        saved, ledger = fold(config, tensors, facts)
    except BadConfig as error:
        return {}, (Note(error.code, str(error)),)
    return saved, tuple(note for note in ledger.problems() if note.code != "unexpected_tensor")


def _from_backbone(
    head: StaticHead, trained: Sequence[str], facts: BackboneFacts
) -> Mapping[str, Tensor]:
    """The layers that PEFT leaves alone, where the backbone's folder brought them to training.

    Such as ModernBERT's prediction head, which is pre-trained, and no name that PEFT saves.
    """
    modules = [
        module for module in (*head.modules, *head.norms) if f"{module}.weight" not in trained
    ]
    if facts.stored is None or not modules:
        return {}
    stored = facts.stored(frozenset(module.split(".")[0] for module in modules))
    return {name: stored[name] for name in sorted(stored) if name.rpartition(".")[0] in modules}


def _reads_types(config: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """PEFT's question answering model takes token type ids and does not hand them on.

    Such an adapter never saw them, neither at training nor when PEFT runs it; the option
    `token_types` is for one that was trained in another way.
    """
    return bool(options.get("token_types", config.get("task_type") != "QUESTION_ANS"))


def _path(name: str) -> str:
    """The module path in the task class; prompt types save without the second `model.`."""
    return name.removeprefix("base_model.").removeprefix("model.")


def _is_head_path(path: str, facts: BackboneFacts) -> bool:
    *modules, kind = path.split(".")
    is_plain = kind in ("weight", "bias") and not any(part.startswith("lora_") for part in modules)
    return is_plain and bool(modules) and modules[0] in head_modules(facts.model_type)


def class_name_of(
    folder: Folder, config: Mapping[str, Any], facts: BackboneFacts, *, is_needed: bool
) -> str | None:
    """The task class that an adapter was trained on; None where its config names none.

    Args:
        folder: the files.
        config: `adapter_config.json`.
        facts: the backbone.
        is_needed: the file holds a head, so there must be a class.

    Raises:
        RejectedAdapter: a class whose heads are not supported, or of another backbone.
    """
    mapping = config.get("auto_mapping")
    recorded = str(mapping.get("base_model_class")) if isinstance(mapping, dict) else ""
    if recorded in STATIC_HEADS:
        if model_type_of(recorded) != facts.model_type:
            message = f"The adapter was trained on {recorded}, the backbone is {facts.model_type}."
            raise RejectedAdapter(folder.source, [Note("wrong_model_type", message)])
        return recorded
    suffix, family = TASK_SUFFIXES.get(str(config.get("task_type"))), family_of(facts.model_type)
    if suffix is not None and family is not None:
        return _supported(folder, f"{family}{suffix}", facts)
    if is_needed and (language := _language_class(config, facts)) is not None:
        return language
    if is_needed:
        message = (
            "The file holds a classifier, but neither task_type nor auto_mapping in "
            f"{CONFIG_FILE} says for which task; set task_type to one of "
            f"{', '.join(TASK_SUFFIXES)}."
        )
        raise RejectedAdapter(folder.source, [Note("unknown_head_class", message)])
    return None


def _supported(folder: Folder, class_name: str, facts: BackboneFacts) -> str:
    """A task class that has a row.

    Raises:
        RejectedAdapter: it has none.
    """
    if class_name in STATIC_HEADS:
        return class_name
    able = ", ".join(name for name in STATIC_HEADS if model_type_of(name) == facts.model_type)
    message = f"It was trained on {class_name}, whose head is not supported; those of {able} are."
    raise RejectedAdapter(folder.source, [Note("unknown_head_class", message)])


def _language_class(config: Mapping[str, Any], facts: BackboneFacts) -> str | None:
    """The class of a language model's task type: that with the vocabulary alone as its head."""
    if str(config.get("task_type")) not in LANGUAGE_TASKS:
        return None
    classes = language_heads(facts.model_type).items()
    return next((name for name, head in classes if head.modules == ("lm_head",)), None)


def _check_saved(folder: Folder, head: StaticHead, class_name: str, trained: Sequence[str]) -> None:
    modules = (*head.modules, *head.norms)
    missing = [module for module in modules if f"{module}.weight" not in trained]
    if missing:
        message = (
            f"{class_name} needs {', '.join(missing)}, which the file does not hold: that part of "
            "the head was random at training and is lost; train again with modules_to_save."
        )
        raise RejectedAdapter(folder.source, [Note("missing_head", message)])
