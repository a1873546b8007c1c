"""Bottleneck adapters in AdapterHub files: configuration keys, tensor names and shapes.

Source: https://docs.adapterhub.ml/methods.html; class `BnConfig` of the `adapters` library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from adapter_runtime.methods.bottleneck import Bottleneck, BottleneckSettings
from adapter_runtime.methods.compacter_files import (
    Compacter,
    check_sizes,
    read_compacter,
    take_linear,
)
from adapter_runtime.methods.configuration import (
    MAX_WIDTH,
    BadConfig,
    HubFile,
    Residuals,
    activation_name,
    as_number,
    boolean,
)
from adapter_runtime.types import Part, PlugPoint, Site

REQUIRED_KEYS = ("mh_adapter", "output_adapter", "reduction_factor", "non_linearity")
_SITES = {
    "mh_adapter": Site.ATTENTION,
    "output_adapter": Site.FFN,
    "cross_adapter": Site.CROSS,
}
_RESIDUALS = (True, False, "post_add")


def read_bottleneck(config: Mapping[str, Any], file: HubFile) -> list[Part]:
    """The Parts of one bottleneck configuration; problems go to the file's ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    missing = [key for key in REQUIRED_KEYS if key not in config]
    if missing:
        raise BadConfig(f"The adapter configuration lacks {', '.join(missing)}.")
    settings, compacter = _settings(config, file), read_compacter(config)
    sites = [site for key, site in _SITES.items() if boolean(config, key)]
    points = list(file.points(config, sites))
    wide = file.facts.hidden_size
    widths = [_width(config, point.layer, wide) for point in points]
    if compacter is not None:
        check_sizes(compacter, widths, wide)
    if not points:
        file.alias_shared()
    _check_norms(settings, points, file)
    scaling = config.get("scaling", 1.0)
    return [
        _read_part(point, settings, (narrow, wide), scaling, compacter, file)
        for point, narrow in zip(points, widths, strict=True)
    ]


def _settings(config: Mapping[str, Any], file: HubFile) -> BottleneckSettings:
    scaling, is_hooked = config.get("scaling", 1.0), file.is_hooked
    closes = boolean(config, "original_ln_after", True)
    if is_hooked and not closes:
        message = (
            f"The library hooks {file.facts.model_type} from outside and cannot run "
            "original_ln_after: false there; set it to true."
        )
        raise BadConfig(message, "unsupported_point")
    settings = BottleneckSettings(
        activation=activation_name(config["non_linearity"]),
        is_parallel=boolean(config, "is_parallel"),
        original_ln_before=_reads_residual(config, file),
        # Residual and norm of a hooked sublayer are the model's own, behind the block.
        original_ln_after=closes and not file.facts.is_hooked,
        residual_before_ln=config.get("residual_before_ln", True),
        ln_before=boolean(config, "ln_before"),
        ln_after=boolean(config, "ln_after"),
        adapter_residual_before_ln=boolean(config, "adapter_residual_before_ln"),
        use_gating=boolean(config, "use_gating"),
        scaling=1.0 if scaling in ("learned", "channel") else float(as_number(scaling, "scaling")),
    )
    _check_residual(settings)
    return settings


def _reads_residual(config: Mapping[str, Any], file: HubFile) -> bool:
    """Whether blocks read the sum of sublayer and residual, as far as they saw the residual."""
    reads, is_parallel = boolean(config, "original_ln_before"), boolean(config, "is_parallel")
    if file.residuals is Residuals.SEEN or not (reads or is_parallel):
        return reads
    is_odd = file.residuals is Residuals.ODD or config.get("residual_before_ln") == "post_add"
    if is_odd or is_parallel:
        message = (
            "Its interface does not show us the residual that its blocks read; train it with "
            "original_ln_before: false and is_parallel: false."
        )
        raise BadConfig(message, "foreign_interface")
    return False


def _check_residual(settings: BottleneckSettings) -> None:
    residual = settings.residual_before_ln
    if residual not in _RESIDUALS:
        raise BadConfig(f"residual_before_ln must be true, false or post_add, not {residual!r}.")
    needs_norm = residual == "post_add" and not settings.is_parallel
    if needs_norm and not settings.original_ln_before:
        raise BadConfig("residual_before_ln: post_add needs original_ln_before: true.")


def _check_norms(settings: BottleneckSettings, points: Sequence[PlugPoint], file: HubFile) -> None:
    """Refuse what the library cannot run: it has no such residual where a sublayer has no norm."""
    if settings.residual_before_ln != "post_add" or settings.is_parallel or file.facts.is_hooked:
        return
    norms = {Site.ATTENTION: Site.ATTENTION_NORM, Site.FFN: Site.FFN_NORM}
    for point in points:
        norm = PlugPoint(point.layer, norms.get(point.site, Site.CROSS_NORM))
        if norm not in file.facts.shapes:
            message = f"residual_before_ln: post_add needs a norm behind {point}; there is none."
            raise BadConfig(message, "unsupported_point")


