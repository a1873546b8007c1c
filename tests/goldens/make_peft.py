"""Makes `sets/peft/`: PEFT checkpoints as PEFT saves them, and what PEFT computes.

Run from the repository root in an environment with peft 0.21.2, transformers 4.57.6 and torch
2.13: `PYTHONHASHSEED=0 python -m tests.goldens.make_peft`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import peft
import torch
import transformers

from tests.goldens.filling import draw, fill_backbone
from tests.goldens.models import MODELS, InputRow, rows
from tests.goldens.peft_cases import Case, cases_of, edits
from tests.goldens.recording import Recording

STD = 0.3
STEPS = 32
LIBRARY = f"peft {peft.__version__}"
TASKS = {
    "SEQ_CLS": ("AutoModelForSequenceClassification", "classification"),
    "TOKEN_CLS": ("AutoModelForTokenClassification", "tagging"),
    "QUESTION_ANS": ("AutoModelForQuestionAnswering", "question_answering"),
    "FEATURE_EXTRACTION": ("AutoModel", None),
}
FACTORS = ("norm", "ia3_l", "magnitude", "lora_E", "vera_lambda")


def base_model(backbone: str, case: Case) -> Any:
    """The case's task model, its base filled."""
    model = MODELS[backbone]
    labels = 2 if case.task == "QUESTION_ANS" else 3
    config = transformers.AutoConfig.for_model(model.model_type, **model.config, num_labels=labels)
    base = getattr(transformers, TASKS[case.task][0]).from_config(config)
    fill_backbone(base.base_model)
    return base.eval()


def wrapped(backbone: str, case: Case) -> Any:
    """The task model under the case's PEFT method, its weights drawn."""
    made = peft.get_peft_model(base_model(backbone, case), config_of(case)).eval()
    refill(made, case.name)
    return made


def config_of(case: Case) -> Any:
    """The case's PEFT configuration."""
    make = peft.PEFT_TYPE_TO_CONFIG_MAPPING[case.kind]
    return make(task_type=None if case.is_untyped else case.task, **case.options)


def refill(model: Any, case: str) -> None:
    """Fill whatever would be trained from its case's and its name; factors lie around 1."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                is_factor = any(word in name.lower() for word in FACTORS)
                mean = 1.0 if is_factor and not name.endswith("bias") else 0.0
                values = draw(f"{case} {name}", tuple(parameter.shape), STD, mean)
                # Few digits, so that the archives stay small.
                parameter.copy_((values * STEPS).round() / STEPS)


@torch.no_grad()
def compute(model: Any, row: InputRow) -> Any:
    """The model's output for one row, alone and unpadded."""
    inputs = {"input_ids": torch.tensor([row.input_ids])}
    if row.type_ids is not None:
        inputs["token_type_ids"] = torch.tensor([row.type_ids])
    return model(**inputs, return_dict=True)


def expected(model: Any, task: str, inputs: list[InputRow]) -> Mapping[str, list[Any]]:
    """The raw members of a task type, row by row."""
    outputs = [compute(model, row) for row in inputs]
    members = {"logits": "logits"}
    if task == "QUESTION_ANS":
        members = {"start": "start_logits", "end": "end_logits"}
    if task == "FEATURE_EXTRACTION":
        members = {"hidden": "last_hidden_state"}
    return {ours: [out[theirs][0].numpy() for out in outputs] for ours, theirs in members.items()}


def save(model: Any, folder: Path, case: Case) -> None:
    """Save as PEFT does, then edit the configuration as the case wants it."""
    if case.dtype is not None:
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(getattr(torch, case.dtype))
    model.save_pretrained(str(folder), safe_serialization=not case.is_pickled)
    (folder / "README.md").unlink(missing_ok=True)
    if case.edit is not None:
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text())
        edits[case.edit](config)
        path.write_text(json.dumps(config, indent=2, sort_keys=True))


def record(recording: Recording, backbone: str, case: Case) -> None:
    """Save one case and what PEFT computes from the files."""
    folder = recording.folder(backbone, case.name)
    save(wrapped(backbone, case), folder, case)
    # PEFT's answering model does not hand token types on; we do not read them then.
    inputs = [row._replace(type_ids=None) for row in rows(backbone)]
    inputs = inputs if case.task == "QUESTION_ANS" else rows(backbone)
    loaded = peft.PeftModel.from_pretrained(base_model(backbone, case), str(folder)).eval()
    numbers = expected(loaded, case.task, inputs)
    recording.add(
        backbone,
        case.name,
        {"adapter": case.name},
        numbers,
        method=case.method,
        head=TASKS[case.task][1],
        inputs=inputs if case.task == "QUESTION_ANS" else None,
        library=LIBRARY,
    )


def every() -> Iterator[tuple[str, Case]]:
    """All cases of all backbones that this set covers."""
    for backbone in ("bert", "roberta", "xlm-roberta", "electra", "distilbert", "mpnet"):
        for case in cases_of(backbone):
            yield backbone, case


def main() -> None:
    """Write the set."""
    torch.set_num_threads(1)
    recording = Recording("peft")
    for backbone, case in every():
        record(recording, backbone, case)
    recording.write()


if __name__ == "__main__":
    main()
