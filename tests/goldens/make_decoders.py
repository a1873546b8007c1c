"""Makes `sets/decoders`: GPT-2, Llama, Mistral and Qwen, as the libraries see them.

Run from the repository root with adapters 1.3.0, transformers 4.57.6, peft 0.21.2 and torch:
`PYTHONHASHSEED=0 python -m tests.goldens.make_decoders`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import adapters
import numpy as np
import peft
import torch
import transformers
from adapters.composition import Stack
from adapters.heads import CausalLMHead

from tests.goldens import decoders_cases as wanted
from tests.goldens.filling import draw, fill_backbone
from tests.goldens.models import MODELS, InputRow, rows
from tests.goldens.recording import Recording

STD = 0.3
STEPS = 32
ADAPTERS = "adapters 1.3.0"
PEFT = "peft 0.21.2"
KINDS = {
    "SEQ_CLS": ("ForSequenceClassification", "classification"),
    "TOKEN_CLS": ("ForTokenClassification", "tagging"),
    "QUESTION_ANS": ("ForQuestionAnswering", "question_answering"),
    "CAUSAL_LM": ("ForCausalLM", "causal_lm"),
    "FEATURE_EXTRACTION": ("Model", None),
}
PEFT_CONFIGS = {
    "lora": peft.LoraConfig,
    "dora": peft.LoraConfig,
    "ia3": peft.IA3Config,
    "ln_tuning": peft.LNTuningConfig,
    "vera": peft.VeraConfig,
    "adalora": peft.AdaLoraConfig,
    "PROMPT_TUNING": peft.PromptTuningConfig,
    "P_TUNING": peft.PromptEncoderConfig,
    "PREFIX_TUNING": peft.PrefixTuningConfig,
}
TRAINED = (
    "lora_",
    "ia3_",
    "modules_to_save",
    "prompt_encoder",
    "embedding.weight",
    "vera_",
    "ln_tuning",
)


def config(backbone: str, **more: Any) -> Any:
    """A tiny configuration."""
    model = MODELS[backbone]
    return transformers.AutoConfig.for_model(model.model_type, **model.config, **more)


@torch.no_grad()
def compute(model: Any, inputs: Sequence[InputRow]) -> list[Any]:
    """The model's output for each row, alone and unpadded."""
    return [model(input_ids=torch.tensor([row.input_ids])) for row in inputs]


def numbers(outputs: list[Any], head: str | None, skipped: int = 0) -> dict[str, list[np.ndarray]]:
    """What a head's raw answer holds, row by row, without virtual tokens in front."""
    names = {"logits": "logits"}
    if head == "question_answering":
        names = {"start": "start_logits", "end": "end_logits"}
    elif head is None:
        names = {"hidden": "last_hidden_state"}
    first = 0 if head and head.endswith("classification") else skipped
    return {
        ours: [output[theirs][0].numpy()[first:] for output in outputs]
        for ours, theirs in names.items()
    }


