"""The PEFT checkpoints of the golden set `peft`, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One checkpoint.

    Args:
        name: unique on its backbone.
        options: of the PEFT configuration.
        kind: the PEFT type.
        task: the PEFT task type.
        is_untyped: the configuration does not name the task type.
        method: what the support table calls it.
        dtype: that the weights are saved in, if not float32.
        is_pickled: saved as `adapter_model.bin`.
        edit: a key of `edits`, applied to the saved configuration.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "LORA"
    task: str = "FEATURE_EXTRACTION"
    is_untyped: bool = False
    method: str = "PEFT LoRA"
    dtype: str | None = None
    is_pickled: bool = False
    edit: str | None = None


_OLD_KEYS = {"base_model_name_or_path", "bias", "fan_in_fan_out", "inference_mode", "lora_alpha"}
_OLD_KEYS |= {"lora_dropout", "modules_to_save", "peft_type", "r", "target_modules", "task_type"}


def _to_2023(config: dict[str, Any]) -> None:
    for key in set(config) - _OLD_KEYS:
        del config[key]


def _with_unknown_keys(config: dict[str, Any]) -> None:
    config |= {"a_key_of_the_future": {"nested": [1, 2]}, "another": 7}


edits: dict[str, Callable[[dict[str, Any]], None]] = {
    "2023": _to_2023,
    "future": _with_unknown_keys,
}
"""Changes of a saved configuration, by name."""

LINEARS: dict[str, tuple[str, str, str, str]] = dict.fromkeys(
    ("bert", "roberta", "xlm-roberta", "electra"),
    ("query", "value", "key", "output.dense"),
) | {
    "distilbert": ("q_lin", "v_lin", "k_lin", "lin2"),
    "mpnet": ("attn.q", "attn.v", "attn.k", "output.dense"),
}
"""Query, value, key and feed-forward output of each backbone of this set."""


def _lora(**options: Any) -> dict[str, Any]:
    return {"r": 4, "lora_alpha": 6, **options}


def _everywhere(backbone: str) -> Iterator[Case]:
    query, value, key, out = LINEARS[backbone]
    pair = _lora(target_modules=[query, value])
    if backbone != "distilbert":  # PEFT cannot save a pre-classifier that it also targets.
        yield Case("all_linear", _lora(target_modules="all-linear"), task="SEQ_CLS")
    yield Case("all_linear_bare", _lora(target_modules="all-linear"))
    yield Case("bias_all", pair | {"bias": "all"}, task="TOKEN_CLS")
    yield Case("answering", pair, task="QUESTION_ANS")
    yield Case("dora", pair | {"use_dora": True}, task="SEQ_CLS", method="PEFT DoRA")
    yield Case(
        "ia3",
        {"target_modules": [key, value, out], "feedforward_modules": [out]},
        "IA3",
        "SEQ_CLS",
        method="PEFT (IA)³",
    )
    adalora = {"init_r": 4, "lora_alpha": 6, "total_step": 10, "target_modules": [query, out]}
    yield Case("adalora", adalora, "ADALORA", "TOKEN_CLS", method="AdaLoRA")
    vera = {"r": 8, "target_modules": [query, out]}
    yield Case("vera", vera, "VERA", "SEQ_CLS", method="PEFT VeRA")
    norms = "sa_layer_norm" if backbone == "distilbert" else "LayerNorm"
    yield Case(
        "ln_tuning",
        {"target_modules": [norms], "modules_to_save": ["classifier"]},
        "LN_TUNING",
        "SEQ_CLS",
        method="LayerNorm tuning",
    )
    embeddings = _lora(target_modules=["word_embeddings", query])
    yield Case("embeddings", embeddings, method="PEFT embedding LoRA")
    tables = {"modules_to_save": ["word_embeddings", "position_embeddings"]}
    yield Case("saved_embeddings", pair | tables, method="modules_to_save")


def _on_bert() -> Iterator[Case]:
    yield from _bert_lora()
    yield from _bert_dora()
    yield from _bert_others()
    yield from _bert_lycoris()
    yield from _bert_saved()
    yield from _bert_files()


def _bert_lora() -> Iterator[Case]:
    pair = _lora(target_modules=["query", "value"])
    yield Case("default_targets", _lora())
    yield Case("rslora", pair | {"use_rslora": True})
    patterns = {
        "rank_pattern": {r"layer\.1\..*query": 2, "value": 3, "dense": 7},
        "alpha_pattern": {r"^bert.encoder.layer.0.attention.self.query": 5, "dense": 11},
    }
    targets = _lora(target_modules=["query", "value", "dense"])
    yield Case("patterns", targets | patterns, task="SEQ_CLS")
    yield Case("patterns_rslora", targets | patterns | {"use_rslora": True}, task="SEQ_CLS")
    regex = r"bert\.encoder\.layer\.[01]\.(attention\.self\.(query|key)|output\.dense)"
    yield Case("regex", _lora(target_modules=regex), task="TOKEN_CLS")
    yield Case("regex_any", _lora(target_modules=r".*\.1\..*(key|dense)"))
    excluded = {"exclude_modules": ["attention.output.dense", "pooler.dense"]}
    yield Case("excluded", targets | excluded)
    yield Case("excluded_regex", targets | {"exclude_modules": r".*layer\.0.*"})
    yield Case("layers", targets | {"layers_to_transform": 1, "layers_pattern": "layer"})
    yield Case("layers_list", targets | {"layers_to_transform": [0]})
    yield Case("bias_lora_only", pair | {"bias": "lora_only"}, task="SEQ_CLS")
    yield Case("bias_all_pooled", targets | {"bias": "all"}, task="SEQ_CLS")
    yield Case("lora_bias", pair | {"lora_bias": True})
    yield Case("gaussian", pair | {"init_lora_weights": "gaussian", "fan_in_fan_out": True})
    full = "bert.encoder.layer.1.output.dense"
    yield Case("full_names", _lora(target_modules=[full]), task="TOKEN_CLS")


def _bert_dora() -> Iterator[Case]:
    dora = {"use_dora": True, "target_modules": ["query", "dense"]}
    yield Case(
        "dora_patterns",
        _lora(**dora, use_rslora=True, rank_pattern={"dense": 3}),
        method="PEFT DoRA",
    )
    yield Case("dora_biases", _lora(**dora, bias="all"), task="SEQ_CLS", method="PEFT DoRA")
    embeddings = _lora(use_dora=True, target_modules=["word_embeddings", "key"])
    yield Case("dora_embeddings", embeddings, method="PEFT DoRA")
    tables = ["position_embeddings", "token_type_embeddings", "word_embeddings"]
    yield Case("tables", _lora(target_modules=tables), method="PEFT embedding LoRA")
    yield Case("dora_tables", _lora(target_modules=tables, use_dora=True, r=2), method="PEFT DoRA")


def _bert_others() -> Iterator[Case]:
    yield Case("ia3_default", {}, "IA3", "TOKEN_CLS", method="PEFT (IA)³")
    every = {"target_modules": ["query", "dense"], "feedforward_modules": ["dense"]}
    yield Case("ia3_all", every, "IA3", "SEQ_CLS", method="PEFT (IA)³")
    nothing = {"target_modules": ["query", "intermediate.dense"], "feedforward_modules": []}
    yield Case("ia3_outputs", nothing, "IA3", method="PEFT (IA)³")
    pattern = {"target_modules": r".*\.(key|dense)", "feedforward_modules": r".*output\.dense"}
    yield Case("ia3_regex", pattern, "IA3", method="PEFT (IA)³")
    adalora = {"init_r": 5, "lora_alpha": 7, "total_step": 10, "target_modules": ["query", "dense"]}
    mask = {
        "bert.encoder.layer.0.attention.self.query.lora_E": [True, False, True, False, False],
        "bert.encoder.layer.1.output.dense.lora_E": [False] * 5,
        "bert.encoder.layer.1.attention.self.query.lora_E": [True] * 5,
    }
    yield Case(
        "adalora_masked", adalora | {"rank_pattern": mask}, "ADALORA", "TOKEN_CLS", method="AdaLoRA"
    )
    yield Case("adalora_bias", adalora | {"bias": "lora_only"}, "ADALORA", method="AdaLoRA")
    vera = {"r": 8, "target_modules": ["query", "dense"], "projection_prng_key": 7}
    yield Case(
        "vera_regenerated",
        vera | {"save_projection": False},
        "VERA",
        "TOKEN_CLS",
        method="PEFT VeRA",
    )
    yield Case("vera_bias", vera | {"bias": "vera_only"}, "VERA", method="PEFT VeRA")
    yield Case(
        "vera_all_linear",
        vera | {"target_modules": "all-linear", "d_initial": 0.5},
        "VERA",
        "SEQ_CLS",
        method="PEFT VeRA",
    )


def _bert_lycoris() -> Iterator[Case]:
    some = {"r": 3, "alpha": 5, "target_modules": ["query", "dense"]}
    patterns = {"rank_pattern": {"query": 2}, "alpha_pattern": {"output.dense": 7}}
    yield Case("loha", some | patterns, "LOHA", "SEQ_CLS", method="LoHa")
    yield Case("loha_wide", some | {"r": 7}, "LOHA", method="LoHa")
    yield Case("lokr", some | patterns, "LOKR", "TOKEN_CLS", method="LoKr")
    both = {"r": 1, "decompose_both": True, "decompose_factor": 8}
    yield Case("lokr_both", some | both, "LOKR", method="LoKr")


def _bert_saved() -> Iterator[Case]:
    pair = _lora(target_modules=["query", "value"])
    for name, saved, task in (
        ("saved_norms", ["LayerNorm"], "TOKEN_CLS"),
        ("saved_pooler", ["pooler"], "SEQ_CLS"),
        ("saved_linear", ["0.output.dense", "1.attention.self.key"], "FEATURE_EXTRACTION"),
        ("saved_layer", ["layer.1"], "FEATURE_EXTRACTION"),
        ("saved_block", ["bert.embeddings"], "SEQ_CLS"),
        ("saved_by_ending", ["mbeddings.word_embeddings", "e.dense"], "SEQ_CLS"),
    ):
        yield Case(name, pair | {"modules_to_save": saved}, task=task, method="modules_to_save")
    saved_norms = {"modules_to_save": ["attention.output.LayerNorm", "pooler"], "bias": "all"}
    yield Case("saved_bias_all", pair | saved_norms, task="SEQ_CLS", method="modules_to_save")
    whole = {"modules_to_save": ["word_embeddings"], "target_modules": ["key"]}
    yield Case("ia3_saved", whole | {"feedforward_modules": []}, "IA3", method="modules_to_save")
    tokens = {"trainable_token_indices": [3, 17, 50]}
    yield Case("trainable_tokens", pair | tokens, method="trainable tokens")
    named = {"trainable_token_indices": {"word_embeddings": [9, 20]}}
    yield Case("trainable_tokens_named", pair | named, task="SEQ_CLS", method="trainable tokens")
    alone = {"target_modules": ["word_embeddings"], "token_indices": [5, 6, 40]}
    yield Case("trainable_tokens_alone", alone, "TRAINABLE_TOKENS", method="trainable tokens")


def _bert_files() -> Iterator[Case]:
    pair = _lora(target_modules=["query", "value"])
    yield Case("half", pair, task="SEQ_CLS", dtype="float16")
    yield Case("bfloat", pair, task="SEQ_CLS", dtype="bfloat16")
    yield Case("pickled", pair, task="TOKEN_CLS", is_pickled=True, edit="2023")
    yield Case("future", pair, task="SEQ_CLS", edit="future")
    yield Case("untyped", pair, is_untyped=True)


def cases_of(backbone: str) -> Iterator[Case]:
    """The cases of a backbone of this set."""
    yield from _everywhere(backbone)
    if backbone == "bert":
        yield from _on_bert()
