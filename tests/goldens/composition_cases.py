"""What the composition goldens hold: adapters, fusion layers and the trees of them.

Data only: read by the generator and by nobody else. Trees are written as task files write them.
"""

from __future__ import annotations

from typing import Any

_LORA = "lora[r=4,alpha=6"

BERT: dict[str, Any] = {
    "seq_a": "seq_bn[reduction_factor=4]",
    "seq_b": "seq_bn[reduction_factor=8,non_linearity='gelu']",
    "seq_c": "seq_bn[reduction_factor=4]",
    "double_a": "double_seq_bn[reduction_factor=4]",
    "double_b": "double_seq_bn[reduction_factor=4]",
    "double_ln": "double_seq_bn[reduction_factor=4,original_ln_before=True]",
    "par_a": "par_bn[reduction_factor=4]",
    "par_b": "par_bn[reduction_factor=4,use_gating=True]",
    "plus_a": (
        "seq_bn[reduction_factor=4,original_ln_after=False,residual_before_ln=False,"
        "scaling='channel']"
    ),
    "post_add": "seq_bn[reduction_factor=4,residual_before_ln='post_add']",
    "inner_ln": "seq_bn[reduction_factor=4,ln_before=True,ln_after=True]",
    "gated_a": "seq_bn[reduction_factor=4,use_gating=True]",
    "left_a": "seq_bn[reduction_factor=4,leave_out=[0]]",
    "left_b": "seq_bn[reduction_factor=4,leave_out=[1]]",
    "left_both": "seq_bn[reduction_factor=4,leave_out=[0,1]]",
    "inv_a": "seq_bn_inv[reduction_factor=4]",
    "comp_a": "compacter[reduction_factor=4]",
    "comp_b": "compacter[reduction_factor=4]",
    "lora_a": f"{_LORA},attn_matrices=['q','k','v']]",
    "lora_b": f"{_LORA},attn_matrices=['q','k','v']]",
    "lora_v": f"{_LORA},attn_matrices=['v']]",
    "lora_ffn_a": f"{_LORA},intermediate_lora=True,output_lora=True]",
    "lora_ffn_b": f"{_LORA},intermediate_lora=True,output_lora=True]",
    "lora_gate": f"{_LORA},use_gating=True]",
    "dora_a": "dora[r=4,alpha=6]",
    "dora_b": "dora[r=4,alpha=6]",
    "ia3_a": "ia3[alpha=2]",
    "ia3_b": "ia3[alpha=2]",
    "ia3_gate": "ia3[alpha=2,use_gating=True]",
    "prefix_a": "prefix_tuning[prefix_length=3,bottleneck_size=6]",
    "prefix_b": "prefix_tuning[prefix_length=3,bottleneck_size=6]",
    "vera_a": "vera[r=4,init_weights_seed=5]",
    "vera_b": "vera[r=4,init_weights_seed=5]",
    "mam_a": "prefix_tuning[prefix_length=2,bottleneck_size=6]|par_bn[reduction_factor=4]",
    "mam_b": "prefix_tuning[prefix_length=2,bottleneck_size=6]|par_bn[reduction_factor=4]",
}

OTHERS: dict[str, Any] = {
    "double_a": "double_seq_bn[reduction_factor=4]",
    "double_b": "double_seq_bn[reduction_factor=4]",
    "lora_a": f"{_LORA},attn_matrices=['q','k','v']]",
    "lora_b": f"{_LORA},attn_matrices=['q','k','v']]",
}


def average(*children: Any, **options: Any) -> dict[str, Any]:
    """A task file's average."""
    return {"average": list(children), **options}


def stack(*children: Any) -> dict[str, Any]:
    """A task file's stack."""
    return {"stack": list(children)}


def fuse(*children: Any, fusion: str) -> dict[str, Any]:
    """A task file's fusion."""
    return {"fuse": list(children), "fusion": fusion}


def merge(*children: Any, **options: Any) -> dict[str, Any]:
    """A task file's weight merge."""
    return {"merge": list(children), **options}


STACKS = {
    "seq_double": stack("seq_a", "double_a"),
    "double_plus_post": stack("double_a", "plus_a", "post_add"),
    "par_seq": stack("par_a", "seq_a"),
    "seq_par": stack("seq_a", "par_a"),
    "left": stack("left_a", "left_b"),
    "inv_first": stack("inv_a", "seq_b"),
    "inv_second": stack("seq_b", "inv_a"),
    "lora_lora": stack("lora_a", "lora_b"),
    "lora_absent": stack("lora_a", "lora_v", "seq_a"),
    "lora_ia3": stack("lora_a", "ia3_a"),
    "ia3_lora": stack("ia3_a", "lora_a"),
    "ia3_ia3": stack("ia3_a", "ia3_gate"),
    "lora_dora": stack("lora_a", "dora_a"),
    "dora_lora": stack("dora_a", "lora_a"),
    "prefixes": stack("prefix_a", "prefix_b"),
}

