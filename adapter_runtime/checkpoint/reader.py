"""From a folder to an Adapter: which format it is, and every reason why it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.files import find_file, read_tensors
from adapter_runtime.checkpoint.hub import adapterhub
from adapter_runtime.checkpoint.hub.interfaces import INTERFACE_FILE
from adapter_runtime.checkpoint.peft import reader as peft
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.configuration import BadConfig
from adapter_runtime.sources.folder import Folder
from adapter_runtime.sources.hub_names import is_hub_name
from adapter_runtime.types import NOTHING, Adapter, Note

_CONFIG = adapterhub.CONFIG_FILE
_EMBEDDINGS = "embedding.pt"
OTHER_FOLDERS: Mapping[str, tuple[str, str]] = {
    "adapter_fusion_config.json": (
        "fusion_only",
        "It holds an AdapterFusion layer; give it as `fusion:` beside the adapters that it fuses.",
    ),
    "adapter_setup.json": (
        "not_an_adapter",
        "It holds a whole setup; name one of its folders.",
    ),
    "head_config.json": (
        "head_only",
        "It holds only a head; give it as the task's head.",
    ),
}
"""Configurations of what is no adapter, with the code and the message that refuse it as one."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What became of a checkpoint.

    Args:
        adapter: its Parts; None where a problem rejects it.
        problems: every reason to reject it.
        accounts: each tensor's fate: `used`, an alias' reason, `unexpected` or `not read`.
        format: `adapterhub` or `peft`.
    """

    adapter: Adapter | None
    problems: tuple[Note, ...]
    accounts: Mapping[str, str]
    format: str


def read_config_kind(folder: Folder) -> str | None:
    """`adapterhub` or `peft`, by the content of `adapter_config.json`; None where there is none.

    Raises:
        SourceError: the file is no JSON.
    """
    if not folder.has(_CONFIG):
        return None
    config = folder.read_json(_CONFIG)
    return "peft" if isinstance(config, Mapping) and "peft_type" in config else "adapterhub"


def read_adapter(folder: Folder, facts: BackboneFacts, options: Mapping[str, Any]) -> Adapter:
    """Read and check the adapter in a folder. Blocks; touches no device.

    Args:
        folder: the files.
        facts: the backbone that it must fit.
        options: the task's; see `adapterhub.meaning`.

    Raises:
        SourceError: a file cannot be read.
        RejectedAdapter: the checkpoint failed a check; every reason is listed.
    """
    found = examine_adapter(folder, facts, options)
    if found.adapter is None:
        raise RejectedAdapter(folder.source, found.problems)
    return found.adapter


def examine_adapter(
    folder: Folder, facts: BackboneFacts, options: Mapping[str, Any]
) -> Examination:
    """As `read_adapter`, with what became of each tensor, and problems as values.

    Raises:
        SourceError: a file cannot be read.
        RejectedAdapter: there is no adapter, or its weights cannot be opened.
    """
    config = read_config(folder)
    examine = _examine_peft if "peft_type" in config else _examine_adapterhub
    return examine(folder, config, facts, _meaning(folder, options))


def read_config(folder: Folder) -> Mapping[str, Any]:
    """An adapter's `adapter_config.json`.

    Raises:
        SourceError: it cannot be read.
        RejectedAdapter: the folder holds no adapter that could be served.
    """
    if not folder.has(_CONFIG):
        raise RejectedAdapter(folder.source, [_missing_config(folder)])
    config = folder.read_json(_CONFIG)
    if not isinstance(config, Mapping):
        raise _rejected(folder, "bad_config", f"{_CONFIG} must hold a JSON object.")
    if folder.has(_EMBEDDINGS):
        message = (
            f"It was trained with word embeddings of its own ({_EMBEDDINGS}), which no other task "
            "on this backbone could share; serve it on a backbone that was saved with them."
        )
        raise _rejected(folder, "own_embeddings", message)
    return config


def check_config(
    folder: Folder, facts: BackboneFacts, options: Mapping[str, Any]
) -> Mapping[str, Any]:
    """As `read_config`, for an adapter that its config alone lets fit.

    Raises:
        SourceError: it cannot be read.
        RejectedAdapter: the config and the names of the files show that it cannot be served.
    """
    config = read_config(folder)
    _meaning(folder, options)
    if "peft_type" in config:
        problems, names = peft.check_config(config), (peft.WEIGHT_FILES, adapterhub.WEIGHT_FILES)
    else:
        problems = adapterhub.check_config(config, facts)
        names = adapterhub.WEIGHT_FILES, peft.WEIGHT_FILES
    if problems:
        raise RejectedAdapter(folder.source, problems)
    _weights(folder, *names)
    return config


def _examine_adapterhub(
    folder: Folder, config: Mapping[str, Any], facts: BackboneFacts, meaning: Mapping[str, Any]
) -> Examination:
    problems = adapterhub.wrong_backbone(config, facts)
    if problems:
        return Examination(None, tuple(problems), NOTHING, "adapterhub")
    weights = _weights(folder, adapterhub.WEIGHT_FILES, peft.WEIGHT_FILES)
    ledger = adapterhub.open_ledger(read_tensors(folder, weights), facts)
    interface = folder.read_json(INTERFACE_FILE) if folder.has(INTERFACE_FILE) else None
    reading = adapterhub.read_adapterhub(config, ledger, facts, meaning, interface)
    adapter = Adapter(
        name=reading.name,
        digest=_digest(folder, weights, meaning),
        parts=reading.parts,
        format="adapterhub",
        config=config,
        library=reading.library,
        notes=(*reading.notes, *_other_name(config.get("model_name"), facts)),
    )
    return _conclude(adapter, ledger)


def _examine_peft(
    folder: Folder, config: Mapping[str, Any], facts: BackboneFacts, meaning: Mapping[str, Any]
) -> Examination:
    weights = _weights(folder, peft.WEIGHT_FILES, adapterhub.WEIGHT_FILES)
    ledger = Ledger(read_tensors(folder, weights))
    parts, notes = peft.read_peft(config, ledger, facts)
    adapter = Adapter(
        name=folder.root.name,
        digest=_digest(folder, weights, NOTHING),
        parts=parts,
        format="peft",
        config=config,
        library=str(config.get("peft_version") or "") or None,
        notes=(*notes, *_other_name(config.get("base_model_name_or_path"), facts)),
    )
    return _conclude(adapter, ledger)


def _conclude(adapter: Adapter, ledger: Ledger) -> Examination:
    problems = list(ledger.problems())
    num_misfits = sum(note.code == "wrong_shape" for note in problems)
    if num_misfits and num_misfits * 2 >= len(ledger.names()):
        message = "Most tensors do not fit: it was trained for a backbone of another size."
        problems.insert(0, Note("wrong_backbone", message))
    if not adapter.parts:
        note = Note("empty_adapter", "It acts nowhere: its configuration names no place.")
        adapter = replace(adapter, notes=(*adapter.notes, note))
    accepted = None if problems else adapter
    return Examination(accepted, tuple(problems), ledger.accounts(), adapter.format)


def _missing_config(folder: Folder) -> Note:
    for name, (code, message) in OTHER_FOLDERS.items():
        if folder.has(name):
            return Note(code, message)
    return Note("not_an_adapter", f"There is no {_CONFIG}; give the folder that holds it.")


def _weights(folder: Folder, names: Sequence[str], others: Sequence[str]) -> str:
    found = find_file(folder, names)
    if found is not None:
        return found
    other = find_file(folder, others)
    if other is not None:
        message = (
            f"{_CONFIG} and {other} belong to different libraries; restore {' or '.join(names)}."
        )
        raise _rejected(folder, "mixed_formats", message)
    raise _rejected(folder, "missing_file", f"There are no weights; expected {' or '.join(names)}.")


def _meaning(folder: Folder, options: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return adapterhub.meaning(options)
    except BadConfig as error:
        raise _rejected(folder, error.code, str(error)) from error


def _digest(folder: Folder, weights: str, meaning: Mapping[str, Any]) -> str:
    digest = folder.digest((_CONFIG, INTERFACE_FILE, weights))
    if not meaning:
        return digest
    return hashlib.sha256(f"{digest} {sorted(meaning.items())}".encode()).hexdigest()


def _other_name(name: Any, facts: BackboneFacts) -> list[Note]:
    """A warning where the checkpoint names a backbone that this one does not look like."""
    theirs = str(name or "").removeprefix("hf://").partition("@")[0].rstrip("/")
    if not is_hub_name(theirs) or Path(theirs).exists():
        return []  # A path on the machine that trained it says nothing.
    ours = facts.model_name.removeprefix("hf://").partition("@")[0]
    plain, family = _plain(theirs.split("/")[-1]), _plain(facts.model_type)
    # `xlm-roberta-base` has `roberta-base` in it, and is another model of the same shapes.
    is_family = family in plain or family not in _plain(ours)
    if plain in _plain(ours) and is_family:
        return []
    message = (
        f"It names the backbone {theirs}, this one is {ours}: shapes agree, so make sure that the "
        "weights are the same."
    )
    return [Note("other_backbone_name", message)]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _rejected(folder: Folder, code: str, message: str) -> RejectedAdapter:
    return RejectedAdapter(folder.source, [Note(code, message)])