def refill(model: Any, case: str, parts: tuple[str, ...], std: float = STD) -> None:
    """Fill trained parameters from the case's and their names; multipliers lie around 1."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in parts):
                is_factor = "norm" in name.lower() or "ia3" in f"{case} {name}" or "scaling" in name
                is_factor = is_factor or name.endswith((".m.weight", "magnitude_vector"))
                mean = 1.0 if is_factor and not name.endswith("bias") else 0.0
                values = draw(f"{case} {name}", tuple(parameter.shape), std, mean)
                # Few digits, so that the archives stay small.
                parameter.copy_((values * STEPS).round() / STEPS)
                if name.endswith("parametrizations.weight.original"):
                    # torch keeps the signs of an orthogonal matrix there.
                    parameter.fill_diagonal_(1.0)


def base_model(backbone: str) -> Any:
    """A filled model of the `adapters` library, flexible where it has such a class."""
    if backbone in wanted.HOOKED:
        model = transformers.AutoModel.from_config(config(backbone))
        adapters.init(model)
    else:
        model = adapters.AutoAdapterModel.from_config(config(backbone))
    fill_backbone(model.base_model)
    return model.eval()


def hooked_task_model(backbone: str) -> Any:
    """A filled task model that the library hooks."""
    model = task_model(backbone, "ForCausalLM")
    adapters.init(model)
    return model


def methods(backbone: str) -> dict[str, tuple[str, Any]]:
    """The methods of a backbone."""
    if backbone in wanted.PADDED:
        return {}
    found = dict(wanted.METHODS)
    found |= wanted.HOOKED_UNION if backbone in wanted.HOOKED else wanted.NATIVE
    return found if backbone == "gpt2" else found | wanted.UNMERGED


def add(model: Any, name: str, chosen: str) -> None:
    """Add a filled adapter, active."""
    torch.manual_seed(0)  # the orthogonal matrix of a ReFT is left as it is drawn
    model.add_adapter(name, config=chosen)
    refill(model, name, (f".{name}.",))
    model.set_active_adapters(name)
    model.eval()


def adapter_cases(record: Recording, backbone: str) -> None:
    """Every single adapter of a backbone, then stacks of them."""
    made = methods(backbone)
    for name, (method, chosen) in made.items():
        # From a bare model the library saves no parameters that layers share.
        is_shared = backbone in wanted.HOOKED and method in ("compacter", "vera")
        model = hooked_task_model(backbone) if is_shared else base_model(backbone)
        add(model, name, chosen)
        model.save_adapter(str(record.folder(backbone, name)), name, with_head=False)
        inputs = odd_rows(backbone) if method in ("prefix_tuning", "union") else rows(backbone)
        expected = numbers(compute(model.base_model if is_shared else model, inputs), None)
        task = {"adapter": f"./{name}"}
        record.add(backbone, name, task, expected, method=method, inputs=inputs, library=ADAPTERS)
    for name, members in wanted.STACKS.items() if made else ():
        model = base_model(backbone)
        for member in members:
            add(model, member, made[member][1])
        model.set_active_adapters(Stack(*members))
        expected = numbers(compute(model, rows(backbone)), None)
        task = {"adapter": {"stack": [f"./{member}" for member in members]}}
        record.add(backbone, f"stack_{name}", task, expected, method="Stack", library=ADAPTERS)


def flex_cases(record: Recording, backbone: str) -> None:
    """Every flexible head over one adapter; language models over an invertible one."""
    for case, options in wanted.FLEX_HEADS.items():
        head, name = options["head_type"], f"flex_{case}"
        model = base_model(backbone)
        add_head(model, name, dict(options))
        add(model, name, f"seq_bn{'_inv' * (head == 'causal_lm')}[reduction_factor=8]")
        model.active_head = name
        model.save_adapter(str(record.folder(backbone, name)), name)
        record_head(record, backbone, name, model, head)


def record_head(
    record: Recording, backbone: str, name: str, model: Any, head: str, **options: Any
) -> None:
    """A case with a head, on rows with padding tokens where the backbone has one."""
    inputs = odd_rows(backbone) if backbone in wanted.PADDED else rows(backbone)
    expected = numbers(compute(model, inputs), head)
    task = {"adapter": f"./{name}"} | ({"options": options} if options else {})
    about = {"method": "bottleneck", "head": head, "library": ADAPTERS}
    record.add(backbone, name, task, expected, inputs=inputs, **about)


def odd_rows(backbone: str) -> list[InputRow]:
    """The usual rows and some odd ones."""
    odd = wanted.ODD_ROWS.get(backbone, ())
    return [*rows(backbone), *(InputRow(ids) for ids in odd)]


def add_head(model: Any, name: str, options: dict[str, Any]) -> None:
    """Add a head as users do."""
    head, layers = options["head_type"], options["layers"]
    if head == "causal_lm" and layers > 1:
        model.add_causal_lm_head(name, layers=layers)
    elif head == "causal_lm":
        model.add_prediction_head(CausalLMHead(model, name))
    elif head == "question_answering":
        model.add_qa_head(name, layers=layers)
    elif head == "tagging":
        model.add_tagging_head(name, num_labels=3, layers=layers)
    else:
        multilabel = head != "classification"
        model.add_classification_head(name, num_labels=3, layers=layers, multilabel=multilabel)


def task_model(backbone: str, suffix: str) -> Any:
    """A filled Hugging Face task model."""
    if suffix == "ForCausalLM" and wanted.FAMILIES[backbone] == "GPT2":
        suffix = "LMHeadModel"
    labels = 2 if suffix == "ForQuestionAnswering" else 3
    model = getattr(transformers, wanted.FAMILIES[backbone] + suffix)(
        config(backbone, num_labels=labels)
    )
    inner = model if suffix == "Model" else model.get_submodule(base_path(model))
    fill_backbone(inner)
    inside = {id(parameter) for parameter in inner.parameters()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if id(parameter) not in inside:
                values = draw(name, tuple(parameter.shape), STD)
                parameter.copy_((values * STEPS).round() / STEPS)
    return model.eval()


def base_path(model: Any) -> str:
    """The attribute under which a task model keeps its base model."""
    return next(name for name in ("transformer", "model") if hasattr(model, name))


def static_cases(record: Recording, backbone: str) -> None:
    """Hugging Face task classes under `adapters`, saved with their static heads."""
    for head, suffix in wanted.STATIC_HEADS.items():
        name = f"static_{head}"
        model = task_model(backbone, suffix)
        adapters.init(model)
        add(model, name, f"seq_bn{'_inv' * (head == 'causal_lm')}[reduction_factor=8]")
        model.save_adapter(str(record.folder(backbone, name)), name)
        # Only hooked models take the inverse in front of a static language head.
        is_bare = head == "causal_lm" and backbone not in wanted.HOOKED
        options = {"mlm_inverse": False} if is_bare else {}
        record_head(record, backbone, name, model, head, **options)


def peft_cases(record: Recording, backbone: str) -> None:
    """Every PEFT checkpoint of a backbone."""
    for case, chosen in wanted.peft_cases(backbone).items():
        name, options = f"peft_{case}", dict(chosen)
        kind, task = options.pop("kind"), options.pop("task", "FEATURE_EXTRACTION")
        if backbone in wanted.PADDED and task != "SEQ_CLS":
            continue
        # The vocabulary's own matrix lies in no file of a bare backbone.
        if task == "CAUSAL_LM" and not config(backbone).tie_word_embeddings:
            continue
        suffix, head = KINDS[task]
        settings = PEFT_CONFIGS[kind](task_type=task, **options)
        model = peft.get_peft_model(task_model(backbone, suffix), settings).eval()
        biases = {"all": (".bias",), "lora_only": ("base_layer.bias",)}
        refill(model, name, TRAINED + biases.get(options.get("bias", ""), ()))
        folder = record.folder(backbone, name)
        model.save_pretrained(str(folder))
        Path(folder, "README.md").unlink(missing_ok=True)
        skipped = settings.num_virtual_tokens if kind in ("PROMPT_TUNING", "P_TUNING") else 0
        inputs = odd_rows(backbone) if backbone in wanted.PADDED else rows(backbone)
        expected = numbers(compute(model, inputs), head, skipped)
        entry = {"adapter": f"./{name}"}
        if head == "causal_lm":
            entry["kind"] = "text-generation"
        about = {"method": f"PEFT {kind.lower()}", "head": head, "library": PEFT}
        record.add(backbone, name, entry, expected, inputs=inputs, **about)


def main() -> None:
    """Write the set."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    record = Recording("decoders")
    for backbone in wanted.FAMILIES:
        adapter_cases(record, backbone)
        if backbone not in wanted.HOOKED:
            flex_cases(record, backbone)
        static_cases(record, backbone)
        peft_cases(record, backbone)
    record.write()


if __name__ == "__main__":
    main()
