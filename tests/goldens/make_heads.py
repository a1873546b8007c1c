"""Makes `heads/cases.json`, the logits of heads as the libraries that save them compute them.

Run from the repository root with adapters 1.3.0, transformers 4.57.6, peft and torch:
`python -m tests.goldens.make_heads`. `python -m tests.goldens.make_heads written` adds what
`adapters` computes from the heads that Polyhead wrote (`heads/written.json`, made by
`python -m tests.goldens.heads.write`).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import adapters
import peft
import torch
import transformers
from safetensors.torch import load_file

from tests.goldens.filling import fill_backbone
from tests.goldens.heads.backbones import FAMILIES, values
from tests.goldens.heads.oracle import answers, fill_task_model, plain_config, rounded

HERE = Path(__file__).parent / "heads"
LABELS = {0: "negative", 1: "neutral", 2: "positive"}
ACTIVATIONS = ("tanh", "relu", "gelu", "gelu_new", "swish", "leakyrelu", "sigmoid", None)
PEFT_TASKS = {
    "SEQ_CLS": "ForSequenceClassification",
    "TOKEN_CLS": "ForTokenClassification",
    "QUESTION_ANS": "ForQuestionAnswering",
}
LORA_TARGETS = {"distilbert": ["q_lin", "v_lin"], "mpnet": ["attn.q", "attn.v"]}


def saved_case(folder: Path, model_type: str, head_type: str, logits: Any) -> dict[str, Any]:
    """A case from what the library wrote; weights are refilled from their names."""
    tensors = torch.load(folder / "pytorch_model_head.bin", weights_only=True)
    return {
        "model_type": model_type,
        "head_type": head_type,
        "config": json.loads((folder / "head_config.json").read_text()),
        "tensors": {name: list(tensor.shape) for name, tensor in tensors.items()},
        "logits": logits,
    }


def flex_case(model_type: str, head_type: str, **settings: Any) -> dict[str, Any]:
    """A flexible head, added, filled, run and saved."""
    torch.manual_seed(0)
    model = getattr(adapters, f"{FAMILIES[model_type]}AdapterModel")(plain_config(model_type))
    fill_backbone(model.base_model)
    if "bias" in settings:
        model.add_prediction_head_from_config("task", {"head_type": head_type, **settings})
    else:
        add_head(model, head_type, settings)
    with torch.no_grad():
        for name, parameter in model.heads.named_parameters(prefix="heads"):
            parameter.copy_(values(name, parameter.shape))
    model.eval()
    logits = answers(model, model_type, head_type, settings.get("num_choices", 2))
    with tempfile.TemporaryDirectory() as folder:
        model.save_head(folder, "task")
        return saved_case(Path(folder), model_type, head_type, logits)


def add_head(model: Any, head_type: str, settings: dict[str, Any]) -> None:
    """Add a head as users do."""
    if head_type == "multilabel_classification":
        model.add_classification_head("task", multilabel=True, **settings)
        return
    name = "qa" if head_type == "question_answering" else head_type
    getattr(model, f"add_{name}_head")("task", **settings)


def static_case(model_type: str, suffix: str, head_type: str) -> dict[str, Any]:
    """A Hugging Face task class under `adapters`, saved as a static head."""
    by_label = {label: number for number, label in LABELS.items()}
    is_labelled = head_type in ("classification", "tagging")
    labels = {"id2label": LABELS, "label2id": by_label} if is_labelled else {}
    config = plain_config(model_type, **labels)
    model = getattr(transformers, f"{FAMILIES[model_type]}{suffix}")(config)
    fill_task_model(model)
    adapters.init(model)
    model.add_adapter("task", config="seq_bn")
    model.eval()
    logits = answers(model, model_type, head_type, 3)
    with tempfile.TemporaryDirectory() as folder:
        model.save_adapter(folder, "task")
        return saved_case(Path(folder), model_type, head_type, logits)


def peft_case(model_type: str, suffix: str, head_type: str, **lora: Any) -> dict[str, Any]:
    """A task class under a PEFT LoRA that changes nothing yet, with its saved classifier."""
    labels = {} if head_type in ("question_answering", "multiple_choice") else {"num_labels": 3}
    model = getattr(transformers, f"{FAMILIES[model_type]}{suffix}")(
        plain_config(model_type, **labels)
    )
    fill_backbone(model.base_model)
    targets = LORA_TARGETS.get(model_type, ["query", "value"])
    wrapped = peft.get_peft_model(model, peft.LoraConfig(target_modules=targets, **lora))
    path = "base_model.model."
    names = [name for name in peft.get_peft_model_state_dict(wrapped) if is_head(name, path)]
    fill_saved(wrapped, names, path)
    wrapped.eval()
    logits = answers(wrapped, model_type, head_type, 3)
    with tempfile.TemporaryDirectory() as folder:
        wrapped.save_pretrained(folder)
        tensors = load_file(f"{folder}/adapter_model.safetensors")
        config = json.loads(Path(folder, "adapter_config.json").read_text())
    config["target_modules"].sort()  # saved from a set
    return {
        "model_type": model_type,
        "head_type": head_type,
        "config": config,
        "tensors": {name: list(tensors[name].shape) for name in tensors if is_head(name, path)},
        "logits": logits,
    }


def is_head(name: str, path: str) -> bool:
    """Whether a saved tensor belongs to the classifier."""
    first = name.removeprefix(path).split(".")[0]
    return first in ("classifier", "pre_classifier", "qa_outputs", "sequence_summary")


def fill_saved(wrapped: Any, names: list[str], path: str) -> None:
    """Fill the trained copy of each saved classifier tensor by its saved name."""
    parameters = dict(wrapped.named_parameters())
    with torch.no_grad():
        for name in names:
            module, _, rest = name.removeprefix(path).partition(".")
            if "original_module" in rest or "modules_to_save" in rest:
                continue
            target = parameters[f"{path}{module}.modules_to_save.default.{rest}"]
            target.copy_(values(name, target.shape))


def cases() -> dict[str, dict[str, Any]]:
    """Every case by name."""
    made: dict[str, dict[str, Any]] = {}
    for head_type in ("classification", "multilabel_classification"):
        for layers in (1, 2, 3):
            made[f"flex/bert/{head_type}/{layers}"] = flex_case(
                "bert", head_type, num_labels=3, layers=layers, id2label=LABELS
            )
    for activation in ACTIVATIONS:
        made[f"flex/bert/classification/{activation}"] = flex_case(
            "bert", "classification", num_labels=3, layers=3, activation_function=activation
        )
    made["flex/bert/classification/pooler"] = flex_case(
        "bert", "classification", num_labels=3, use_pooler=True
    )
    made["flex/bert/classification/no-bias"] = flex_case(
        "bert", "classification", num_labels=3, bias=False
    )
    made["flex/bert/classification/regression"] = flex_case("bert", "classification", num_labels=1)
    for layers in (1, 2, 3):
        made[f"flex/bert/tagging/{layers}"] = flex_case(
            "bert", "tagging", num_labels=3, layers=layers, id2label=LABELS
        )
        made[f"flex/bert/question_answering/{layers}"] = flex_case(
            "bert", "question_answering", layers=layers
        )
        made[f"flex/bert/multiple_choice/{layers}"] = flex_case(
            "bert", "multiple_choice", num_choices=4, layers=layers, use_pooler=layers == 1
        )
    for model_type in ("roberta", "xlm-roberta", "distilbert", "electra"):
        made |= architecture_cases(model_type)
    for model_type in ("bert", "roberta", "xlm-roberta", "distilbert", "electra"):
        made |= static_cases(model_type)
    for model_type in FAMILIES:
        made |= peft_cases(model_type)
    return made


def architecture_cases(model_type: str) -> dict[str, dict[str, Any]]:
    """Every flexible head with its default settings."""
    labelled = {"num_labels": 3, "id2label": LABELS}
    made = {
        f"flex/{model_type}/{head_type}": flex_case(model_type, head_type, **settings)
        for head_type, settings in {
            "classification": labelled,
            "multilabel_classification": labelled,
            "tagging": labelled,
            "question_answering": {},
            "multiple_choice": {"num_choices": 3},
        }.items()
    }
    if model_type in ("roberta", "xlm-roberta"):
        made[f"flex/{model_type}/classification/pooler"] = flex_case(
            model_type, "classification", use_pooler=True, **labelled
        )
    return made


def static_cases(model_type: str) -> dict[str, dict[str, Any]]:
    """Every task class of an architecture, saved by `adapters`."""
    return {
        f"static/{model_type}/{head_type}": static_case(model_type, suffix, head_type)
        for suffix, head_type in {
            "ForSequenceClassification": "classification",
            "ForTokenClassification": "tagging",
            "ForQuestionAnswering": "question_answering",
            "ForMultipleChoice": "multiple_choice",
        }.items()
    }


def peft_cases(model_type: str) -> dict[str, dict[str, Any]]:
    """Every task type of an architecture, saved by PEFT."""
    heads = ("classification", "tagging", "question_answering")
    made = {
        f"peft/{model_type}/{task}": peft_case(model_type, suffix, head_type, task_type=task)
        for (task, suffix), head_type in zip(PEFT_TASKS.items(), heads, strict=True)
    }
    made[f"peft/{model_type}/choice"] = peft_case(
        model_type,
        "ForMultipleChoice",
        "multiple_choice",
        modules_to_save=choice_modules(model_type),
    )
    if model_type in ("bert", "roberta"):
        made[f"peft/{model_type}/bias-all"] = peft_case(
            model_type, PEFT_TASKS["SEQ_CLS"], "classification", task_type="SEQ_CLS", bias="all"
        )
    return made


def choice_modules(model_type: str) -> list[str]:
    """The head modules of a multiple choice class that training must keep."""
    extra = {"electra": ["sequence_summary"]}
    return ["classifier", *extra.get(model_type, [])]


def written() -> None:
    """Add to `written.json` what `adapters` computes from heads that Polyhead wrote."""
    path = HERE / "written.json"
    stored = json.loads(path.read_text())
    for case in stored.values():
        model_type = case["model_type"]
        model = getattr(adapters, f"{FAMILIES[model_type]}AdapterModel")(plain_config(model_type))
        fill_backbone(model.base_model)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "head_config.json").write_text(json.dumps(case["config"]))
            tensors = {name: values(name, shape) for name, shape in case["tensors"].items()}
            torch.save(tensors, Path(folder, "pytorch_model_head.bin"))
            model.load_head(folder)
        model.eval()
        head_type = case["config"]["config"]["head_type"]
        case["head_type"] = head_type
        case["labels"] = list(model.get_labels() or ())
        case["logits"] = answers(model, model_type, head_type)
    path.write_text(json.dumps(rounded(stored), separators=(",", ":")))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if "written" in sys.argv:
        written()
    else:
        (HERE / "cases.json").write_text(json.dumps(rounded(cases()), separators=(",", ":")))
