"""Random LoRA configurations against plain torch: PEFT's rules and equations, written twice."""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AutoModel

from tests.goldens.filling import draw
from tests.goldens.replay import saved_backbone
from tests.peft import files

TOLERANCE = 3e-5  # fp32, states of size one to four
PLAIN = AutoModel.from_pretrained(saved_backbone("bert")).eval()
LINEARS = {name: m for name, m in PLAIN.named_modules() if isinstance(m, nn.Linear)}
BIASED = {name for name, m in PLAIN.named_modules() if getattr(m, "bias", None) is not None}

ENDINGS = ("query", "value", "key", "dense", "output.dense", "attention.output.dense")
FULL = ("encoder.layer.1.output.dense", "encoder.layer.0.attention.self.key")
PATTERNS = (
    r"(bert\.)?encoder\.layer\.\d+\.attention\.self\.(query|value)",
    r".*\.1\..*dense",
    r".*(key|intermediate\.dense)",
)
VALUE_KEYS = ("query", "dense", r"layer\.0\..*", r"^bert.encoder.layer.1.output.dense", "key")

targets = st.one_of(
    st.lists(st.sampled_from(ENDINGS + FULL), min_size=1, max_size=4, unique=True),
    st.sampled_from((*PATTERNS, "all-linear")),
)
excluded = st.one_of(
    st.none(),
    st.lists(st.sampled_from(("pooler.dense", "1.output.dense", "value")), max_size=2),
    st.just(r".*layer\.0\.output.*"),
)


def values(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Numbers for patterns."""
    return st.dictionaries(st.sampled_from(VALUE_KEYS), numbers, max_size=3)


@st.composite
def configurations(random: Any) -> dict[str, Any]:
    """A configuration that PEFT would accept."""
    config = files.config(
        r=random(st.integers(1, 5)),
        lora_alpha=random(st.integers(1, 9)),
        target_modules=random(targets),
        exclude_modules=random(excluded),
        rank_pattern=random(values(st.integers(1, 6))),
        alpha_pattern=random(values(st.integers(1, 12))),
        use_rslora=random(st.booleans()),
        use_dora=random(st.booleans()),
        bias=random(st.sampled_from(("none", "lora_only", "all"))),
    )
    if isinstance(config["target_modules"], list):
        config["layers_to_transform"] = random(st.sampled_from((None, [], 0, 1, [0, 1])))
    if not config["use_dora"]:
        config["lora_bias"] = random(st.booleans())
    return config


def ends_with(names: list[str], module: str) -> bool:
    return any(module == name or module.endswith("." + name) for name in names)


def is_meant(config: dict[str, Any], module: str) -> bool:
    """PEFT's rule for one module."""
    wanted, left_out = config["target_modules"], config["exclude_modules"]
    if left_out and (
        re.fullmatch(left_out, module) if isinstance(left_out, str) else ends_with(left_out, module)
    ):
        return False
    if isinstance(wanted, str):
        return wanted == "all-linear" or bool(re.fullmatch(wanted, module))
    if module in wanted:
        return True
    layers = config.get("layers_to_transform")
    if ends_with(wanted, module) and layers not in (None, []):
        number = re.match(r".*?\.[^.]*\.(\d+)\.", module)
        return bool(number) and int(number[1]) in ([layers] if isinstance(layers, int) else layers)
    return ends_with(wanted, module)


def value_of(patterns: dict[str, Any], module: str, default: int) -> int:
    """The first pattern that ends the module's path decides."""
    found = [key for key in patterns if re.match(rf"(.*\.)?({key})$", module)]
    return patterns[found[0]] if found else default


class Plain:
    """A copy of the plain model, changed in place as PEFT's equations say."""

    def __init__(self, config: dict[str, Any], prefix: str) -> None:
        self.config, self.prefix = config, prefix
        self.model = copy.deepcopy(PLAIN)
        self.tensors: dict[str, Tensor] = {}
        wrapped = [name for name in LINEARS if is_meant(config, prefix + name)]
        if config["bias"] != "none":
            self.replace_biases(BIASED if config["bias"] == "all" else wrapped, wrapped)
        for name in wrapped:
            self.adapt(name)

    def new(self, name: str, *shape: int) -> Tensor:
        """One tensor of the file."""
        self.tensors[f"{files.WRAPPER}{self.prefix}{name}"] = draw(name, shape, 0.3)
        return draw(name, shape, 0.3)

    def replace_biases(self, names: Any, wrapped: list[str]) -> None:
        for name in names:
            module = self.model.get_submodule(name)
            path = f"{name}.base_layer.bias" if name in wrapped else f"{name}.bias"
            module.bias.data = self.new(path, *module.bias.shape)

    def adapt(self, name: str) -> None:
        config, module = self.config, self.prefix + name
        linear = self.model.get_submodule(name)
        rank = value_of(config["rank_pattern"], module, config["r"])
        alpha = value_of(config["alpha_pattern"], module, config["lora_alpha"])
        scale = alpha / (math.sqrt(rank) if config["use_rslora"] else rank)
        width_out, width_in = linear.weight.shape
        down = self.new(f"{name}.lora_A.weight", rank, width_in)
        up = self.new(f"{name}.lora_B.weight", width_out, rank)
        weight = linear.weight.data + scale * up @ down
        if config["use_dora"]:
            magnitude = 1 + self.new(f"{name}.lora_magnitude_vector", width_out)
            self.tensors[f"{files.WRAPPER}{module}.lora_magnitude_vector"] = magnitude
            weight *= (magnitude / weight.norm(dim=1)).unsqueeze(1)
        if config.get("lora_bias"):
            linear.bias.data = linear.bias + scale * self.new(f"{name}.lora_B.bias", width_out)
        linear.weight.data = weight

    @torch.no_grad()
    def states(self) -> Tensor:
        """The final states of the row."""
        return self.model(
            torch.tensor([files.ROW.input_ids]), token_type_ids=torch.tensor([files.ROW.type_ids])
        ).last_hidden_state[0]


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(configurations(), st.sampled_from(("", "bert.")))
def test_any_accepted_configuration_computes_what_plain_torch_does(config, prefix):
    """Targets, patterns, ranks, scales, DoRA and biases, alone and together."""
    plain = Plain(config, prefix)
    if not any("lora_A" in name for name in plain.tensors):
        return  # PEFT refuses to make an adapter that acts nowhere.
    parts, problems = files.read(config, plain.tensors)
    assert not problems
    torch.testing.assert_close(files.states(parts), plain.states(), atol=TOLERANCE, rtol=1e-5)
