"""What gives wrong numbers silently where heads are read; numbers are those of the reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.reading import read_head
from adapter_runtime.checkpoint.heads.static import STATIC_HEADS, stack_on
from adapter_runtime.errors import RejectedAdapter, RowFailed
from adapter_runtime.heads.language import LanguageSettings
from adapter_runtime.heads.layers import StackSettings, row_vectors
from adapter_runtime.types import HeadWeights, Row
from tests.goldens import replay
from tests.heads.folders import answer, engine_on, saved, task_on
from tests.heads.plain import facts, states_of_rows, write_folder

WIDTH = 32


def flex(head_type: str, model_class: str = "BertAdapterModel", **config: Any) -> dict[str, Any]:
    """A flexible head's configuration as version 1.3.0 writes it."""
    return {
        "config": {"head_type": head_type, **config},
        "model_class": model_class,
        "name": "a",
        "version": "adapters.1.3.0",
    }


def static(model_class: str, **more: Any) -> dict[str, Any]:
    """A task class's head configuration."""
    return {"config": None, "model_class": model_class, "name": None, **more}


def read(
    config: dict[str, Any], tensors: dict[str, Tensor], path: Path, backbone: BackboneFacts | None
) -> HeadWeights:
    """The head of a folder with these files."""
    head = read_head(write_folder(config, tensors, path), backbone or facts("bert"))
    assert head is not None
    return head


def two_layers(prefix: str = "heads.a.", indices: tuple[int, int] = (1, 4)) -> dict[str, Tensor]:
    """A classification head's tensors."""
    first, second = indices
    return {
        f"{prefix}{first}.weight": torch.randn(WIDTH, WIDTH),
        f"{prefix}{first}.bias": torch.randn(WIDTH),
        f"{prefix}{second}.weight": torch.randn(3, WIDTH),
        f"{prefix}{second}.bias": torch.randn(3),
    }


def masked(vocabulary: int = 99, width: int = WIDTH) -> dict[str, Tensor]:
    """The tensors of `BertForMaskedLM`'s head."""
    root = "cls.predictions"
    return {
        f"{root}.transform.dense.weight": torch.randn(width, WIDTH),
        f"{root}.transform.dense.bias": torch.randn(width),
        f"{root}.transform.LayerNorm.weight": torch.randn(width),
        f"{root}.transform.LayerNorm.bias": torch.randn(width),
        f"{root}.decoder.weight": torch.randn(vocabulary, width),
        f"{root}.decoder.bias": torch.randn(vocabulary),
    }


def language(head: HeadWeights) -> LanguageSettings:
    """A language model head's settings."""
    assert isinstance(head.spec.settings, LanguageSettings)
    return head.spec.settings


def test_t21_other_heads_of_a_file_are_passed_over(tmp_path: Path) -> None:
    """Saving head `a` also writes `ab`, whose name begins alike."""
    tensors = two_layers() | two_layers("heads.ab.")
    config = flex("classification", num_labels=3)
    head = read(config, tensors, tmp_path, None)
    assert torch.equal(head.tensors["1.bias"], tensors["heads.a.4.bias"])


def test_t24_heads_without_dropout_modules_are_renumbered(tmp_path: Path) -> None:
    """Versions 2.2 to 3.1 left dropouts of probability 0 out."""
    tensors = two_layers(indices=(0, 2))
    head = read(flex("classification", num_labels=3), tensors, tmp_path, None)
    assert torch.equal(head.tensors["1.weight"], tensors["heads.a.2.weight"])


def test_t30_defaults_are_the_first_tokens_bare_state(tmp_path: Path) -> None:
    """Two tanh layers for classification, one without activation for tagging; no pooler."""
    head = read(flex("classification", num_labels=3), two_layers(), tmp_path / "1", None)
    assert head.spec.settings == StackSettings(2, "tanh")
    one = {"heads.a.1.weight": torch.randn(3, WIDTH), "heads.a.1.bias": torch.randn(3)}
    head = read(flex("tagging", num_labels=3), one, tmp_path / "2", None)
    assert head.spec.settings == StackSettings(1, "tanh")


def test_t31_heads_on_a_pooler_need_a_trained_one(tmp_path: Path) -> None:
    """A backbone saved from another class has none, and a random one gives nonsense."""
    tensors = {"classifier.weight": torch.randn(3, WIDTH), "classifier.bias": torch.randn(3)}
    config = static("BertForSequenceClassification")
    assert read(config, tensors, tmp_path, None).spec.settings.use_pooler  # type: ignore[attr-defined]
    with pytest.raises(RejectedAdapter, match="no_pooler"):
        read(config, tensors, tmp_path, facts("bert", has_pooler=False))


