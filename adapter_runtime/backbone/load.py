"""From a folder of files to a frozen Backbone; no remote code, no network."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils import logging as hf_logging

from adapter_runtime.backbone.architectures import find_architecture
from adapter_runtime.backbone.attention import register_attention
from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.objects import read_object
from adapter_runtime.backbone.routing import Layout
from adapter_runtime.backbone.rows import Architecture
from adapter_runtime.backbone.sentence import read_sentence_settings
from adapter_runtime.backbone.wrap import read_facts
from adapter_runtime.errors import BackboneError
from adapter_runtime.sources.folder import Folder

if TYPE_CHECKING:
    from adapter_runtime.backbone.tokenizer import Tokenizer

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_INDEXES = tuple(f"{name}.index.json" for name in _WEIGHTS)
_DEPTHS = (
    *("num_hidden_layers", "num_layers", "n_layer", "n_layers"),
    *("num_decoder_layers", "encoder_layers", "decoder_layers"),
)
_MAX_LAYERS = 1000
_SHOWN = 5


def load_backbone(
    folder: Folder, device: torch.device, dtype: torch.dtype, in_int8: bool = False
) -> Backbone:
    """Load and freeze the model in a folder. Blocks; reads the weights to the device.

    Args:
        folder: holds `config.json`, weights and tokenizer files.
        device: where it runs.
        dtype: of its weights, and of states between them.
        in_int8: let the linears of its layers compute in int8; on CPU, with float32.

    Raises:
        SourceError: a file is missing or unreadable.
        BackboneError: the architecture is not supported, or weights are missing.
        SettingsError: the machine cannot compute in int8.
    """
    config = read_object(folder, "config.json")
    architecture = find_architecture(str(config.get("model_type")))
    _check_positions(config, folder.source)
    _check_depth(config, folder.source)
    weights = _weight_files(folder)
    model, has_pooler = _load_model(folder, architecture, dtype)
    # Not the config's own `_name_or_path`: it often names the model that this one was made from.
    if architecture.prepare is not None:
        architecture.prepare(model)
    facts = read_facts(model, architecture, folder.source, has_pooler)

    def read_stored(roots: frozenset[str]) -> dict[str, torch.Tensor]:
        return _read_stored(folder, weights, roots)

    def open_tokenizer(backbone: Backbone) -> Tokenizer:
        """The tokenizer that lies beside the weights."""
        from adapter_runtime.backbone.tokenizer import Tokenizer

        return Tokenizer.from_folder(
            folder,
            model_type=facts.model_type,
            max_tokens=backbone.max_tokens,
            has_types=architecture.has_types and config.get("type_vocab_size", 2) > 1,
            vocab_size=facts.vocab_size,
        )

    return Backbone(
        model.to(device),  # type: ignore[arg-type]  # its decorator loses the signature
        architecture,
        replace(facts, stored=read_stored),
        open_tokenizer,
        read_sentence_settings(folder),
        folder.fingerprint,
        in_int8,
    )


def _read_stored(
    folder: Folder, weights: Sequence[str], roots: frozenset[str]
) -> dict[str, torch.Tensor]:
    """Tensors of a backbone's files under some first path segments, such as its head's."""
    found: dict[str, torch.Tensor] = {}
    for name in weights:
        path = folder.path(name)
        if name.endswith(".safetensors"):
            with safe_open(path, framework="pt") as stored:
                names = [key for key in list(stored.keys()) if key.split(".")[0] in roots]
                found |= {key: stored.get_tensor(key) for key in names}
        elif name.endswith(".bin"):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            found |= {key: content[key] for key in content if key.split(".")[0] in roots}
    return found


def _check_positions(config: Mapping[str, Any], source: str) -> None:
    kind = str(config.get("position_embedding_type"))
    if kind.startswith("relative_key"):
        raise BackboneError(
            f"{source}: position_embedding_type {kind} is not computed by transformers 5; "
            "use a backbone with absolute positions."
        )


def _check_depth(config: Mapping[str, Any], source: str) -> None:
    """Layers are built before their weights are looked for, so their number must be a real one."""
    for key in _DEPTHS:
        layers = config.get(key, 1)
        if layers is not None and (not isinstance(layers, int) or not 1 <= layers <= _MAX_LAYERS):
            raise BackboneError(
                f"{source}: {key} is {layers!r:.100}, but must be 1 to {_MAX_LAYERS}; fetch its "
                "config.json again."
            )


def _weight_files(folder: Folder) -> tuple[str, ...]:
    for name in _WEIGHTS:
        if folder.has(name):
            folder.path(name)
            return (name,)
    for name in _INDEXES:
        if folder.has(name):
            return (name, *_parts(folder, name))
    raise BackboneError(f"{folder.source}: there are no weights; expected {' or '.join(_WEIGHTS)}.")


def _parts(folder: Folder, index: str) -> tuple[str, ...]:
    parts = read_object(folder, index).get("weight_map")
    if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
        raise BackboneError(f"{folder.source}: {index} names no weight files; fetch it again.")
    names = tuple(sorted(set(parts.values())))
    for name in names:
        folder.path(name)
    return names


def _load_model(
    folder: Folder, architecture: Architecture, dtype: torch.dtype
) -> tuple[PreTrainedModel, bool]:
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(folder.root, **options)
        _make_plain(config)
        with _quiet():
            model, info = AutoModel.from_pretrained(
                folder.root,
                config=config,
                dtype=dtype,
                attn_implementation=_attention(architecture),
                output_loading_info=True,
                weights_only=True,
                **options,
            )
    except Exception as error:  # a damaged file surfaces as any error of any reader below
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise BackboneError(
            f"{folder.source}: the backbone cannot be loaded ({reason}); fetch its files again."
        ) from error
    has_pooler = _check_complete(info["missing_keys"], folder.source)
    if not has_pooler and hasattr(model, "pooler"):
        model.pooler = None
    return model.eval().requires_grad_(False), has_pooler and hasattr(model, "pooler")


def _attention(architecture: Architecture) -> str:
    # Models that call no attention interface know their own attention only.
    is_interface = architecture.layout is Layout.PACKED or any(
        layers.attentions for layers in architecture.layers
    )
    return register_attention(architecture.layout) if is_interface else "eager"


def _make_plain(config: Any) -> None:
    # A config saved by a decoder or by a debugging session would change what the forward returns.
    # `is_decoder` stays: it makes an encoder's attention causal, in every library.
    config.add_cross_attention = False
    config.output_attentions = False
    config.return_dict = True
    config.output_hidden_states = False
    config.chunk_size_feed_forward = 0
    config.use_cache = False


def _check_complete(missing_keys: Any, source: str) -> bool:
    """Whether the pooler came along; everything else must have."""
    missing = sorted(missing_keys)
    lost = [name for name in missing if not name.startswith("pooler.")]
    if lost:
        shown = ", ".join(lost[:_SHOWN]) + (
            f" and {len(lost) - _SHOWN} more" if lost[_SHOWN:] else ""
        )
        raise BackboneError(f"{source}: the weights lack {shown}; the checkpoint is incomplete.")
    return not missing


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide transformers' table of unused heads and its progress bar; we account ourselves."""
    verbosity, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.ERROR)
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