def _width(config: Mapping[str, Any], layer: int, hidden_size: int) -> int:
    factor = config["reduction_factor"]
    if isinstance(factor, Mapping):
        if str(layer) not in factor and "default" not in factor:
            raise BadConfig(f"reduction_factor names neither layer {layer} nor a default.")
        factor = factor.get(str(layer), factor.get("default"))
    factor = as_number(factor, "reduction_factor")
    if factor <= 0:
        raise BadConfig(f"reduction_factor must be greater than 0, not {factor}.")
    width = hidden_size // factor
    if width > MAX_WIDTH:
        raise BadConfig(f"reduction_factor {factor} makes the bottleneck wider than {MAX_WIDTH}.")
    return max(1, int(width))


def tensor_names(settings: BottleneckSettings, scaling: Any = 1.0) -> dict[str, str]:
    """The method's tensors to their names in the file, under `….adapters.NAME`."""
    # The inner norm is registered twice; what the library loads last is the one in the Sequential.
    linear = "adapter_down.1" if settings.ln_before else "adapter_down.0"
    names = {"norm_before": "adapter_down.0"} if settings.ln_before else {}
    names |= {"down": linear, "up": "adapter_up"}
    if settings.ln_after:
        names["norm_after"] = "adapter_norm_after"
    if settings.use_gating:
        names["gate"] = "gate"
    pairs = {
        f"{ours}_{kind}": f"{theirs}.{kind}"
        for ours, theirs in names.items()
        for kind in ("weight", "bias")
    }
    return pairs | ({"scaling": "scaling"} if scaling in ("learned", "channel") else {})


def _shapes(narrow: int, wide: int, scaling: Any) -> dict[str, tuple[int, ...]]:
    return {
        "down_weight": (narrow, wide),
        "down_bias": (narrow,),
        "up_weight": (wide, narrow),
        "up_bias": (wide,),
        "gate_weight": (1, wide),
        "gate_bias": (1,),
        "norm_before_weight": (wide,),
        "norm_before_bias": (wide,),
        "norm_after_weight": (wide,),
        "norm_after_bias": (wide,),
        "scaling": (1,) if scaling == "learned" else (wide,),
    }


def _read_part(
    point: PlugPoint,
    settings: BottleneckSettings,
    sizes: tuple[int, int],
    scaling: Any,
    compacter: Compacter | None,
    file: HubFile,
) -> Part:
    path = f"{file.facts.adapter_paths[point]}.adapters.{file.name}"
    shapes = _shapes(*sizes, scaling)
    names = tensor_names(settings, scaling)
    tensors: dict[str, Tensor] = {}
    if compacter is not None:
        for position in ("down", "up"):
            linear = f"{path}.{names.pop(f'{position}_weight').removesuffix('.weight')}"
            del names[f"{position}_bias"]
            narrow, wide = sizes
            shape = (narrow, wide) if position == "down" else (wide, narrow)
            weight, bias = take_linear(compacter, linear, position, shape, file)
            tensors |= {f"{position}_weight": weight, f"{position}_bias": bias}
    tensors |= {
        ours: file.ledger.take(_stored_name(f"{path}.{theirs}", ours, file), shapes[ours])
        for ours, theirs in names.items()
    }
    return Part(Bottleneck.name, point, settings, tensors)


def _stored_name(name: str, ours: str, file: HubFile) -> str:
    """Where the inner norm lies: both copies are usual, one is enough."""
    if not ours.startswith("norm_before"):
        return name
    twin = name.replace("adapter_down.0", "adapter_norm_before")
    if name not in file.ledger:
        return twin
    file.ledger.alias([twin])
    return name


def write_bottleneck(part: Part, name: str, path: str) -> dict[str, Tensor]:
    """A Part's tensors under their names in an AdapterHub file.

    Args:
        part: a bottleneck Part.
        name: the adapter's name.
        path: where the library hangs `.adapters` at the Part's point.
    """
    settings = part.settings
    assert isinstance(settings, BottleneckSettings), "Foreign settings. This is a bug."
    scaling = "learned" if "scaling" in part.tensors else 1.0
    base = f"{path}.adapters.{name}"
    tensors = {
        f"{base}.{theirs}": part.tensors[ours]
        for ours, theirs in tensor_names(settings, scaling).items()
    }
    if settings.ln_before:
        for kind in ("weight", "bias"):
            tensors[f"{base}.adapter_norm_before.{kind}"] = part.tensors[f"norm_before_{kind}"]
    return tensors
