"""Sizes, patterns and types that a file may claim, and no honest one does."""

from __future__ import annotations

import pytest
import torch

from adapter_runtime.checkpoint.patterns import Refused, compiled
from adapter_runtime.checkpoint.reader import read_adapter
from adapter_runtime.errors import SourceError
from adapter_runtime.ledger import Ledger
from adapter_runtime.sources.folder import Folder
from tests.checkpoint.editing import HUB, PEFT, Broken
from tests.methods import golden

MODULE = "bert.encoder.layer.11.attention.self.query"
ENDLESS = (
    r"(.*.*.*)*!",
    r"((\w+\.?)+)+!",
    r"(.|..)+!",
    r"(?:(?:.*\.){9}){9}!",
    ".*.*.*.*.*.*!",
    "(.|.)" * 40 + "!",
    "a{99999999999}",
    "(?:(?:(?:){1000}){1000}){1000}!",
    "(?:){4294967294}!",
    "(?:(?=.)){4294967294}!",
)
MANY = [f"x{number}" for number in range(20_000)]


@pytest.mark.parametrize("pattern", ENDLESS)
def test_patterns_that_could_take_for_ever_are_refused(pattern):
    """What backtracks without end is refused before it is matched."""
    with pytest.raises(Refused):
        compiled(pattern)


@pytest.mark.parametrize(
    "pattern",
    (
        r".*\.(query|value)",
        r".*layer\.\d+\..*(query|key)",
        r"(?:\w+\.)+(query|key)",
        r"(.*\.)?(.*layer\.\d+\..*query)$",
        r".*(attention|output).*(self|dense).*(query|key).*",
        r"(?!.*classifier).*",
        "|".join(f"bert.encoder.layer.{layer}.attention.self.query" for layer in range(24)),
    ),
)
def test_patterns_of_everyday_use_are_accepted(pattern):
    """Nobody's honest pattern is refused."""
    assert compiled(pattern).fullmatch(MODULE)


@pytest.mark.parametrize(
    "change",
    (
        {"target_modules": ENDLESS[0]},
        {"exclude_modules": ENDLESS[0]},
        {"modules_to_save": [ENDLESS[0]]},
        {"rank_pattern": {ENDLESS[0]: 4}},
        {"alpha_pattern": {ENDLESS[0]: 4}},
        {"layers_to_transform": [0], "layers_pattern": [ENDLESS[0]]},
        {"layers_to_transform": [0], "layers_pattern": ["encoder|layer"]},
        {"lora_alpha": 10**400},
        {"r": 10**12},
        {"target_modules": MANY},
        {"exclude_modules": MANY},
        {"modules_to_save": MANY[:5000]},
        {"rank_pattern": dict.fromkeys(MANY[:5000], 4)},
        {"alpha_pattern": {f".*.*.*[{name}]": 4 for name in MANY[:1000]}},
        {"layers_to_transform": [0], "layers_pattern": MANY[:5000]},
        {"layers_to_transform": [None]},
        {"task_type": "FOO"},
        {"task_type": ["SEQ_CLS"]},
        {"use_rslora": "false"},
        {"lora_bias": "x"},
    ),
)
def test_peft_claims_are_bounded(change, tmp_path):
    """Each key that holds a pattern, a size or a switch."""
    copy = Broken(PEFT, tmp_path / "copy").config(**change)
    assert copy.codes() == ["bad_config"]


@pytest.mark.parametrize(
    "change",
    (
        {"reduction_factor": 1e-300},
        {"reduction_factor": 10**400},
        {"scaling": 10**400},
        {"is_parallel": "x"},
        {"mh_adapter": "false"},
    ),
)
def test_bottleneck_claims_are_bounded(change, tmp_path):
    """Each size and switch of a bottleneck."""
    assert Broken(HUB, tmp_path / "copy").inner(**change).codes() == ["bad_config"]


@pytest.mark.parametrize(
    "config", ("lora[r=99999999999]", "lora[alpha=1e999]", "lora[1]", "lora[use_gating='no']")
)
def test_named_configurations_are_bounded(config, tmp_path):
    """Strings are held to the same as objects."""
    assert Broken(HUB, tmp_path / "copy").config(config=config).codes() == ["bad_config"]


@pytest.mark.parametrize("text", ("[" * 100_000, '{"r": ' + "9" * 5000 + "}"))
def test_json_that_python_cannot_hold_is_no_json(text, tmp_path):
    """Depth and digits without end are the file's fault."""
    copy = Broken(HUB, tmp_path / "copy")
    (copy.folder / "adapter_config.json").write_text(text)
    with pytest.raises(SourceError, match="not valid JSON"):
        read_adapter(Folder(copy.folder, "here"), golden.backbone("bert").facts, {})


def test_a_missing_tensor_of_any_size_costs_no_memory():
    """The stand-in of what is missing is never written out."""
    for shape in ((1 << 24, 1 << 24), (10**30, 768)):
        ledger = Ledger({})
        assert ledger.take("down", shape).untyped_storage().nbytes() == 4
        assert [problem.code for problem in ledger.problems()] == ["missing_tensor"]


def test_prompt_types_need_no_module_to_tell_their_backbone(tmp_path):
    """Their file holds none; the width of their vectors is all that must fit."""
    copy = Broken(PEFT, tmp_path / "copy").config(peft_type="P_TUNING", num_virtual_tokens=4)

    for width, codes in ((32, []), (33, ["wrong_backbone", "wrong_shape"])):
        vectors = {"prompt_embeddings": torch.zeros(4, width)}
        copy.tensors(lambda tensors: tensors.clear())
        assert copy.tensors(lambda tensors, new=vectors: tensors.update(new)).codes() == codes


def test_the_version_number_of_peft_may_be_anything(tmp_path):
    """It is only told, as text."""
    copy = Broken(PEFT, tmp_path / "copy").config(peft_version=10**30)
    found = read_adapter(Folder(copy.folder, "here"), golden.backbone("bert").facts, {})
    assert found.library == str(10**30)


def test_adapters_repairs_no_lora_inside_unions(tmp_path):
    """`lora_scaling: adapters` follows its version gate, which looks at the outside only."""
    copy = Broken("bert/legacy_lora_0_2", tmp_path / "copy").config(version="adapters.1.0.0")
    folder, facts = Folder(copy.folder, "here"), golden.backbone("bert").facts

    def scales(lora_scaling):
        found = read_adapter(folder, facts, {"lora_scaling": lora_scaling})
        return {part.settings.scale for part in found.parts}

    assert scales("adapters") == scales("as_trained") == {1.0}
    copy.edit(
        lambda config: config.update(
            config={"architecture": "union", "configs": [config["config"]]}
        )
    )
    assert scales("as_trained") == {1.0}
    assert scales("adapters") != {1.0}
