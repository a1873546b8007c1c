"""Makes `sets/encoders`: ALBERT, DeBERTa, ModernBERT and RoBERTa's kin, as the libraries see them.

Run from the repository root with adapters 1.3.0, transformers 4.57.6, peft 0.21.2 and torch:
`PYTHONHASHSEED=0 python -m tests.goldens.make_encoders`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import adapters
import numpy as np
import peft
import torch
import transformers
from adapters.methods.lora import LoRAMergedLinear

from tests.goldens import encoders_cases as wanted
from tests.goldens.filling import draw, fill_backbone
from tests.goldens.models import MODELS, InputRow, rows
from tests.goldens.recording import Recording

STD = 0.3
STEPS = 32
ADAPTERS = "adapters 1.3.0"
PEFT = "peft 0.21.2"


def config(backbone: str, **more: Any) -> Any:
    """A tiny configuration."""
    model = MODELS[backbone]
    return transformers.AutoConfig.for_model(model.model_type, **model.config, **more)


def inputs(row: InputRow) -> dict[str, torch.Tensor]:
    """One row as the models take it."""
    found = {"input_ids": torch.tensor([row.input_ids])}
    if row.type_ids is not None:
        found["token_type_ids"] = torch.tensor([row.type_ids])
    return found


@torch.no_grad()
def compute(model: Any, backbone: str, num_choices: int = 0) -> list[Any]:
    """The model's output for each row; a row is all of its choices, where it has some."""
    outputs = []
    for row in rows(backbone):
        given = inputs(row)
        if num_choices:
            given = {name: value.repeat(1, num_choices, 1) for name, value in given.items()}
        outputs.append(model(**given, return_dict=True))
    return outputs


def arrays(outputs: list[Any], name: str) -> list[np.ndarray]:
    """One member of each output, without the batch dimension."""
    return [output[name][0].numpy() for output in outputs]


def refill(model: Any, case: str, parts: list[str]) -> None:
    """Fill trained parameters from the case's and their names; multipliers lie around 1."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in parts):
                is_factor = "norm" in name.lower() or "ia3" in f"{case} {name}" or "scaling" in name
                is_factor = is_factor or name.endswith(".m.weight") or "magnitude" in name
                mean = 1.0 if is_factor and not name.endswith("bias") else 0.0
                values = draw(f"{case} {name}", tuple(parameter.shape), STD, mean)
                # Few digits, so that the archives stay small.
                parameter.copy_((values * STEPS).round() / STEPS)
                if name.endswith("parametrizations.weight.original"):
                    # torch keeps the signs of an orthogonal matrix there.
                    parameter.fill_diagonal_(1.0)


def flex_model(backbone: str) -> Any:
    """A filled model of the `adapters` library, flexible where it has such a class."""
    if backbone == "modernbert":
        model = transformers.ModernBertModel(config(backbone))
        adapters.init(model)
    else:
        model = adapters.AutoAdapterModel.from_config(config(backbone))
    fill_base(model.base_model)
    return model.eval()


def fill_base(model: Any) -> None:
    """The backbone by its own names.

    The library gives merged projections a bias that the backbone does not have and that nothing
    saves; its `from_pretrained` makes it zero.
    """
    fill_backbone(model)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LoRAMergedLinear):
                module.bias.zero_()


def methods(backbone: str) -> dict[str, tuple[str, Any]]:
    """The methods of a backbone."""
    found: dict[str, tuple[str, Any]] = {
        name: entry
        for name, entry in wanted.METHODS.items()
        if name not in wanted.WITHOUT.get(backbone, ())
        and not (name in wanted.NOT_MERGED and backbone in wanted.MERGED)
    }
    if backbone == "modernbert":
        found["norm_before"] = ("bottleneck", adapters.BnConfig(**wanted.NORM_BEFORE))
    return found


def adapter_cases(record: Recording, backbone: str) -> None:
    """Every single adapter of a backbone."""
    for name, (method, chosen) in methods(backbone).items():
        model = flex_model(backbone)
        model.add_adapter(name, config=chosen)
        refill(model, name, [f".{name}."])
        model.set_active_adapters(name)
        model.save_adapter(str(record.folder(backbone, name)), name, with_head=False)
        hidden = arrays(compute(model, backbone), "last_hidden_state")
        expected = {"hidden": [without_prompt(name, states) for states in hidden]}
        task = {"adapter": f"./{name}"}
        record.add(backbone, name, task, expected, method=method, library=ADAPTERS)


def without_prompt(name: str, states: np.ndarray) -> np.ndarray:
    """The states of the row's own tokens."""
    first, count = wanted.PROMPTS.get(name, (0, 0))
    return np.delete(states, range(first, first + count), axis=0)


