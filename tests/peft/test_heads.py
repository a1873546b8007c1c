"""Heads that PEFT adapts, leaves to the backbone, or saves in parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from adapter_runtime.checkpoint.heads.reading import read_head
from adapter_runtime.checkpoint.peft.reader import read_peft
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.ledger import Ledger
from adapter_runtime.types import Kind, Leaf, TaskSpec
from tests.goldens.filling import draw
from tests.goldens.replay import engine
from tests.heads.plain import write_folder
from tests.peft import files

CAUSAL = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 3}
FACTORS = {
    f"{files.WRAPPER}lm_head.lora_A.weight": draw("A", (2, 32), 0.3),
    f"{files.WRAPPER}lm_head.lora_B.weight": draw("B", (99, 2), 0.3),
}
CLASSIFIER = {
    f"{files.WRAPPER}classifier.weight": draw("weight", (3, 32), 0.3),
    f"{files.WRAPPER}classifier.bias": draw("bias", (3,), 0.3),
}


def test_lora_on_a_tied_vocabulary_is_folded_into_a_private_one(tmp_path):
    """The head's own matrix is the backbone's embeddings, which stay as they are."""
    facts = files.backbone("gpt2").facts
    own = facts.word_embeddings().clone()
    head = read_head(write_folder(CAUSAL, FACTORS, tmp_path), facts)
    assert head is not None
    down, up = FACTORS.values()
    expected = own + 1.5 * up @ down
    torch.testing.assert_close(head.tensors["decoder.weight"], expected)
    assert torch.equal(facts.word_embeddings(), own)


def test_dora_on_a_saved_vocabulary_divides_by_its_own_length(tmp_path):
    """A targeted vocabulary is saved beside its factors, and then it is the one meant."""
    saved, lengths = draw("saved", (99, 32), 0.3), 1 + draw("lengths", (99,), 0.1)
    more = {"base_layer.weight": saved, "lora_magnitude_vector": lengths}
    tensors = FACTORS | {f"{files.WRAPPER}lm_head.{name}": value for name, value in more.items()}
    folder = write_folder(CAUSAL | {"use_dora": True}, tensors, tmp_path)
    head = read_head(folder, files.backbone("llama").facts)
    assert head is not None
    down, up = FACTORS.values()
    changed = saved + 1.5 * up @ down
    expected = changed * (lengths / changed.norm(dim=1)).unsqueeze(1)
    torch.testing.assert_close(head.tensors["decoder.weight"], expected)


def test_factors_of_a_head_are_no_business_of_the_adapter():
    """Its own reader leaves them to the head's."""
    tensors = files.lora_tensors(["h.0.attn.c_attn"], 2, "transformer.", "gpt2") | FACTORS
    ledger = Ledger(tensors)
    options = CAUSAL | {"target_modules": ["h.0.attn.c_attn", "lm_head"]}
    options["target_modules"] = ["transformer.h.0.attn.c_attn", "lm_head"]
    parts, _ = read_peft(options, ledger, files.backbone("gpt2").facts)
    assert not ledger.problems()
    assert len(parts) == 1
    assert {ledger.accounts()[name] for name in FACTORS} == {"head"}


@pytest.mark.parametrize(("options", "code"), (({"r": 3}, "wrong_shape"), ({"r": 0}, "bad_config")))
def test_factors_of_a_head_must_fit(options, code, tmp_path):
    """As those of any other module."""
    with pytest.raises(RejectedAdapter, match=code):
        read_head(write_folder(CAUSAL | options, FACTORS, tmp_path), files.backbone("gpt2").facts)


def test_layers_that_peft_leaves_alone_come_from_the_backbone(tmp_path):
    """ModernBERT's prediction head is pre-trained: the backbone's folder brings it."""
    facts = files.backbone("modernbert").facts
    brought = {"head.dense.weight": draw("d", (32, 32), 0.3), "head.norm.weight": torch.ones(32)}
    folder = write_folder({"peft_type": "LORA", "task_type": "SEQ_CLS"}, CLASSIFIER, tmp_path)
    with pytest.raises(RejectedAdapter, match=r"missing_head.*head\.dense"):
        read_head(folder, facts)
    head = read_head(folder, replace(facts, stored=lambda roots: brought))
    assert head is not None
    assert [note.code for note in head.notes] == ["backbone_head"]
    assert torch.equal(head.tensors["0.weight"], brought["head.dense.weight"])


def test_adapters_of_an_encoder_alone_say_so():
    """T5ForTokenClassification has no decoder: its factors are missing for a reason."""
    paths = [path for path in files.linears("t5") if path.startswith("encoder.")]
    targeted = [path for path in paths if path.endswith((".q", ".v"))]
    tensors = files.lora_tensors(targeted, name="t5", prefix="transformer.")
    config = files.config(task_type="TOKEN_CLS", target_modules=["q", "v"])
    ledger = Ledger(tensors)
    read_peft(config, ledger, files.backbone("t5").facts)
    assert [note.code for note in ledger.problems()] == ["encoder_only"]


def test_task_types_without_a_class_here_are_refused_by_its_name(tmp_path):
    """Never a traceback: the classes that there are come with the reason."""
    folder = write_folder(CAUSAL | {"task_type": "TOKEN_CLS"}, CLASSIFIER, tmp_path)
    with pytest.raises(RejectedAdapter, match="T5ForTokenClassification, whose head is not"):
        read_head(folder, files.backbone("t5").facts)


@pytest.mark.parametrize(
    "config",
    (
        {"task_type": "CAUSAL_LM"},
        {"task_type": None, "auto_mapping": {"base_model_class": "BertForMaskedLM"}},
    ),
    ids=["causal", "masked"],
)
def test_language_models_without_any_head_are_no_embeddings(config, tmp_path):
    """Hidden states are given to those who ask for them, and to nobody else."""
    write_folder(files.config(**config), files.queries(), tmp_path)
    opened = engine("bert")
    spec = TaskSpec("words", adapter=Leaf(str(tmp_path)))
    with pytest.raises(RejectedAdapter, match="kind: feature-extraction"):
        opened.prepare(spec)
    version = opened.prepare(replace(spec, kind=Kind.FEATURE_EXTRACTION))
    assert version.kind == Kind.FEATURE_EXTRACTION


@pytest.mark.parametrize(
    ("prefix", "codes"), (("transformer.", ["random_backbone"]), ("model.", []))
)
def test_classes_that_start_from_random_backbones_are_warned_of(prefix, codes):
    """LlamaForQuestionAnswering loads nothing from a causal language model's checkpoint."""
    paths = [path for path in files.linears("llama") if path.endswith("q_proj")]
    tensors = files.lora_tensors(paths, prefix=prefix, name="llama")
    ledger = Ledger(tensors)
    config = files.config(target_modules=["q_proj"])
    _, notes = read_peft(config, ledger, files.backbone("llama").facts)
    assert not ledger.problems()
    assert [note.code for note in notes] == codes