AVERAGES = {
    "plain": average("seq_a", "seq_b"),
    "weighted": average("seq_a", "seq_b", weights=[3, 1]),
    "unnormalised": average("seq_a", "seq_b", weights=[0.75, 1.5], normalize_weights=False),
    "negative": average("seq_a", "seq_b", weights=[3, -1]),
    "three": average("seq_a", "seq_b", "seq_c", weights=[1, 2, 5]),
    "one": average("seq_a"),
    "same_twice": average("seq_a", "seq_a"),
    "first_double": average("double_a", "double_ln"),
    "first_double_ln": average("double_ln", "double_a"),
    "absent_second": average("double_a", "seq_a", weights=[1, 3]),
    "absent_in_layer": average("seq_a", "left_a", weights=[1, 3]),
    "absent_two": average("seq_a", "left_both", "left_both", weights=[1, 3, 2]),
    "plus_last": average("seq_a", "plus_a"),
    "plus_first": average("plus_a", "seq_a"),
    "post_add": average("post_add", "inner_ln", "gated_a"),
    "par_first": average("par_a", "seq_a"),
    "par_last": average("seq_a", "par_a"),
    "par_par": average("par_a", "par_b"),
    "of_stack": average(stack("double_b", "seq_a"), "seq_b"),
    "of_stacks": average("double_a", stack("double_b", "plus_a"), weights=[1, 2]),
    "stack_absent": average("double_a", stack("seq_a", "seq_b"), "double_b"),
    "in_stack": stack("seq_a", average("double_a", "seq_b"), "double_b"),
    "in_stack_last": stack("double_a", average("double_b", "plus_a")),
    "deep": stack("double_a", average(stack("double_b", "seq_a"), "seq_b"), "par_a"),
    "inv_first": average("inv_a", "seq_b"),
    "lora": average("lora_ffn_a", "lora_ffn_b", weights=[1, 3]),
    "lora_gated": average("lora_gate", "lora_b"),
    "lora_absent": average("lora_a", "lora_v", weights=[1, 4]),
    "lora_of_stack": average(stack("lora_a", "lora_b"), "lora_b"),
    "lora_in_stack": stack("lora_a", average("lora_b", "lora_a")),
    "dora_last": average("lora_v", "dora_a"),
    "dora_first": average("dora_a", "lora_gate"),
    "lora_and_ia3": stack("lora_a", average("lora_b", "ia3_b")),
    "lora_nobody": stack("dora_a", "ia3_gate", average(stack("ia3_b"), "ia3_a")),
    "ia3": average("ia3_a", "ia3_b"),
    "ia3_gated": average("ia3_gate", "ia3_b", weights=[1, 2]),
}
"""Children that are absent at a point are never the first: there the library fails."""

FUSIONS: dict[str, tuple[list[str], Any]] = {
    "static": (["seq_a", "seq_b"], "static"),
    "dynamic": (["seq_a", "seq_b", "seq_c"], "dynamic"),
    "doubles": (["double_a", "double_ln"], "dynamic"),
    "before_ln": (["seq_b", "seq_a"], {"query_before_ln": True}),
    "residual_before": (["seq_a", "inner_ln"], {"residual_before": True}),
    "value_after": (["seq_a", "seq_c"], {"value_before_softmax": False}),
    "no_key": (["seq_b", "seq_c"], {"key": False}),
    "no_query": (["seq_c", "seq_a"], {"query": False}),
    "bare": (["seq_c", "seq_b"], {"query": False, "key": False, "value": False}),
    "hot": (["post_add", "seq_c"], {"temperature": True}),
    "mixed": (["seq_a", "plus_a"], "dynamic"),
    "parallel": (["seq_a", "par_b"], "dynamic"),
    "gated": (["gated_a", "seq_a"], "static"),
    "left": (["left_a", "left_both", "seq_a"], "dynamic"),
    "inv": (["inv_a", "seq_a"], "dynamic"),
}
"""The fused adapters, and what differs from the dynamic configuration."""

