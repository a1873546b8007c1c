"""PEFT's LoRA and DoRA, on linears and on embedding tables, and the biases trained beside them.

Source: `LoraConfig`, `lora.Linear` and `lora.Embedding` of peft 0.21.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt

from torch import Tensor

from adapter_runtime.checkpoint.peft import defaults as peft_defaults
from adapter_runtime.checkpoint.peft.file import PeftFile
from adapter_runtime.checkpoint.peft.targets import Targets, pattern_value
from adapter_runtime.methods.bias import Bias, BiasSettings
from adapter_runtime.methods.configuration import BadConfig, as_number, boolean, positive_integer
from adapter_runtime.methods.dora import Dora, DoraSettings
from adapter_runtime.methods.lora import Lora, LoraSettings
from adapter_runtime.methods.lora_embedding import LoraEmbedding, LoraEmbeddingSettings
from adapter_runtime.types import Part, PlugPoint, Site


def read_lora(file: PeftFile) -> list[Part]:
    """The Parts of a LoRA checkpoint; problems go to the ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    if boolean(file.config, "use_dora") and boolean(file.config, "lora_bias"):
        raise BadConfig("lora_bias cannot be used with use_dora; PEFT knows no such adapter.")
    targets = Targets.read(file.config, peft_defaults.LORA.get(file.facts.model_type))
    linears = list(file.linears(targets))
    biases = read_biases([path for path, _ in linears], file)
    new_biases = {part.point: part.tensors["bias"] for part in biases}
    parts = [_linear_part(path, point, new_biases.get(point), file) for path, point in linears]
    tables = [_embedding_part(path, point, file) for path, point in _embeddings(targets, file)]
    return biases + parts + tables


def _embeddings(targets: Targets, file: PeftFile) -> Iterator[tuple[str, PlugPoint]]:
    for path, point in file.embeddings():
        if not targets.are_linear_only and file.module(path) in targets:
            yield path, point


def rank_and_scale(path: str, file: PeftFile) -> tuple[int, float]:
    """The rank of a module's factors, and the factor of their product.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    config, module = file.config, file.module(path)
    rank = pattern_value(config.get("rank_pattern"), module, config.get("r", 8), "rank_pattern")
    rank = positive_integer(rank, "r")
    alpha = pattern_value(
        config.get("alpha_pattern"), module, config.get("lora_alpha", 8), "alpha_pattern"
    )
    share = sqrt(rank) if boolean(config, "use_rslora") else rank
    return rank, as_number(alpha, "lora_alpha") / share


def _linear_part(path: str, point: PlugPoint, bias: Tensor | None, file: PeftFile) -> Part:
    rank, scale = rank_and_scale(path, file)
    width_out, width_in = file.facts.linears[path]
    take = file.ledger.take
    tensors = {
        "down": take(file.name(path, "lora_A.weight"), (rank, width_in)),
        "up": take(file.name(path, "lora_B.weight"), (width_out, rank)),
    }
    if boolean(file.config, "use_dora"):
        tensors["magnitude"] = _magnitude(path, width_out, file)
        # The length does not divide the bias, so it must know the one that was trained.
        new_bias = {} if bias is None else {"bias": bias}
        dora = DoraSettings(scale, is_norm_scaled=True, is_bias_scaled=False)
        return Part(Dora.name, point, dora, tensors | new_bias)
    has_bias = boolean(file.config, "lora_bias")
    if has_bias:
        tensors["bias"] = take(file.name(path, "lora_B.bias"), (width_out,))
    return Part(Lora.name, point, LoraSettings(scale, has_bias=has_bias), tensors)


def _embedding_part(path: str, point: PlugPoint, file: PeftFile) -> Part:
    if boolean(file.config, "lora_bias"):
        raise BadConfig("lora_bias cannot be used on an embedding table.")
    rank, scale = rank_and_scale(path, file)
    vocabulary, width = file.facts.shapes[point]
    take = file.ledger.take
    tensors = {
        "down": take(file.name(path, "lora_embedding_A"), (rank, vocabulary)),
        "up": take(file.name(path, "lora_embedding_B"), (width, rank)),
    }
    has_magnitude = boolean(file.config, "use_dora")
    if has_magnitude:
        tensors["magnitude"] = _magnitude(path, width, file)
    return Part(LoraEmbedding.name, point, LoraEmbeddingSettings(scale, has_magnitude), tensors)


def _magnitude(path: str, width: int, file: PeftFile) -> Tensor:
    names = [file.name(path, f"lora_magnitude_vector{end}") for end in ("", ".weight")]
    name = next((name for name in names if name in file.ledger), names[0])
    return file.ledger.take(name, (width,))


_BARE = frozenset({Site.QUERY_SHIFT, Site.VALUE_SHIFT})
"""Biases that are parameters without a module; PEFT of today leaves them alone."""


def read_biases(targeted: Sequence[str], file: PeftFile) -> list[Part]:
    """The biases that a method trained beside its own weights.

    Args:
        targeted: paths of the modules that the method wraps.
        file: the checkpoint.

    Raises:
        BadConfig: `bias` is none of PEFT's words, or a biased module is no plug point.
    """
    kind = file.config.get("bias", "none")
    if kind not in ("none", "all") and not str(kind).endswith("_only"):
        raise BadConfig(f"bias must be none, all or lora_only, not {kind!r:.200}.")
    if kind == "none":
        return []
    biased = {
        name.removesuffix(".bias"): shape
        for name, shape in file.facts.biases.items()
        if name.endswith(".bias")
    }
    private = set(file.saved_paths())  # These bring their own biases.
    paths = biased if kind == "all" else [path for path in targeted if path in biased]
    idle = {path for path in paths if file.is_idle(path)}
    file.ledger.alias((name for path in idle for name in file.tensors_of(path)), "has no effect")
    return [
        Part(Bias.name, file.point(path), BiasSettings(), {"bias": tensor})
        for path in paths
        if path not in private | idle
        and (tensor := _take_bias(path, path in targeted, biased[path], file)) is not None
    ]


def _take_bias(
    path: str, is_wrapped: bool, shape: tuple[int, ...], file: PeftFile
) -> Tensor | None:
    names = [file.name(path, "bias")]
    is_bare = file.point(path).site in _BARE
    if is_bare:
        names = [names[0].removesuffix(".bias")]
    if is_wrapped:
        # Before PEFT 0.6 a wrapped module's bias kept its plain name.
        names.insert(0, file.name(path, "base_layer.bias"))
    stored = [name for name in names if name in file.ledger]
    if file.is_absent(path) or (is_bare and not stored):
        return None
    return file.ledger.take((stored or names)[0], shape)
