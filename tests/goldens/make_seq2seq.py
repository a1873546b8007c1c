"""Makes `sets/seq2seq`: encoder-decoders under the `adapters` library and under PEFT.

Run from the repository root in the generators' environment:
`PYTHONHASHSEED=0 python -m tests.goldens.make_seq2seq`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import adapters
import numpy as np
import peft
import torch
import transformers
from adapters.composition import Stack

from tests.goldens.filling import draw, fill_backbone
from tests.goldens.models import MODELS, rows
from tests.goldens.recording import Recording

STD = 0.3
STEPS = 32
FAMILIES = {"bart": "Bart", "mbart": "MBart", "plbart": "PLBart", "t5": "T5", "mt5": "MT5"}
ADAPTERS = f"adapters {adapters.__version__}"
PEFT = f"peft {peft.__version__}"

_LORA = "lora[r=4,alpha=2,attn_matrices=['q','k','v'],intermediate_lora=True,output_lora=True]"
_PREFIX = "prefix_tuning[prefix_length=3,bottleneck_size=4]"
_CROSS = "double_seq_bn[reduction_factor=8,cross_adapter=True"
CORE = {
    "seq_bn": "seq_bn[reduction_factor=8]",
    "double_seq_bn": "double_seq_bn[reduction_factor=8]",
    "cross_seq_bn": f"{_CROSS}]",
    "par_bn": "par_bn[reduction_factor=8]",
    "lora": _LORA,
    "ia3": "ia3[alpha=2,attn_matrices=['q','k','v'],output_lora=True]",
    "prefix_tuning": _PREFIX,
    "loreft": "loreft[r=2]",
    "seq_bn_inv": "seq_bn_inv[reduction_factor=8]",
}
"""On every backbone, by case."""
MORE = {
    "cross_par_bn": f"{_CROSS},is_parallel=True,scaling=0.5]",
    "cross_gated": f"{_CROSS},use_gating=True,original_ln_before=True]",
    "cross_left_out": f"{_CROSS},leave_out=[1,2]]",
    "compacter": "compacter[reduction_factor=8,phm_dim=2,cross_adapter=True]",
    "factor_map": "double_seq_bn[reduction_factor={'3':16,'default':8}]",
    "lora_left_out": "lora[r=2,alpha=3,leave_out=[1,2]]",
    "lora_gated": "lora[r=2,attn_matrices=['q','v'],use_gating=True]",
    "dora": "lora[r=2,alpha=3,use_dora=True]",
    "prefix_flat": "prefix_tuning[prefix_length=3,flat=True]",
    "prefix_gated": f"{_PREFIX[:-1]},use_gating=True,shared_gating=False]",
    "prefix_decoder": f"{_PREFIX[:-1]},encoder_prefix=False]",
    "prefix_no_cross": f"{_PREFIX[:-1]},cross_prefix=False]",
    "prefix_left_out": f"{_PREFIX[:-1]},leave_out=[1,2]]",
    "prefix_late": f"{_PREFIX[:-1]},leave_out=[0,2]]",
    "reft_border": "noreft[r=2,layers=[1,2],suffix_positions=2]",
    "mam": f"{_PREFIX}|par_bn[reduction_factor=8]",
    "unipelt": f"{_PREFIX[:-1]},use_gating=True]|seq_bn[reduction_factor=8,use_gating=True]"
    "|lora[r=2,alpha=2,use_gating=True]",
}
"""On `bart` and `t5` beside that."""
FLEX = {
    "classification": {"num_labels": 3},
    "multilabel_classification": {"num_labels": 3, "layers": 1, "multilabel": True},
    "question_answering": {},
    "seq2seq_lm": {},
}
MAKERS = {"multilabel_classification": "classification", "question_answering": "qa"}
STATIC = {
    "ForSequenceClassification": "classification",
    "ForQuestionAnswering": "question_answering",
    "ForConditionalGeneration": "seq2seq_lm",
}
PEFT_NAMES = {
    "bart": ("q_proj", "v_proj", "fc2", ["fc2"]),
    "t5": ("q", "v", "wo", ["wo"]),
}


def refill(model: Any, case: str, names: Sequence[str]) -> None:
    """Fill an adapter's parameters from its case's and their names; multipliers lie around 1."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not any(part in name for part in names) or "parametrizations" in name:
                continue
            is_factor = "norm" in name or "ia3" in f"{case} {name}" or name.endswith("m.weight")
            mean = 1.0 if is_factor and not name.endswith("bias") else 0.0
            values = draw(f"{case} {name}", tuple(parameter.shape), STD, mean)
            # Few digits, so that the archives stay small.
            parameter.copy_((values * STEPS).round() / STEPS)