def head_numbers(model: Any, backbone: str, head_type: str, num_choices: int) -> dict[str, Any]:
    """What a head's raw answer holds, row by row."""
    if head_type == "multiple_choice":
        outputs = compute(model, backbone, num_choices)
        return {"logits": [output.logits[0][:1].numpy() for output in outputs]}
    outputs = compute(model, backbone)
    if head_type == "question_answering":
        return {
            "start": arrays(outputs, "start_logits"),
            "end": arrays(outputs, "end_logits"),
        }
    return {"logits": arrays(outputs, "logits")}


def flex_cases(record: Recording, backbone: str) -> None:
    """Every flexible head over one adapter."""
    for name, (head_type, options) in wanted.FLEX_HEADS.items():
        model = flex_model(backbone)
        is_pooled = "use_pooler" in options and backbone not in wanted.POOLED
        if head_type not in model.head_types or is_pooled:
            continue
        model.add_adapter(name, config="seq_bn[reduction_factor=4]")
        add_head(model, head_type, name, options)
        model.eval()
        refill(model, name, [f".{name}."])
        model.set_active_adapters(name)
        model.active_head = name
        model.save_adapter(str(record.folder(backbone, name)), name)
        expected = head_numbers(model, backbone, head_type, 2)
        task = {"adapter": f"./{name}", "head": f"./{name}"}
        record.add(
            backbone, name, task, expected, method="bottleneck", head=head_type, library=ADAPTERS
        )


def add_head(model: Any, head_type: str, name: str, options: dict[str, Any]) -> None:
    """Add a head as users do."""
    if head_type == "multilabel_classification":
        model.add_classification_head(name, multilabel=True, **options)
    else:
        short = "qa" if head_type == "question_answering" else head_type
        getattr(model, f"add_{short}_head")(name, **options)


def static_cases(record: Recording, backbone: str) -> None:
    """Every Hugging Face task class under `adapters`."""
    family = wanted.ADAPTER_FAMILIES[backbone]
    for suffix, head_type in wanted.STATIC_HEADS.items():
        if (backbone, suffix) in wanted.STATIC_MISSING:
            continue
        labels = {"num_labels": 3} if head_type in ("classification", "tagging") else {}
        model = getattr(transformers, f"{family}{suffix}")(config(backbone, **labels))
        adapters.init(model)
        name = f"static_{head_type}"
        model.add_adapter(name, config="seq_bn[reduction_factor=4]")
        fill_task_model(model, name)
        model.set_active_adapters(name)
        model.save_adapter(str(record.folder(backbone, name)), name)
        expected = head_numbers(model, backbone, head_type, 2)
        task = {"adapter": f"./{name}", "head": f"./{name}"}
        head = f"static {head_type}"
        record.add(backbone, name, task, expected, method="bottleneck", head=head, library=ADAPTERS)


def fill_task_model(model: Any, name: str) -> None:
    """The backbone by its own names, everything that was trained by the case."""
    fill_base(model.base_model)
    base = {id(parameter) for parameter in model.base_model.parameters()}
    heads = [key for key, value in model.named_parameters() if id(value) not in base]
    refill(model, name, [f".{name}.", *heads])
    model.eval()


