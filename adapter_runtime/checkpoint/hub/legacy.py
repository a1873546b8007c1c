"""What older versions of the `adapters` library wrote differently.

Source: git tags adapters1.0 to adapters3.2.1 and v0.1.0 to v1.3.0 of adapter-hub/adapters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packaging.version import InvalidVersion, Version

from adapter_runtime.backbone.facts import BackboneFacts

_TENSOR_RENAMES = {
    "attention_text_task_adapters": "adapters",
    "attention_text_lang_adapters": "adapters",
    "layer_text_task_adapters": "adapters",
    "layer_text_lang_adapters": "adapters",
    "invertible_lang_adapters": "invertible_adapters",
}
_ACTIVATION_RENAMES = {"gelu": "gelu_new", "gelu_orig": "gelu"}
_LIBRARY_PREFIX = "adapters."
_FIXED_SCALING = Version("1.1.0")
_FIRST_ADAPTERS, _LAST_BARE = Version("0.1.0"), Version("1.0")


def bare_name(name: str, facts: BackboneFacts) -> str:
    """A tensor's name as the current library writes it, without the base model's prefix."""
    segments = [_TENSOR_RENAMES.get(segment, segment) for segment in name.split(".")]
    current = ".".join(segments)
    for prefix in (facts.prefix, *facts.other_prefixes):
        if segments[0] == prefix and len(segments) > 1:
            return current.removeprefix(f"{prefix}.")
    return current


def modernise(config: Mapping[str, Any], is_current: bool) -> Mapping[str, Any]:
    """A configuration in current terms: nested keys and activation names.

    Args:
        config: the mapping under `config`.
        is_current: the file states a version; before 3.0 none did, and `gelu` meant its tanh form.
    """
    changed = dict(config)
    nested = changed.pop("invertible_adapter", None)
    if isinstance(nested, Mapping):
        changed["inv_adapter"] = nested.get("block_type")
        changed["inv_adapter_reduction_factor"] = nested.get("reduction_factor")
    name = changed.get("non_linearity")
    if not is_current and isinstance(name, str) and name in _ACTIVATION_RENAMES:
        changed["non_linearity"] = _ACTIVATION_RENAMES[name]
    return changed


def ignored_scaling(version: Any, is_as_trained: bool) -> bool:
    """Whether LoRA counts without `alpha / r`, as the library of that version trained it.

    Args:
        version: the file's `version`.
        is_as_trained: False follows `adapters` 1.3, which repairs only versions that begin with
            `adapters.`.
    """
    text = str(version or "")
    is_prefixed = text.startswith(_LIBRARY_PREFIX)
    try:
        number = Version(text.removeprefix(_LIBRARY_PREFIX))
    except InvalidVersion:
        return False
    if is_prefixed:
        return number < _FIXED_SCALING
    return is_as_trained and _FIRST_ADAPTERS <= number < _LAST_BARE