@pytest.mark.parametrize("suffix", ("ForTokenClassification", "ForQuestionAnswering"))
@pytest.mark.parametrize("family", ("Bert", "Roberta", "XLMRoberta"))
def test_t32_token_classes_have_no_pooler(family: str, suffix: str) -> None:
    """Nor does RoBERTa's sequence class, whatever its backbone's file holds."""
    assert not STATIC_HEADS[f"{family}{suffix}"].use_pooler
    assert not STATIC_HEADS["RobertaForSequenceClassification"].use_pooler


def test_t33_pairs_have_types_only_where_the_backbone_does() -> None:
    """BERT's second text is of type 1; RoBERTa has one type only."""
    pair = {"text": "a dog", "text_pair": "a cat"}
    found = {}
    for name, tokenizer in (("bert", "wordpiece"), ("gpt2", "bpe")):
        engine = engine_on(name, tokenizer)
        version = task_on(engine, saved(name, tokenizer), kind="feature-extraction")
        found[name] = engine.encode(version, pair, {}).rows[0].type_ids
    assert found["gpt2"] is None
    assert found["bert"] is not None
    assert set(found["bert"]) == {0, 1}


def test_t34_a_decoder_never_writes_into_the_backbone(tmp_path: Path) -> None:
    """Equal to the embeddings it is the backbone's; different it is the head's own."""
    engine = engine_on("bert", "wordpiece")
    before = engine.backbone.vocabulary.clone()
    tensors = masked(320)
    backbone = engine.backbone.facts
    config = static("BertForMaskedLM")
    own = read(config, tensors, tmp_path / "own", backbone)
    assert not language(own).is_tied
    assert [note.code for note in own.notes] == ["private_decoder"]
    tensors["cls.predictions.decoder.weight"] = before.clone()
    tied = read(config, tensors, tmp_path / "tied", backbone)
    assert language(tied).is_tied
    assert "decoder.weight" not in tied.tensors
    version = task_on(engine, tmp_path, head="own")
    answer(engine, version, "The [MASK]", raw=True)
    assert torch.equal(before, engine.backbone.vocabulary)


def test_t34_the_outer_bias_counts_where_there_is_no_other(tmp_path: Path) -> None:
    """Old files hold `cls.predictions.bias` only; in newer ones it is a copy."""
    tensors, outer = masked(), torch.randn(99)
    tensors["cls.predictions.bias"] = outer
    config = static("BertForMaskedLM")
    newer = read(config, tensors, tmp_path / "newer", None)
    assert torch.equal(newer.tensors["decoder.bias"], tensors["cls.predictions.decoder.bias"])
    del tensors["cls.predictions.decoder.bias"]
    older = read(config, tensors, tmp_path / "older", None)
    assert torch.equal(older.tensors["decoder.bias"], outer)


def vectors(settings: StackSettings, ids: tuple[int, ...], **row: Any) -> list[float]:
    """The place of the state that stands for a row whose states are their places."""
    states = states_of_rows([Row(ids, **row)])
    return [float(value) for value in row_vectors(settings, states)[0][:1]]


@pytest.mark.parametrize(
    ("summary", "marker", "ids", "place"),
    (
        ("eos", 2, (5, 2, 6, 2, 7), 3),
        ("last", 0, (5, 6, 0, 7, 0, 0), 3),
        ("last", 0, (0, 0), 0),
        ("last", None, (5, 6, 0), 2),
        ("counted", 0, (5, 6, 0, 7, 0, 0), 2),
        ("counted", 0, (0, 0), 1),
        ("first", None, (5, 6), 0),
    ),
)
def test_t35_the_token_that_stands_for_a_row(
    summary: Any, marker: int | None, ids: tuple[int, ...], place: int
) -> None:
    """The last end of text, the last token that is no padding, or the one at the count of those."""
    assert vectors(StackSettings(summary=summary, marker=marker), ids) == [place]


def test_t35_a_row_without_an_end_fails_alone() -> None:
    """The library fails for the whole batch."""
    with pytest.raises(RowFailed, match="end-of-text"):
        vectors(StackSettings(summary="eos", marker=2), (5, 6))