def peft_cases(record: Recording, backbone: str) -> None:
    """Every PEFT checkpoint of a backbone."""
    model_type = MODELS[backbone].model_type
    targets = wanted.PEFT_TARGETS[backbone]
    ia3, feedforward = wanted.PEFT_IA3.get(model_type, wanted.PEFT_IA3["roberta"])
    lora = {"r": 4, "lora_alpha": 6}
    plain = {
        "lora": peft.LoraConfig(target_modules=targets, **lora),
        "all_linear": peft.LoraConfig(target_modules="all-linear", r=4, lora_alpha=2),
        "bias_all": peft.LoraConfig(target_modules=targets, bias="all", **lora),
        "ia3": peft.IA3Config(target_modules=ia3, feedforward_modules=feedforward),
        "dora": peft.LoraConfig(target_modules=targets, use_dora=True, **lora),
        "prompt": peft.PromptTuningConfig(
            num_virtual_tokens=3, token_dim=MODELS[backbone].config.get("embedding_size")
        ),
    }
    if model_type in ("camembert", "xlm-roberta-xl"):
        plain["prefix"] = peft.PrefixTuningConfig(num_virtual_tokens=3)
    for name, chosen in plain.items():
        peft_case(record, backbone, name, chosen, "FEATURE_EXTRACTION")
    for task in ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"):
        if (backbone, task) in wanted.PEFT_MISSING:
            continue
        saved = ["pooler"] if model_type.startswith("deberta") and task == "SEQ_CLS" else None
        if model_type == "modernbert":
            saved = ["head", "classifier"] if task == "QUESTION_ANS" else ["head"]
        chosen = peft.LoraConfig(target_modules=targets, modules_to_save=saved, **lora)
        peft_case(record, backbone, task.lower(), chosen, task)


def peft_case(record: Recording, backbone: str, short: str, chosen: Any, task: str) -> None:
    """One PEFT checkpoint."""
    name, family = f"peft_{short}", wanted.PEFT_FAMILIES[backbone]
    labels = {} if task in ("QUESTION_ANS", "FEATURE_EXTRACTION") else {"num_labels": 3}
    base = getattr(transformers, family + wanted.PEFT_TASKS[task])(config(backbone, **labels))
    fill_backbone(base.base_model)
    chosen.task_type = task
    model = peft.get_peft_model(base.eval(), chosen).eval()
    parts = ["lora_", "ia3_", "modules_to_save", "prompt_encoder"]
    refill(model, name, [*parts, ".bias"] if getattr(chosen, "bias", "none") == "all" else parts)
    folder = record.folder(backbone, name)
    model.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    entry: dict[str, Any] = {"adapter": f"./{name}"}
    # PEFT's own answering model drops token types; the model that it wraps does not.
    runs = model if chosen.is_prompt_learning else model.base_model
    method = f"PEFT {'dora' if short == 'dora' else chosen.peft_type.value.lower()}"
    if task == "FEATURE_EXTRACTION":
        hidden = arrays(compute(runs, backbone), "last_hidden_state")
        virtual = getattr(chosen, "num_virtual_tokens", 0) if short == "prompt" else 0
        expected = {"hidden": [states[virtual:] for states in hidden]}
        record.add(backbone, name, entry, expected, method=method, library=PEFT)
        return
    head_type = {"SEQ_CLS": "classification", "TOKEN_CLS": "tagging"}.get(
        task, "question_answering"
    )
    entry |= {"head": f"./{name}"}
    if task == "QUESTION_ANS":
        entry |= {"options": {"token_types": True}}
    expected = head_numbers(runs, backbone, head_type, 0)
    record.add(backbone, name, entry, expected, method=method, head=head_type, library=PEFT)


def main() -> None:
    """Write the set."""
    torch.set_num_threads(1)
    record = Recording("encoders")
    for backbone in wanted.ADAPTER_FAMILIES:
        adapter_cases(record, backbone)
        if backbone != "modernbert":
            flex_cases(record, backbone)
        static_cases(record, backbone)
    for backbone in wanted.PEFT_FAMILIES:
        peft_cases(record, backbone)
    record.write()


if __name__ == "__main__":
    assert Path("tests/goldens").is_dir(), "Run from the repository root."
    main()