def configuration(backbone: str, **options: Any) -> Any:
    """A backbone's configuration."""
    model = MODELS[backbone]
    return transformers.AutoConfig.for_model(model.model_type, **model.config, **options)


@torch.no_grad()
def each(run: Callable[..., Any], backbone: str) -> list[Any]:
    """What a model answers for each row alone."""
    return [run(input_ids=torch.tensor([row.input_ids])) for row in rows(backbone)]


def hidden(model: Any, backbone: str) -> dict[str, list[np.ndarray]]:
    """The decoder's last states; the input of a bare T5 is shifted by its caller."""

    def run(input_ids: torch.Tensor) -> np.ndarray:
        inputs = {"input_ids": input_ids}
        if "t5" in backbone:
            inputs["decoder_input_ids"] = model._shift_right(input_ids)
        return model(**inputs)["last_hidden_state"][0].numpy()

    return {"hidden": each(run, backbone)}


def answers(model: Any, backbone: str) -> dict[str, list[np.ndarray]]:
    """A head's logits, as `--raw` names them."""

    def run(input_ids: torch.Tensor) -> Any:
        return model(input_ids=input_ids, decoder_input_ids=shifted(model, input_ids))

    outputs = each(run, backbone)
    if "start_logits" in outputs[0]:
        return {
            side: [output[f"{side}_logits"][0].numpy() for output in outputs]
            for side in ("start", "end")
        }
    return {"logits": [output["logits"][0].numpy() for output in outputs]}


def shifted(model: Any, input_ids: torch.Tensor) -> torch.Tensor | None:
    """A generation class is told its decoder's input; all others make it themselves."""
    if "T5ForConditional" in type(model).__name__ or "T5ForConditional" in str(type(model)):
        return model._shift_right(input_ids)
    return None


def flex_model(backbone: str) -> Any:
    """A filled flexible model of the `adapters` library."""
    torch.manual_seed(0)  # orthogonal weights are left as they are drawn
    model = adapters.AutoAdapterModel.from_config(configuration(backbone))
    fill_backbone(model.base_model)
    return model.eval()


def adapter_cases(made: Recording, backbone: str, cases: dict[str, str]) -> None:
    """Single adapters, with hidden states as the answer."""
    for name, config in cases.items():
        model = flex_model(backbone)
        model.add_adapter(name, config=config)
        refill(model, name, [f".{name}."])
        model.set_active_adapters(name)
        model.save_adapter(str(made.folder(backbone, name)), name, with_head=False)
        expected = hidden(model.base_model, backbone)
        task = {"adapter": name}
        made.add(backbone, name, task, expected, method=name, library=ADAPTERS)


def bare_cases(made: Recording, backbone: str) -> None:
    """The plain model."""
    model = transformers.AutoModel.from_config(configuration(backbone))
    fill_backbone(model)
    adapters.init(model)
    made.add(backbone, "bare", {}, hidden(model.eval(), backbone), library="transformers")


def stack_cases(made: Recording, backbone: str) -> None:
    """A language adapter under a task adapter."""
    model, folders = flex_model(backbone), ["seq_bn_inv", "cross_seq_bn"]
    for name in folders:
        model.add_adapter(name, config=CORE[name])
        refill(model, name, [f".{name}."])
    model.set_active_adapters(Stack(*folders))
    expected = hidden(model.base_model, backbone)
    task = {"adapter": {"stack": folders}}
    made.add(backbone, "stack", task, expected, method="stack", library=ADAPTERS)


def flex_cases(made: Recording, backbone: str) -> None:
    """Flexible heads, over an adapter with an invertible block."""
    for kind, options in FLEX.items():
        model, name = flex_model(backbone), f"flex_{kind}"
        model.add_adapter(name, config="seq_bn_inv[reduction_factor=8]")
        getattr(model, f"add_{MAKERS.get(kind, kind)}_head")(name, **options)
        refill(model, name, [f".{name}."])
        model.set_active_adapters(name)
        model.save_adapter(str(made.folder(backbone, name)), name, with_head=True)
        task = {"adapter": name, "head": name}
        made.add(backbone, name, task, answers(model, backbone), head=kind, library=ADAPTERS)


