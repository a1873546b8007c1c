"""Makes the golden set `heads`: every head type on every architecture, as `adapters` computes it.

Run from the repository root in an environment with `adapters` 1.3.0:
`python -m tests.goldens.make_heads3`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import adapters
import peft
import torch
import transformers
from adapters.methods.lora import LoRAMergedLinear
from torch import Tensor

from tests.goldens.filling import draw, fill_backbone
from tests.goldens.heads_cases import (
    FLEX,
    INVERTIBLE,
    LABELS,
    PEFT_LANGUAGE,
    PEFT_TASKS,
    TASK_CLASSES,
    flex_cases,
    static_cases,
)
from tests.goldens.models import MODELS, InputRow, rows
from tests.goldens.recording import Recording

LIBRARY, PEFT = "adapters 1.3.0", "peft 0.21.2"
Expected = dict[str, list[Any]]


def config_of(name: str, **more: Any) -> Any:
    """A golden backbone's configuration."""
    model = MODELS[name]
    return transformers.AutoConfig.for_model(model.model_type, **{**model.config, **more})


def fill_base(base: Any, name: str) -> None:
    """The backbone by its own names.

    The library gives merged projections a bias that these backbones do not have and that nothing
    saves; its `from_pretrained` makes it zero.
    """
    fill_backbone(base)
    model = MODELS[name]
    if model.model_type not in ("deberta", "modernbert") or "attention_bias" in model.config:
        return
    with torch.no_grad():
        for module in base.modules():
            if isinstance(module, LoRAMergedLinear):
                module.bias.zero_()


def fill_head(parameters: Sequence[tuple[str, Tensor]], base: torch.nn.Module) -> None:
    """Fill what is no part of the base model; a tied decoder keeps its embeddings."""
    shared = {parameter.data_ptr() for parameter in base.parameters()}
    with torch.no_grad():
        for name, parameter in parameters:
            if parameter.data_ptr() not in shared:
                values = draw(name, tuple(parameter.shape), 0.3) * 32
                parameter.copy_(values.round() / 32)


def flex_model(name: str, add: Callable[[Any], None], **more: Any) -> Any:
    """A flexible model with one head, all of it filled by name."""
    family = FLEX[MODELS[name].model_type]
    model = getattr(adapters, f"{family}AdapterModel")(config_of(name, **more))
    fill_base(model.base_model, name)
    add(model)
    fill_head(list(model.heads.named_parameters(prefix="heads")), model.base_model)
    return model.eval()


def run(model: Any, row: InputRow, head_type: str) -> dict[str, Any]:
    """What a model answers for one row, by raw member."""
    inputs: dict[str, Any] = {"input_ids": torch.tensor([row.input_ids])}
    if row.type_ids is not None:
        inputs["token_type_ids"] = torch.tensor([row.type_ids])
    if row.word_starts is not None:
        inputs["word_starts"] = torch.tensor([row.word_starts])
    if head_type == "multiple_choice":
        inputs = {key: value.unsqueeze(1) for key, value in inputs.items()}
    if head_type == "seq2seq_lm" and hasattr(model, "_shift_right"):
        inputs["decoder_input_ids"] = model._shift_right(inputs["input_ids"])
    with torch.no_grad():
        output = model(**inputs, return_dict=True)
    if head_type == "question_answering":
        return {"start": output.start_logits[0], "end": output.end_logits[0]}
    if head_type == "dependency_parsing":
        return {"arcs": output.arc_preds[0], "rels": output.rel_preds[0]}
    return {"logits": output.logits[0]}


def expected(
    model: Any, name: str, head_type: str, inputs: Sequence[InputRow] | None = None
) -> Expected:
    """The answers for every row, each run alone."""
    found = [run(model, row, head_type) for row in inputs or rows(name)]
    return {member: [answer[member].numpy() for answer in found] for member in found[0]}


def add_head(head_type: str, settings: dict[str, Any]) -> Callable[[Any], None]:
    """Adds a head from its own configuration, so that every key may be given."""

    def add(model: Any) -> None:
        model.add_prediction_head_from_config("task", {"head_type": head_type, **settings})

    return add


def flex(made: Recording, name: str, case: str, head_type: str, **settings: Any) -> None:
    """A flexible head of one type."""
    more = {"tie_word_embeddings": False} if settings.pop("private", False) else {}
    model = flex_model(name, add_head(head_type, settings), **more)
    folder = made.folder(name, case)
    model.save_head(str(folder), "task")
    inputs = parsed_rows(name) if head_type == "dependency_parsing" else None
    made.add(
        name,
        case,
        {"head": case},
        expected(model, name, head_type, inputs),
        head=head_type,
        inputs=inputs,
        library=LIBRARY,
    )


def parsed_rows(name: str) -> list[InputRow]:
    """The rows with words of one to three tokens between the first and the last token."""
    found = []
    for row in rows(name):
        starts, place = [], 1
        while place < len(row.input_ids) - 1:
            starts.append(place)
            place += 1 + place % 3
        found.append(row._replace(word_starts=(*starts, len(row.input_ids) - 1)))
    return found


