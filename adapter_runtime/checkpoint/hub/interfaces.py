"""`adapter_interface.json`: where the `adapters` library hooked a model that it does not know.

The library's own interfaces are in the architecture rows. A user's interface is followed where it
names the places that our rows name too; it also says whether a block saw its sublayer's residual.

Source: `AdapterModelInterface` and `init_bottleneck` of `adapters` 1.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.methods.configuration import BadConfig, Residuals
from adapter_runtime.types import PlugPoint, Site

INTERFACE_FILE = "adapter_interface.json"

_CODE = "foreign_interface"
_IN_ATTENTION = {
    "attn_q_proj": Site.QUERY,
    "attn_k_proj": Site.KEY,
    "attn_v_proj": Site.VALUE,
    "attn_qkv_proj": Site.QKV,
    "attn_o_proj": Site.ATTENTION_OUT,
}
_IN_LAYER = {"layer_intermediate_proj": "intermediate_lora", "layer_output_proj": "output_lora"}
_HOOKS = ("layer_pre_self_attn", "layer_pre_ffn", "layer_ln_1", "layer_ln_2")
_KNOWN_HOOKS: Mapping[str, tuple[str | None, ...]] = {
    "modernbert": ("attn", "mlp", "mlp_norm", None),
    "qwen2": ("input_layernorm", "post_attention_layernorm", None, None),
    "qwen3": ("input_layernorm", "post_attention_layernorm", None, None),
}
"""What the library's own interfaces say there."""


def apply_interface(content: Any, facts: BackboneFacts) -> tuple[BackboneFacts, Residuals]:
    """The backbone's facts as an interface sees them, and what its blocks see of residuals.

    Args:
        content: of the file.
        facts: the backbone.

    Raises:
        BadConfig: it is no interface, one of another model, or one that hooks other places.
    """
    interface = content.get("interface") if isinstance(content, Mapping) else None
    if not isinstance(interface, Mapping):
        raise BadConfig(f"{INTERFACE_FILE} must hold an object under interface.")
    if content.get("model_type") not in (None, facts.model_type):
        message = f"Its interface is one of {content['model_type']!r:.200} models."
        raise BadConfig(message, "wrong_backbone")
    sites = _lora_sites(interface, facts)
    hooks = tuple(interface.get(key) or None for key in _HOOKS)
    if facts.is_hooked:
        known = _KNOWN_HOOKS.get(facts.model_type)
        return replace(facts, lora_sites=sites), Residuals.SEEN if hooks == known else Residuals.ODD
    paths = {
        PlugPoint(layer, site): f"{path}.{name}"
        for layer, path in enumerate(facts.layer_paths)
        for site, name in (
            (Site.ATTENTION, "attention_adapters"),
            (Site.FFN, "output_adapters"),
        )
    }
    own = replace(facts, adapter_paths=paths, lora_sites=sites)
    return own, Residuals.ODD if any(hooks) else Residuals.UNSEEN


def _lora_sites(interface: Mapping[str, Any], facts: BackboneFacts) -> dict[str, Site]:
    """Where LoRA lies outside attention; everything else must lie where our rows have it."""
    attention = interface.get("layer_self_attn")
    for key, site in _IN_ATTENTION.items():
        if interface.get(key):
            _check(f"{attention}.{interface[key]}", (site,), interface, facts)
    if interface.get("layer_cross_attn"):
        raise BadConfig("Its interface names cross attention, which hooks no known place.", _CODE)
    found = {}
    for key, switch in _IN_LAYER.items():
        allowed = (Site.FFN_OUT,) if key == "layer_output_proj" else (Site.FFN_IN, Site.FFN_GATE)
        found[switch] = _check(str(interface.get(key)), allowed, interface, facts)
    return found


def _check(
    relative: str, allowed: tuple[Site, ...], interface: Mapping[str, Any], facts: BackboneFacts
) -> Site:
    """The site of a module in every layer."""
    found = set()
    for layer, own in enumerate(facts.layer_paths):
        path = f"{interface.get('model_layers')}.{layer}"
        point = facts.modules.get(f"{path}.{relative}")
        found.add(point.site if point is not None and path == own else None)
    if len(found) == 1 and (site := found.pop()) in allowed:
        return site
    message = (
        f"Its interface hooks {relative[:200]!r} in {str(interface.get('model_layers'))[:200]!r}, "
        f"where this {facts.model_type} backbone has no {allowed[0]}; serve it with the model that "
        "the interface was written for."
    )
    raise BadConfig(message, _CODE)
