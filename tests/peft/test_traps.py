"""The numeric traps of PEFT checkpoints, one named test each."""

from __future__ import annotations

import copy

import pytest
import torch

from adapter_runtime.checkpoint.heads.reading import read_head
from adapter_runtime.checkpoint.peft.reader import read_peft
from adapter_runtime.checkpoint.reader import examine_adapter
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.dora import DoraSettings
from adapter_runtime.methods.ia3_input import Ia3Input
from adapter_runtime.sources.folder import Folder
from tests.goldens import replay
from tests.goldens.filling import draw
from tests.heads.plain import write_folder
from tests.peft import files
from tests.peft.test_random_configs import PLAIN

OUTPUT = "encoder.layer.1.output.dense"
QUERY = "encoder.layer.0.attention.self.query"


def plain_states(model):
    with torch.no_grad():
        return model(
            torch.tensor([files.ROW.input_ids]), token_type_ids=torch.tensor([files.ROW.type_ids])
        ).last_hidden_state[0]


def test_t12_factors_of_feed_forward_modules_scale_their_input():
    """PEFT's (IA)³ scales what enters a feed-forward module, and what leaves any other."""
    factors = 1 + draw("factors", (1, 64), 0.3)
    options = {"peft_type": "IA3", "target_modules": [OUTPUT], "feedforward_modules": [OUTPUT]}
    parts, problems = files.read(options, {f"{files.WRAPPER}{OUTPUT}.ia3_l": factors})
    assert not problems
    assert [part.method for part in parts] == [Ia3Input.name]
    model = copy.deepcopy(PLAIN)
    model.get_submodule(OUTPUT).weight.data *= factors
    torch.testing.assert_close(files.states(parts), plain_states(model), atol=2e-5, rtol=1e-5)


def test_t12_feed_forward_names_may_end_within_a_word():
    """Unlike targets: `ense` names a feed-forward module, and no target."""
    options = {"peft_type": "IA3", "target_modules": [OUTPUT], "feedforward_modules": ["ense"]}
    parts, _ = files.read(options, {f"{files.WRAPPER}{OUTPUT}.ia3_l": torch.ones(1, 64)})
    assert [part.method for part in parts] == [Ia3Input.name]


def test_t13_dora_divides_by_the_scaled_length_and_leaves_the_bias_alone():
    """PEFT's meaning, not that of the `adapters` library."""
    tensors = files.lora_tensors([QUERY])
    magnitude = 1 + draw("magnitude", (32,), 0.3)
    tensors[f"{files.WRAPPER}{QUERY}.lora_magnitude_vector"] = magnitude
    parts, problems = files.read(files.config(target_modules=[QUERY], use_dora=True), tensors)
    assert not problems
    (part,) = parts
    assert part.settings == DoraSettings(2.0, is_norm_scaled=True, is_bias_scaled=False)
    model = copy.deepcopy(PLAIN)
    linear = model.get_submodule(QUERY)
    weight = linear.weight.data + 2.0 * part.tensors["up"] @ part.tensors["down"]
    linear.weight.data = weight * (magnitude / weight.norm(dim=1)).unsqueeze(1)
    torch.testing.assert_close(files.states(parts), plain_states(model), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
def test_t42_half_precision_files_are_read_as_float32(dtype):
    """PEFT casts such adapters up when it loads them, and computes in float32."""
    stored = {name: tensor.to(dtype) for name, tensor in files.queries().items()}
    parts, problems = files.read(files.config(), stored)
    assert not problems
    assert all(tensor.dtype == torch.float32 for part in parts for tensor in part.tensors.values())
    up = stored[f"{files.WRAPPER}{QUERY}.lora_B.weight"].float()
    assert torch.equal(parts[0].tensors["up"], up)


def test_t44_replaced_biases_are_private():
    """`bias: all` brings other LayerNorm biases; the backbone keeps its own."""
    norm = "embeddings.LayerNorm"
    before = files.states(())
    tensors = files.queries() | {
        f"{files.WRAPPER}{name}": draw(name, shape, 0.3)
        for name, shape in files.backbone().facts.biases.items()
    }
    parts, problems = files.read(files.config(bias="all"), tensors)
    assert not problems
    assert norm in {files.backbone().facts.paths[part.point] for part in parts}
    assert not torch.allclose(files.states(parts), before, atol=0.1)
    assert torch.equal(files.states(()), before)


@pytest.mark.parametrize(
    ("backbone", "lost"), (("bart", "classification_head"), ("t5", "classification_head"))
)
def test_t44_heads_that_peft_never_saves_are_refused(backbone, lost, tmp_path):
    """The classification head of these classes matches none of the names that PEFT saves."""
    folder = write_folder({"peft_type": "LORA", "task_type": "SEQ_CLS"}, {}, tmp_path)
    with pytest.raises(RejectedAdapter, match=f"missing_head.*{lost}"):
        read_head(folder, files.backbone(backbone).facts)


def test_t44_the_untrained_pooler_of_deberta_is_refused(tmp_path):
    """Its pooler belongs to the task class, was random at training, and is not in the file."""
    head = {f"{files.WRAPPER}classifier.weight": torch.ones(3, 32)}
    head[f"{files.WRAPPER}classifier.bias"] = torch.ones(3)
    config = {"peft_type": "LORA", "task_type": "SEQ_CLS"}
    with pytest.raises(RejectedAdapter, match=r"missing_head.*pooler\.dense"):
        read_head(write_folder(config, head, tmp_path), files.backbone("deberta-v2").facts)


def test_methods_that_are_folded_say_so():
    """A report lists LoRA for them, so it tells why."""
    tensors = {name.removesuffix(".weight"): value for name, value in files.queries().items()}
    for path in ("encoder.layer.0", "encoder.layer.1"):
        name = f"{files.WRAPPER}{path}.attention.self.query.lora_E"
        tensors[name] = draw(name, (4, 1), 0.3)
    options = files.config(peft_type="ADALORA", init_r=4)
    parts, notes = read_peft(options, Ledger(tensors), files.backbone().facts)
    assert {part.method for part in parts} == {"lora"}
    assert [note.code for note in notes] == ["folded_method"]


def test_t45_rows_of_different_methods_share_one_batch():
    """PEFT mixes LoRA only, and runs the rest under one adapter without a word."""
    names = ("rslora", "bias_all", "dora", "ia3", "adalora", "vera", "ln_tuning", "embeddings")
    cases = [
        case
        for case in replay.all_cases()
        if case.group == "peft" and case.backbone == "bert" and case.entry["name"] in names
    ]
    assert len(cases) == len(names)
    for case, row, raw in replay.answers(cases):
        assert replay.gap(case, row, raw) < 2e-5


def test_t27_a_folder_of_two_formats_is_refused(tmp_path):
    """Both libraries call their configuration `adapter_config.json`; the weights must match it."""
    folder = write_folder(files.config(), files.queries(), tmp_path)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "pytorch_adapter.bin")
    with pytest.raises(RejectedAdapter, match="mixed_formats"):
        examine_adapter(Folder(tmp_path, "mixed"), files.backbone().facts, {})
    assert folder.has("pytorch_adapter.bin")