def static(made: Recording, name: str, suffix: str, head_type: str) -> None:
    """A Hugging Face task class under `adapters`, saved as a static head."""
    by_label = {label: number for number, label in LABELS.items()}
    is_labelled = head_type in ("classification", "tagging")
    labels = {"id2label": LABELS, "label2id": by_label} if is_labelled else {}
    family = TASK_CLASSES[MODELS[name].model_type]
    class_name = f"{family}{suffix}"
    if not hasattr(transformers, class_name):
        return
    model = getattr(transformers, class_name)(config_of(name, **labels))
    base = getattr(model, model.base_model_prefix, model)
    inner = base if base is not model else getattr(model, "transformer", model)
    # The library replaces merged projections by its own, with weights of their own.
    adapters.init(model)
    fill_base(inner, name)
    model.tie_weights()
    fill_head([one for one in model.named_parameters() if not in_base(one[1], inner)], inner)
    model.eval()
    folder = made.folder(name, class_name)
    model.save_head(str(folder))
    answers = expected(model, name, head_type)
    made.add(name, class_name, {"head": class_name}, answers, head=head_type, library=LIBRARY)


def in_base(parameter: Tensor, base: torch.nn.Module) -> bool:
    """Whether a parameter is the base model's."""
    return any(parameter is one for one in base.parameters())


def inverse(made: Recording, name: str) -> None:
    """A language adapter's invertible block around masked words."""
    case = "inverse"
    model = flex_model(
        name, lambda one: one.add_adapter("task", config="seq_bn_inv[reduction_factor=8]")
    )
    model.add_masked_lm_head("task")
    model.set_active_adapters("task")
    fill_head(list(model.heads.named_parameters(prefix="heads")), model.base_model)
    fill_adapter(model)
    folder = made.folder(name, case)
    model.save_adapter(str(folder), "task")
    task = {"adapter": case}
    answers = expected(model.eval(), name, "masked_lm")
    made.add(name, case, task, answers, method="invertible", head="masked_lm", library=LIBRARY)


def static_inverse(made: Recording, name: str) -> None:
    """The same in a task class, which does without the inverse since version 0.1."""
    case = "inverse-static"
    class_name = f"{FLEX[MODELS[name].model_type]}ForMaskedLM"
    model = getattr(transformers, class_name)(config_of(name))
    adapters.init(model)
    model.add_adapter("task", config="seq_bn_inv[reduction_factor=8]")
    fill_base(model.base_model, name)
    model.tie_weights()
    parameters = [one for one in model.named_parameters() if not in_base(one[1], model.base_model)]
    fill_head(parameters, model.base_model)
    fill_adapter(model)
    model.set_active_adapters("task")
    model.eval().save_adapter(str(made.folder(name, case)), "task")
    task = {"adapter": case, "options": {"mlm_inverse": False}}
    answers = expected(model, name, "masked_lm")
    made.add(name, case, task, answers, method="invertible", head="masked_lm", library=LIBRARY)


def fill_adapter(model: Any) -> None:
    """Adapter weights by name."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if ".task." in key and not key.startswith("heads."):
                parameter.copy_((draw(key, tuple(parameter.shape), 0.3) * 32).round() / 32)


def peft_language(made: Recording, name: str, suffix: str, task: str, **lora: Any) -> None:
    """A PEFT LoRA on a language model: its logits are those of the model's own vocabulary."""
    family, head_type = FLEX[MODELS[name].model_type], PEFT_TASKS[task]
    model = getattr(transformers, f"{family}{suffix}")(config_of(name))
    fill_backbone(model.base_model if name != "t5" else model)
    model.tie_weights()
    wrapped = peft.get_peft_model(model, peft.LoraConfig(task_type=task, r=4, **lora))
    with torch.no_grad():
        for key, parameter in wrapped.named_parameters():
            if "lora_" in key or "modules_to_save" in key:
                parameter.copy_((draw(key, tuple(parameter.shape), 0.3) * 32).round() / 32)
    wrapped.eval()
    case = f"peft-{'saved' if 'modules_to_save' in lora else 'tied'}"
    wrapped.save_pretrained(str(made.folder(name, case)))
    answers = expected(wrapped.base_model.model, name, head_type)
    made.add(name, case, {"adapter": case}, answers, method="lora", head=head_type, library=PEFT)


def make() -> None:
    """The whole set."""
    torch.set_num_threads(1)
    made = Recording("heads")
    for name, model in MODELS.items():
        for case, head_type, settings in flex_cases(name, model.model_type):
            flex(made, name, case, head_type, **settings)
        for suffix, head_type in static_cases(name, model.model_type).items():
            static(made, name, suffix, head_type)
    for name in INVERTIBLE:
        inverse(made, name)
    for name in ("bert", "roberta"):
        static_inverse(made, name)
    for name, suffix, task, lora in PEFT_LANGUAGE:
        peft_language(made, name, suffix, task, **lora)
    made.write()


if __name__ == "__main__":
    make()
