import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)

from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.engine.forward import BatchRunner, Job
from adapter_runtime.errors import BackboneError
from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import PlugPoint, Row, Site
from tests.backbone.tiny import CONFIGS, open_tiny, saved
from tests.engine_forward.collect import Collect

CPU = torch.device("cpu")


def load(folder):
    """Load a folder on CPU."""
    return load_backbone(Folder(folder, "tiny"), CPU, torch.float32)


@pytest.fixture
def bert(tmp_path):
    """A copy of the tiny BERT that a test may break."""
    shutil.copytree(saved("bert")[0], tmp_path / "bert")
    return tmp_path / "bert"


def states(backbone, ids):
    """The hidden states of one row of token ids without types."""
    slots = SlotPool({}, backbone.bases, backbone.device, backbone.dtype)
    runner, found = BatchRunner(backbone, slots, 1), Collect()
    report = runner.run([Job(Row(ids, (0,) * len(ids)), None)], found)
    runner.close()
    assert not report.errors
    return found.states[0]


def change_weights(folder, change):
    """Rewrite the weights of a folder."""
    weights = load_file(folder / "model.safetensors")
    save_file(change(weights), folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("model_type", tuple(CONFIGS))
def test_facts_name_every_point_by_its_plain_path(model_type):
    """Paths, shapes and biases are those of the bare Hugging Face model."""
    facts = open_tiny(model_type).facts
    _, plain = saved(model_type)
    for path, point in facts.modules.items():
        module = plain.get_submodule(path)
        assert tuple(module.weight.shape) == facts.shapes[point]
        assert path == facts.path(point)
    sites = {Site.QUERY, Site.KEY, Site.VALUE, Site.ATTENTION_OUT, Site.FFN_IN, Site.FFN_OUT}
    norms = {Site.ATTENTION_NORM, Site.FFN_NORM}
    assert {PlugPoint(layer, site) for layer in (0, 1) for site in sites | norms} <= set(
        facts.shapes
    )
    assert {name for name, _ in plain.named_parameters() if "bias" in name} == set(facts.biases)


@pytest.mark.parametrize("model_type", tuple(CONFIGS))
def test_backbone_is_frozen_and_wrapping_keeps_its_parameters(model_type):
    """No parameter takes gradients, and each equals the plain model's."""
    backbone = open_tiny(model_type)
    assert not any(value.requires_grad for value in backbone.model.parameters())
    _, plain = saved(model_type)
    for path, point in backbone.facts.modules.items():
        assert torch.equal(backbone.bases[point].weight, plain.get_submodule(path).weight)


@pytest.mark.parametrize(
    ("model_type", "expected"), (("bert", 64), ("roberta", 62), ("mpnet", 62), ("distilbert", 64))
)
def test_max_tokens_leaves_out_positions_that_no_token_takes(model_type, expected):
    """RoBERTa and its kin start behind the padding position."""
    assert expected == open_tiny(model_type).max_tokens


@pytest.mark.parametrize("model_type", ("bert", "roberta", "distilbert", "electra", "mpnet"))
@pytest.mark.parametrize("task", (AutoModelForSequenceClassification, AutoModelForMaskedLM))
def test_checkpoints_of_task_classes_load_without_their_heads(model_type, task, tmp_path):
    """Prefixes are stripped and heads ignored; a pooler is there only if it was saved."""
    model = task.from_config(AutoConfig.for_model(model_type, **CONFIGS[model_type]))
    model.save_pretrained(tmp_path)
    backbone = load(tmp_path)
    has_pooler = model_type == "bert" and task is AutoModelForSequenceClassification
    assert has_pooler == backbone.facts.has_pooler == (backbone.pooler is not None)
    point = PlugPoint(1, Site.QUERY)
    plain = model.base_model.get_submodule(backbone.facts.path(point))
    assert torch.equal(plain.weight, backbone.bases[point].weight)


def test_pickled_weights_load(bert):
    """pytorch_model.bin is read where there is no safetensors file."""
    weights = load_file(bert / "model.safetensors")
    weights["embeddings.position_ids"] = torch.arange(64).unsqueeze(0)
    torch.save(weights, bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    assert load(bert).facts.has_pooler


def test_a_missing_weight_is_an_error_that_names_it(bert):
    """A random layer must never answer."""
    gone = "encoder.layer.1.output.dense.weight"
    change_weights(bert, lambda weights: {n: w for n, w in weights.items() if n != gone})
    with pytest.raises(BackboneError, match=gone):
        load(bert)


def test_a_checkpoint_without_pooler_loads_without_one(bert):
    """Only the pooler may be missing; asking for it then is an error."""
    change_weights(bert, lambda ws: {n: w for n, w in ws.items() if not n.startswith("pooler")})
    backbone = load(bert)
    assert not backbone.facts.has_pooler
    with pytest.raises(BackboneError, match="pooler"):
        backbone.pool(torch.zeros(1, 32), None)


def test_a_weight_of_another_shape_is_refused(bert):
    """Config and weights must agree."""
    change_weights(bert, lambda ws: ws | {"embeddings.LayerNorm.weight": torch.ones(31)})
    with pytest.raises(BackboneError, match="cannot be loaded"):
        load(bert)


def test_an_unknown_architecture_lists_the_known_ones(bert):
    """The message names what can be used."""
    (bert / "config.json").write_text(json.dumps({"model_type": "longformer"}))
    with pytest.raises(BackboneError, match=r"'longformer'.*bert, .*distilbert, .*electra.*mpnet"):
        load(bert)


def test_a_folder_without_weights_says_so(bert):
    """The message names the expected files."""
    (bert / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"model\.safetensors"):
        load(bert)


def test_the_digest_follows_the_weights(bert):
    """Equal files have equal digests; a changed weight changes it."""
    before = load(bert).digest
    assert before == load(saved("bert")[0]).digest
    change_weights(bert, lambda ws: ws | {"pooler.dense.bias": torch.ones(32)})
    assert before != load(bert).digest


def write_sentence_files(folder, pooling):
    """The files that sentence-transformers saves beside a model."""
    modules = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 48}))