FUSES = {
    **{name: fuse(*members, fusion=f"fusion_{name}") for name, (members, _) in FUSIONS.items()},
    "of_stacks": fuse(stack("seq_c", "seq_a"), stack("plus_a", "seq_b"), fusion="fusion_static"),
    "of_one_stack": fuse(stack("plus_a", "double_a"), "double_ln", fusion="fusion_doubles"),
    "in_stack": stack("plus_a", fuse("seq_a", "seq_b", fusion="fusion_static"), "seq_c"),
    "last": stack("plus_a", fuse("seq_b", "seq_a", fusion="fusion_before_ln")),
    "beside_lora": stack("lora_a", fuse("seq_a", "plus_a", fusion="fusion_mixed")),
    "two": stack(
        fuse("seq_a", "seq_b", fusion="fusion_static"),
        fuse("seq_c", "seq_a", fusion="fusion_no_query"),
    ),
}

MERGES = {
    "bottleneck": merge("seq_a", "seq_c", weights=[1, 3]),
    "plain": merge("double_a", "double_b"),
    "unnormalised": merge("seq_a", "seq_c", weights=[0.5, -0.25], normalize_weights=False),
    "lora": merge("lora_a", "lora_b", weights=[1, 3]),
    "lora_negate": merge("lora_a", "lora_b", weights=[2, -1], strategy="lora_linear_only_negate_b"),
    "lora_svd": merge(
        "lora_ffn_a", "lora_ffn_b", weights=[1, 3], strategy="lora_delta_w_svd", svd_rank=3
    ),
    "lora_svd_whole": merge("lora_a", "lora_b", strategy="lora_delta_w_svd", svd_rank=8),
    "dora": merge("dora_a", "dora_b", weights=[1, 3]),
    "ia3": merge("ia3_a", "ia3_b"),
    "ia3_negate": merge("ia3_a", "ia3_b", weights=[3, -1], strategy="lora_linear_only_negate_b"),
    "compacter": merge("comp_a", "comp_b", weights=[1, 3]),
    "prefix": merge("prefix_a", "prefix_b", weights=[1, 3]),
    "vera": merge("vera_a", "vera_b", weights=[1, 3]),
    "union": merge("mam_a", "mam_b"),
    "in_stack": stack("seq_b", merge("seq_a", "seq_c")),
    "in_average": average("seq_b", merge("seq_a", "seq_c", weights=[1, 3])),
}

SIDE_BY_SIDE = {
    "batch_split": ("BatchSplit", ["seq_a", "seq_b", "seq_c"]),
    "batch_split_stack": ("BatchSplit", [stack("double_a", "double_b"), "double_a", "double_b"]),
    "batch_split_lora": ("BatchSplit", ["lora_a", "lora_b", "lora_a"]),
    "parallel": ("Parallel", ["seq_a", "seq_b"]),
    "parallel_lora": ("Parallel", ["lora_a", "lora_b"]),
    "parallel_stack": ("Parallel", [stack("double_a", "double_b"), "double_b"]),
}
"""What the library computes for several adapters in one forward: here they are tasks of their own.

Its first child's flags govern all: the children of one entry have equal ones.
"""

MERGED_QKV = ("deberta", "modernbert", "gpt2")
"""Where the library lets no two LoRA share a linear."""
NO_SVD = (*MERGED_QKV, "deberta-v2")
BACKBONES = (
    "distilbert",
    "roberta",
    "electra",
    "albert",
    "deberta",
    "deberta-v2",
    "modernbert",
    "gpt2",
    "llama",
    "mistral",
)


def others(backbone: str) -> dict[str, tuple[Any, str]]:
    """The trees of an architecture beside BERT, and what the support table calls them."""
    pair = ("double_a", "double_b")
    found = {
        "stack": (stack(*pair), "Stack"),
        "average": (average(*pair, weights=[1, 3]), "Average"),
        "average_lora": (average("lora_a", "lora_b"), "Average"),
        "fuse": (fuse(*pair, fusion="fusion"), "AdapterFusion"),
        "merge": (merge(*pair), "weight merging"),
        "merge_lora_negate": (
            merge(
                "lora_a",
                "lora_b",
                weights=[0.5, -0.25],
                normalize_weights=False,
                strategy="lora_linear_only_negate_b",
            ),
            "weight merging",
        ),
        "merge_lora": (
            merge("lora_a", "lora_b", strategy="lora_delta_w_svd", svd_rank=5),
            "weight merging",
        ),
    }
    missing = ("average_lora",) if backbone in MERGED_QKV else ()
    missing += ("merge_lora",) if backbone in NO_SVD else ()
    return {name: case for name, case in found.items() if name not in missing}
