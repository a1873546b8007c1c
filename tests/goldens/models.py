"""The tiny backbones and input rows of the golden sets, for the generators and for the tests."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.goldens.filling import draw

LENGTHS = (9, 4, 13)
_SIZES: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
}
_ROBERTA = _SIZES | {"type_vocab_size": 1, "max_position_embeddings": 66, "pad_token_id": 1}
_DEBERTA = _SIZES | {
    "type_vocab_size": 0,
    "relative_attention": True,
    "max_relative_positions": 8,
    "pad_token_id": 0,
}
_BART = {
    "vocab_size": 99,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
}
_T5 = {
    "vocab_size": 99,
    "d_model": 32,
    "d_kv": 4,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 8,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}

_GPT2 = {
    "vocab_size": 99,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "n_inner": 64,
    "bos_token_id": 3,
    "eos_token_id": 4,
}
_LLAMA = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "bos_token_id": 3,
    "eos_token_id": 4,
}
_MODERNBERT = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "local_attention": 4,
    "global_attn_every_n_layers": 3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
}


class Model(NamedTuple):
    """One tiny backbone.

    Args:
        model_type: `config.model_type`.
        config: the arguments of its configuration.
        has_types: rows carry token types.
        last: token ids at the end of every row, such as the end of a text.
    """

    model_type: str
    config: dict[str, Any]
    has_types: bool = False
    last: tuple[int, ...] = ()


MODELS: dict[str, Model] = {
    "bert": Model("bert", _SIZES, has_types=True),
    "roberta": Model("roberta", _ROBERTA),
    "xlm-roberta": Model("xlm-roberta", _ROBERTA),
    "electra": Model("electra", _SIZES | {"embedding_size": 16}, has_types=True),
    "distilbert": Model(
        "distilbert",
        {
            "vocab_size": 99,
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 64,
            "max_position_embeddings": 64,
        },
    ),
    "mpnet": Model("mpnet", _SIZES | {"pad_token_id": 1, "max_position_embeddings": 66}),
    "albert": Model("albert", _SIZES | {"embedding_size": 16}, has_types=True),
    "albert-groups": Model(
        "albert",
        _SIZES
        | {
            "embedding_size": 16,
            "num_hidden_layers": 4,
            "num_hidden_groups": 2,
            "inner_group_num": 2,
        },
        has_types=True,
    ),
    "deberta": Model("deberta", _DEBERTA | {"pos_att_type": ["c2p", "p2c"]}),
    "deberta-v2": Model(
        "deberta-v2",
        _DEBERTA
        | {
            "type_vocab_size": 2,
            "pos_att_type": "p2c|c2p",
            "position_biased_input": True,
            "conv_kernel_size": 3,
            "conv_act": "gelu",
        },
        has_types=True,
    ),
    "deberta-v3": Model(
        "deberta-v2",
        _DEBERTA
        | {
            "pos_att_type": "p2c|c2p",
            "position_biased_input": False,
            "position_buckets": 4,
            "max_relative_positions": -1,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
        },
    ),
    "modernbert": Model("modernbert", _MODERNBERT),
    "modernbert-mean": Model(
        "modernbert",
        _MODERNBERT
        | {
            "classifier_pooling": "mean",
            "classifier_bias": True,
            "attention_bias": True,
            "mlp_bias": True,
            "norm_bias": True,
            "global_rope_theta": 1000.0,
            "local_rope_theta": 100.0,
        },
    ),
    "camembert": Model("camembert", _ROBERTA),
    "xlm-roberta-xl": Model("xlm-roberta-xl", _ROBERTA),
    "esm": Model(
        "esm",
        _SIZES
        | {
            "pad_token_id": 1,
            "mask_token_id": 98,
            "position_embedding_type": "rotary",
            "token_dropout": True,
            "emb_layer_norm_before": False,
        },
    ),
    "esm-absolute": Model(
        "esm",
        _SIZES
        | {
            "pad_token_id": 1,
            "mask_token_id": 98,
            "position_embedding_type": "absolute",
            "token_dropout": True,
            "emb_layer_norm_before": True,
        },
    ),
    "nomic": Model("nomic_bert", _SIZES, has_types=True),
    "bart": Model("bart", _BART, last=(2,)),
    "mbart": Model("mbart", _BART | {"scale_embedding": True}, last=(2, 96)),
    "plbart": Model("plbart", _BART, last=(2, 97)),
    "t5": Model("t5", _T5, last=(1,)),
    "mt5": Model("mt5", _T5 | {"d_kv": 3, "num_decoder_layers": 3}, last=(1,)),
    "gpt2": Model("gpt2", _GPT2),
    "gpt2-padded": Model("gpt2", _GPT2 | {"pad_token_id": 4}, last=(4,)),
    "llama": Model("llama", _LLAMA),
    "llama-padded": Model("llama", _LLAMA | {"pad_token_id": 0}, last=(0, 3)),
    "mistral": Model("mistral", _LLAMA | {"sliding_window": 6}),
    "qwen2": Model(
        "qwen2",
        _LLAMA
        | {
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 1,
            "tie_word_embeddings": True,
        },
    ),
    "qwen3": Model("qwen3", _LLAMA | {"head_dim": 16, "tie_word_embeddings": True}),
}
"""By name; one model type may have several."""


class InputRow(NamedTuple):
    """One row as a golden holds it; `word_starts` only where words are parsed."""

    input_ids: tuple[int, ...]
    type_ids: tuple[int, ...] | None = None
    word_starts: tuple[int, ...] | None = None


def rows(name: str) -> list[InputRow]:
    """A backbone's input rows, of different lengths; each is run alone and unpadded."""
    model, found = MODELS[name], []
    for length in LENGTHS:
        ids = (draw(f"row {length}", (length,), 1000.0).abs().long() % 90 + 5).tolist()
        types = tuple(int(place >= length // 2) for place in range(length))
        found.append(InputRow((*ids, *model.last), types if model.has_types else None))
    return found