def test_sentence_files_set_the_defaults_of_embedding_tasks(bert):
    """Pooling, normalisation and length come from sentence-transformers' own files."""
    assert load(bert).sentence is None
    pooling = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    write_sentence_files(bert, pooling)
    sentence = load(bert).sentence
    assert ("cls", True, 48) == (sentence.pooling, sentence.normalize, sentence.max_tokens)


def test_pooling_that_no_head_computes_is_named_as_it_is(bert):
    """Two modes never pass for one of them; the backbone still serves its other tasks."""
    both = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    write_sentence_files(bert, both)
    assert "cls+mean" == load(bert).sentence.pooling


def test_a_config_of_a_decoder_loads_as_the_encoder_it_is(bert):
    """Flags that a debugging session left behind change nothing, nor does cross attention."""
    config = json.loads((bert / "config.json").read_text())
    flags = ("is_decoder", "add_cross_attention", "output_hidden_states", "output_attentions")
    (bert / "config.json").write_text(json.dumps(config | dict.fromkeys(flags, True)))
    assert load(bert).facts == load(saved("bert")[0]).facts


def test_an_encoder_that_is_a_decoder_attends_to_the_past_alone(bert):
    """`is_decoder` makes BERT causal in the original libraries, so the first token sees itself."""
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps(config | {"is_decoder": True}))
    plain = AutoModel.from_pretrained(bert).eval()
    ids = (5, 9, 7, 30)
    with torch.no_grad():
        wanted = plain(torch.tensor([ids]), use_cache=False).last_hidden_state[0]
        alone = plain(torch.tensor([ids[:1]]), use_cache=False).last_hidden_state[0]
    torch.testing.assert_close(wanted[:1], alone)
    torch.testing.assert_close(states(load(bert), ids), wanted)


def test_relative_positions_that_transformers_dropped_are_refused(bert):
    """Older configs name them, and the model would silently be another."""
    config = json.loads((bert / "config.json").read_text())
    kind = {"position_embedding_type": "relative_key_query"}
    (bert / "config.json").write_text(json.dumps(config | kind))
    with pytest.raises(BackboneError, match="relative_key_query"):
        load(bert)


@pytest.mark.parametrize("layers", (10**9, 0, -1, "2", 1.5))
def test_a_config_of_no_real_depth_is_refused(bert, layers):
    """Layers are built one by one, for ever, or none of the file's would be run."""
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}))
    with pytest.raises(BackboneError, match="must be 1 to 1000"):
        load(bert)
