"""From a folder to an AdapterFusion layer: an Adapter whose Parts mix others.

Source: `AdapterFusionLoader` of `adapters` 1.3.0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.files import find_file, read_tensors
from adapter_runtime.checkpoint.hub.adapterhub import open_ledger, wrong_backbone
from adapter_runtime.checkpoint.reader import Examination
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.methods.configuration import BadConfig, HubFile
from adapter_runtime.methods.fusion_files import expand_fusion, read_fusion
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import NOTHING, Adapter, Note

CONFIG_FILE = "adapter_fusion_config.json"
WEIGHT_FILES = ("model_adapter_fusion.safetensors", "pytorch_model_adapter_fusion.bin")


def examine_fusion(folder: Folder, facts: BackboneFacts, options: Mapping[str, Any]) -> Examination:
    """Read and check the fusion layer in a folder. Blocks.

    Args:
        folder: the files.
        facts: the backbone that it must fit.
        options: the task's; `fusion_temperature` divides the scores of layers with a temperature.

    Raises:
        SourceError: a file cannot be read.
        RejectedAdapter: there is no fusion layer, or its weights cannot be opened.
    """
    config = _read_object(folder)
    if problems := wrong_backbone(config, facts):
        return Examination(None, tuple(problems), NOTHING, "adapterhub")
    weights = _weights(folder)
    temperature = options.get("fusion_temperature")
    digest = folder.digest((CONFIG_FILE, weights))
    if temperature is not None:
        text = f"{digest} fusion_temperature={temperature}"
        digest = hashlib.sha256(text.encode()).hexdigest()
    ledger = open_ledger(read_tensors(folder, weights), facts)
    file = HubFile(str(config.get("name") or ""), facts, ledger)
    return _examine(config, file, digest, temperature)


def read_config(folder: Folder, facts: BackboneFacts) -> Mapping[str, Any]:
    """The config of a fusion layer that it alone lets fit.

    Raises:
        SourceError: it cannot be read.
        RejectedAdapter: the config and the names of the files show that it cannot be served.
    """
    config = _read_object(folder)
    if problems := wrong_backbone(config, facts):
        raise RejectedAdapter(folder.source, problems)
    _weights(folder)
    return config


def _read_object(folder: Folder) -> Mapping[str, Any]:
    if not folder.has(CONFIG_FILE):
        raise _rejected(
            folder, "not_a_fusion", f"There is no {CONFIG_FILE}; give the folder that holds it."
        )
    config = folder.read_json(CONFIG_FILE)
    if not isinstance(config, Mapping):
        raise _rejected(folder, "bad_config", f"{CONFIG_FILE} must hold a JSON object.")
    return config


def _weights(folder: Folder) -> str:
    weights = find_file(folder, WEIGHT_FILES)
    if weights is None:
        message = f"There are no weights; expected {' or '.join(WEIGHT_FILES)}."
        raise _rejected(folder, "missing_file", message)
    return weights


def _examine(
    config: Mapping[str, Any], file: HubFile, digest: str, temperature: float | None
) -> Examination:
    ledger = file.ledger
    adapter = None
    try:
        if not file.name:
            raise BadConfig(f"The fusion's name is missing from {CONFIG_FILE}.")
        parts, notes = read_fusion(expand_fusion(config.get("config")), file, temperature)
        version = config.get("version")
        adapter = Adapter(
            file.name,
            digest,
            tuple(parts),
            config=config,
            library=str(version) if version else None,
            notes=tuple(notes),
        )
    except BadConfig as error:
        ledger.problem(error.code, str(error))
        ledger.alias(ledger.unused(), "not read")
    problems = ledger.problems()
    found = None if problems else adapter
    return Examination(found, problems, ledger.accounts(), "adapterhub")


def read_fusion_layer(folder: Folder, facts: BackboneFacts, options: Mapping[str, Any]) -> Adapter:
    """As `examine_fusion`, for use.

    Raises:
        SourceError: a file cannot be read.
        RejectedAdapter: it failed a check; every reason is listed.
    """
    found = examine_fusion(folder, facts, options)
    if found.adapter is None:
        raise RejectedAdapter(folder.source, found.problems)
    return found.adapter


def fused_names(fusion: Adapter) -> tuple[str, ...]:
    """The adapters that a fusion layer was trained for, by their names then."""
    names = fusion.config.get("adapter_names")
    if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return tuple((names if isinstance(names, str) else fusion.name).split(","))


def _rejected(folder: Folder, code: str, message: str) -> RejectedAdapter:
    return RejectedAdapter(folder.source, [Note(code, message)])