@pytest.mark.parametrize("name", ("seq2seq", "answering", "T5ForQuestionAnswering"))
def test_t36_t5_scales_tied_states_for_flexible_answers_and_words(name: str) -> None:
    """And not for classification, nor in Hugging Face's own answering class."""
    (case,) = (
        case
        for case in replay.all_cases()
        if (case.group, case.backbone, case.entry["name"]) == ("heads", "t5", name)
    )
    settings: Any = replay.version_of(case).head.settings
    assert settings.scale == pytest.approx(1.0 if name.startswith("T5") else WIDTH**-0.5)


def test_t37_the_request_says_how_many_choices_there_are(tmp_path: Path) -> None:
    """A task class's file says 2 whatever it was trained with."""
    tensors = {"classifier.weight": torch.randn(1, WIDTH), "classifier.bias": torch.randn(1)}
    head = read(static("BertForMultipleChoice", num_labels=2), tensors, tmp_path, None)
    assert head.spec.head_type == "multiple_choice"
    assert head.tensors["0.weight"].shape == (1, WIDTH)


@pytest.mark.parametrize("key", ("label2id", "id2label"))
def test_t38_labels_are_ordered_by_their_ids(key: str, tmp_path: Path) -> None:
    """JSON made strings of them, and keeps them in any order."""
    names = {"2": "c", "0": "a", "1": "b"}
    labels = names if key == "id2label" else {label: int(number) for number, label in names.items()}
    config = flex("classification", num_labels=3, **{key: labels})
    head = read(config, two_layers(), tmp_path, None)
    assert head.spec.labels == ("a", "b", "c")


def test_t38_the_number_of_labels_comes_from_the_shape(tmp_path: Path) -> None:
    """Task classes of version 1 wrote neither labels nor their number."""
    tensors = {"classifier.weight": torch.randn(5, WIDTH), "classifier.bias": torch.randn(5)}
    head = read(static("BertForTokenClassification"), tensors, tmp_path, None)
    assert head.spec.labels == tuple(f"LABEL_{number}" for number in range(5))


@pytest.mark.parametrize("model_type", ("bart", "t5", "deberta-v2"))
def test_t44_heads_that_peft_never_saves_are_refused(model_type: str, tmp_path: Path) -> None:
    """It saves no `classification_head`, and no `pooler` of DeBERTa's: both were random."""
    config = {"peft_type": "LORA", "task_type": "SEQ_CLS"}
    path = "base_model.model.classifier"
    tensors = {"base_model.model.x.lora_A.weight": torch.zeros(1)}
    if model_type == "deberta-v2":
        tensors |= {f"{path}.weight": torch.randn(2, WIDTH), f"{path}.bias": torch.randn(2)}
    backbone = replace(facts("bert"), model_type=model_type)
    with pytest.raises(RejectedAdapter, match="missing_head"):
        read(config, tensors, tmp_path, backbone)


def test_t50_adapters_with_embeddings_of_their_own_are_refused(tmp_path: Path) -> None:
    """A language adapter for another vocabulary would read the wrong words."""
    (tmp_path / "adapter_config.json").write_text('{"config": {}, "model_class": "BertModel"}')
    torch.save(torch.zeros(5, WIDTH), tmp_path / "embedding.pt")
    with pytest.raises(RejectedAdapter, match="own_embeddings"):
        task_on(engine_on("bert", "wordpiece"), tmp_path.parent, adapter=tmp_path.name)


def test_t50_a_decoder_for_another_vocabulary_is_the_heads_own(tmp_path: Path) -> None:
    """Its logits have its own width."""
    engine = engine_on("bert", "wordpiece")
    write_folder(static("BertForMaskedLM"), masked(50), tmp_path / "small")
    version = task_on(engine, tmp_path, head="small")
    raw = answer(engine, version, "The dog", raw=True)["logits"]
    assert np.shape(raw)[1] == 50


def test_a_modern_prediction_head_follows_the_configuration() -> None:
    """ModernBERT pools, activates and biases as its configuration says."""
    config = {"classifier_pooling": "mean", "classifier_activation": "relu"}
    modern = replace(facts("bert"), model_type="modernbert", config=config)
    settings = stack_on(STATIC_HEADS["ModernBertForSequenceClassification"], modern)
    assert (settings.summary, settings.activation, settings.hidden_bias) == ("mean", "relu", False)


def test_choices_of_electra_are_summed_up_with_the_configured_activation() -> None:
    """`summary_activation` is the model's; the flexible twin of the library has GELU alone."""
    head = STATIC_HEADS["ElectraForMultipleChoice"]
    electra = replace(facts("bert"), model_type="electra", config={"summary_activation": "tanh"})
    assert stack_on(head, electra).activation == "tanh"
    assert stack_on(head, replace(electra, config={})).activation == "gelu"