def static_cases(made: Recording, backbone: str, classes: Sequence[str]) -> None:
    """Heads of Hugging Face classes, saved beside an adapter."""
    for suffix in classes:
        family, name = FAMILIES[backbone], f"static_{suffix.removeprefix('For')}"
        config = configuration(backbone)
        config.num_labels = 2 if "Answering" in suffix else 3
        model = getattr(transformers, family + suffix)(config)
        fill_base(model)
        adapters.init(model.eval())
        model.add_adapter(name, config="seq_bn[reduction_factor=8]")
        refill(model, name, [f".{name}.", "classification_head", "qa_outputs"])
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias = draw(name, model.final_logits_bias.shape, 1.0)
        model.set_active_adapters(name)
        model.save_adapter(str(made.folder(backbone, name)), name, with_head=True)
        task = {"adapter": name, "head": name}
        expected = answers(model, backbone)
        made.add(backbone, name, task, expected, head=STATIC[suffix], library=ADAPTERS)


def fill_base(model: Any) -> None:
    """Fill the backbone inside a task model, where it has one of its own or is spread out."""
    prefix = next((name for name in ("model", "transformer") if hasattr(model, name)), "")
    fill_backbone(model, prefix)


def peft_cases(made: Recording, backbone: str) -> None:
    """PEFT on the bare model and with an answering head."""
    query, value, out, feedforward = PEFT_NAMES[backbone]
    lora = {"r": 2, "lora_alpha": 3, "target_modules": [query, value]}
    chosen = {
        "peft_lora": peft.LoraConfig(**lora),
        "peft_all_linear": peft.LoraConfig(**lora | {"target_modules": "all-linear"}),
        "peft_bias_all": peft.LoraConfig(**lora, bias="all"),
        "peft_dora": peft.LoraConfig(**lora | {"target_modules": [value, out]}, use_dora=True),
        "peft_ia3": peft.IA3Config(
            target_modules=[query, value, out], feedforward_modules=feedforward
        ),
    }
    for name, config in chosen.items():
        config.task_type = "FEATURE_EXTRACTION"
        base = transformers.AutoModel.from_config(configuration(backbone))
        fill_backbone(base)
        model = peft.get_peft_model(base.eval(), config).eval()
        names = ["lora_", "ia3_", *([".bias"] if name == "peft_bias_all" else [])]
        refill(model, name, names)
        save_peft(made.folder(backbone, name), model)
        expected = hidden(model.base_model.model, backbone)
        made.add(backbone, name, {"adapter": name}, expected, method=name, library=PEFT)
    answering_case(made, backbone, lora)


def answering_case(made: Recording, backbone: str, lora: dict[str, Any]) -> None:
    """The one task type whose head PEFT saves for these models."""
    name = "peft_answering"
    base = getattr(transformers, f"{FAMILIES[backbone]}ForQuestionAnswering")
    model = base(configuration(backbone))
    fill_base(model)
    model = peft.get_peft_model(model.eval(), peft.LoraConfig(task_type="QUESTION_ANS", **lora))
    refill(model.eval(), name, ["lora_", "modules_to_save"])
    save_peft(made.folder(backbone, name), model)
    expected = answers(model.base_model.model, backbone)
    task = {"adapter": name, "head": name}
    made.add(backbone, name, task, expected, head="question_answering", library=PEFT)


def save_peft(folder: Path, model: Any) -> None:
    """What PEFT writes, without its card."""
    model.save_pretrained(str(folder))
    (folder / "README.md").unlink()


def main() -> None:
    """Write the set."""
    torch.set_num_threads(1)
    made = Recording("seq2seq")
    for backbone in FAMILIES:
        is_full = backbone in PEFT_NAMES
        bare_cases(made, backbone)
        adapter_cases(made, backbone, CORE | MORE if is_full else CORE)
        stack_cases(made, backbone)
        flex_cases(made, backbone)
        static_cases(made, backbone, list(STATIC) if is_full else list(STATIC)[:1])
        if is_full:
            peft_cases(made, backbone)
    made.write()


if __name__ == "__main__":
    main()
