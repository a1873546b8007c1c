"""Makes `sets/virtual/`: prefixes, prompts, P-tuning and invertible adapters, with some heads.

Run from the repository root in the environment of `methods/requirements.txt`:
`python -m tests.goldens.make_virtual`. With a folder that `write_virtual` wrote it makes
`sets/virtual_written/` instead: what the library computes for checkpoints that Polyhead saved.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import adapters
import numpy as np
import peft
import torch
import transformers
from adapters.composition import Stack

from tests.goldens.filling import draw, fill_backbone
from tests.goldens.models import MODELS, InputRow, rows
from tests.goldens.recording import Recording
from tests.goldens.virtual_cases import (
    CONFIGS,
    FAMILIES,
    HEADED,
    HEADS,
    MASKED,
    STACKS,
    TASKS,
    peft_configs,
)

STD, STEPS = 0.3, 32
ADAPTERS, PEFT = f"adapters {adapters.__version__}", f"peft {peft.__version__}"


def batch(row: InputRow) -> dict[str, torch.Tensor]:
    """A row as the libraries take it: alone and unpadded."""
    ids = torch.tensor([row.input_ids])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if row.type_ids is not None:
        inputs["token_type_ids"] = torch.tensor([row.type_ids])
    return inputs


def refill(model: Any, case: str, names: Sequence[str]) -> None:
    """Fill parameters from their case's and their own names, with few digits."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in names):
                mean = 1.0 if name.endswith("norm.weight") else 0.0
                values = draw(f"{case} {name}", tuple(parameter.shape), STD, mean)
                parameter.copy_((values * STEPS).round() / STEPS)


def with_pads(name: str) -> list[InputRow]:
    """The rows with a padding token among their own."""
    pad = 1
    return [
        row._replace(input_ids=(*row.input_ids[:2], pad, *row.input_ids[3:])) for row in rows(name)
    ]


class Virtual:
    """Where a row's virtual tokens lie in what a library returns."""

    def __init__(self, place: int = 0, count: int = 0) -> None:
        self.place, self.count = place, count

    def cut(self, values: torch.Tensor) -> np.ndarray:
        """A row's values without its virtual tokens. Shape: `[1, tokens, …]`."""
        stop = self.place + self.count
        return torch.cat([values[0, : self.place], values[0, stop:]]).numpy()


def virtual_of(config: Any) -> Virtual:
    """The virtual tokens of an AdapterHub configuration, which may be a union."""
    for child in getattr(config, "configs", [config]):
        if isinstance(child, adapters.PromptTuningConfig):
            return Virtual(int(child.combine == "prefix_after_bos"), child.prompt_length)
    return Virtual()


def answer(output: Any, virtual: Virtual) -> dict[str, np.ndarray]:
    """The `--raw` members of one row's output."""
    if "start_logits" in output:
        return {kind: virtual.cut(output[f"{kind}_logits"]) for kind in ("start", "end")}
    if "logits" not in output:
        return {"hidden": virtual.cut(output["last_hidden_state"])}
    logits = output["logits"]
    return {"logits": virtual.cut(logits) if logits.ndim == 3 else logits[0].numpy()}


@torch.no_grad()
def answers(
    model: Any, inputs: Sequence[InputRow], virtual: Virtual, **options: Any
) -> Mapping[str, list[Any]]:
    """What a library computes, member by member."""
    found = [answer(model(**batch(row), **options, return_dict=True), virtual) for row in inputs]
    return {member: [row[member] for row in found] for member in found[0]}


def flex_model(backbone: str) -> Any:
    """A filled flexible model of the `adapters` library."""
    made = MODELS[backbone]
    config = transformers.AutoConfig.for_model(made.model_type, **made.config)
    model = adapters.AutoAdapterModel.from_config(config)
    fill_backbone(model.base_model)
    return model.eval()


def adapter_case(made: Recording, backbone: str, name: str) -> None:
    """One adapter without a head."""
    method, config = CONFIGS[name]
    model = flex_model(backbone)
    model.add_adapter(name, config=config)
    refill(model, name, [f".{name}."])
    model.set_active_adapters(name)
    model.save_adapter(str(made.folder(backbone, name)), name, with_head=False)
    expected = answers(model, rows(backbone), virtual_of(config))
    made.add(backbone, name, {"adapter": name}, expected, method=method, library=ADAPTERS)


def padded_case(made: Recording, backbone: str, name: str) -> None:
    """The same adapter over rows with a padding token."""
    config = CONFIGS[name][1]
    model = flex_model(backbone)
    model.add_adapter(name, config=config)
    refill(model, name, [f".{name}."])
    model.set_active_adapters(name)
    inputs = with_pads(backbone)
    expected = answers(model, inputs, virtual_of(config))
    task = {"adapter": name}
    method = f"{name} tuning"
    made.add(
        backbone, f"{name}_pads", task, expected, method=method, inputs=inputs, library=ADAPTERS
    )


def stack_case(made: Recording, backbone: str, name: str) -> None:
    """A Stack of adapters that were made before."""
    members = STACKS[name]
    model = flex_model(backbone)
    for member in members:
        model.add_adapter(member, config=CONFIGS[member][1])
        refill(model, member, [f".{member}."])
    model.set_active_adapters(Stack(*members))
    expected = answers(model, rows(backbone), virtual_of(CONFIGS[members[0]][1]))
    task = {"adapter": {"stack": list(members)}}
    made.add(backbone, f"stack_{name}", task, expected, method="stack", library=ADAPTERS)


def head_case(made: Recording, backbone: str, name: str, kind: str) -> None:
    """An adapter with a flexible head of its own name."""
    case = f"{name}_{kind}"
    method, config = CONFIGS[name]
    model = flex_model(backbone)
    model.add_adapter(case, config=config)
    options = {"num_labels": HEADS[kind]} if kind in HEADS else {}
    add = {"question_answering": "add_qa_head"}.get(kind, f"add_{kind}_head")
    getattr(model, add)(case, **options)
    refill(model, case, [f".{case}."])
    model.set_active_adapters(case)
    model.save_adapter(str(made.folder(backbone, case)), case)
    expected = answers(model, rows(backbone), virtual_of(config))
    made.add(
        backbone, case, {"adapter": case}, expected, method=method, head=kind, library=ADAPTERS
    )


def peft_model(backbone: str, name: str, task_type: str) -> Any:
    """A filled PEFT model."""
    made, (_, make, options) = MODELS[backbone], peft_configs(backbone)[name]
    num_labels = 2 if task_type == "QUESTION_ANS" else 3
    config = transformers.AutoConfig.for_model(
        made.model_type, **made.config, num_labels=num_labels
    )
    base = getattr(transformers, FAMILIES[backbone] + TASKS[task_type][0])(config)
    fill_backbone(base.base_model)
    model = peft.get_peft_model(base.eval(), make(task_type=task_type, **options)).eval()
    refill(model, f"{name} {task_type}", ["prompt_encoder", "modules_to_save"])
    return model


def peft_case(
    made: Recording,
    backbone: str,
    name: str,
    task_type: str,
    inputs: Sequence[InputRow] | None = None,
) -> None:
    """One PEFT checkpoint, with the head of its task."""
    method = peft_configs(backbone)[name][0]
    model = peft_model(backbone, name, task_type)
    case = f"peft_{name}_{task_type.lower()}" + ("_pads" if inputs else "")
    folder = made.folder(backbone, case)
    model.save_pretrained(str(folder))
    (folder / "README.md").unlink()
    virtual = Virtual() if name.startswith("prefix") else Virtual(0, 3)
    if task_type == "QUESTION_ANS":
        # PEFT hands no token types on, and so our encoding makes none.
        inputs = [row._replace(type_ids=None) for row in rows(backbone)]
    chosen = {"task_ids": torch.tensor([0])} if name == "multitask" else {}
    expected = answers(model, inputs or rows(backbone), virtual, **chosen)
    head = TASKS[task_type][1]
    options = {"method": method, "head": head, "inputs": inputs, "library": PEFT}
    made.add(backbone, case, {"adapter": case}, expected, **options)


def make_backbone(made: Recording, backbone: str) -> None:
    """Every case of one backbone."""
    has_pads = "pad_token_id" in MODELS[backbone].config
    if backbone != "mpnet":
        adapter_cases(made, backbone, has_pads=has_pads)
    for name in peft_configs(backbone):
        for task_type in TASKS:
            if is_run_by_peft(backbone, name, task_type):
                peft_case(made, backbone, name, task_type)
        if has_pads and name in ("prompt", "prefix"):
            peft_case(made, backbone, name, "FEATURE_EXTRACTION", with_pads(backbone))


def is_run_by_peft(backbone: str, name: str, task_type: str) -> bool:
    """Whether PEFT can run what it saves."""
    if name == "multitask":
        return task_type == "SEQ_CLS"  # The others do not hand the task's number on.
    # PEFT takes the second output for a pooled one: off BERT it is the keys and values.
    return backbone == "bert" or not (name.startswith("prefix") and task_type == "SEQ_CLS")


def adapter_cases(made: Recording, backbone: str, *, has_pads: bool) -> None:
    """Every case of the `adapters` library."""
    for name in CONFIGS:
        adapter_case(made, backbone, name)
    for name in STACKS:
        stack_case(made, backbone, name)
    for name in HEADED if backbone == "bert" else ("prompt",):
        for kind in HEADS:
            head_case(made, backbone, name, kind)
    for name in MASKED if backbone in ("bert", "electra") else ():
        head_case(made, backbone, name, "masked_lm")
    for name in ("prompt", "prefix") if has_pads else ():
        padded_case(made, backbone, name)


def written_case(made: Recording, backbone: str, written: Path) -> None:
    """A checkpoint that Polyhead saved, through the library's own loading."""
    name, info = written.name, {}
    folder = made.folder(backbone, name)
    shutil.copytree(written, folder, dirs_exist_ok=True)
    model = flex_model(backbone)
    model.load_adapter(str(folder), with_head=False, loading_info=info, set_active=True)
    assert not [*info["missing_keys"], *info["unexpected_keys"]], info
    expected = answers(model, rows(backbone), virtual_of(model.adapters_config.get(name)))
    made.add(backbone, name, {"adapter": name}, expected, method="written", library=ADAPTERS)


def main() -> None:
    """Write the set."""
    torch.set_num_threads(1)
    if sys.argv[1:]:
        made = Recording("virtual_written")
        for written in sorted(Path(sys.argv[1]).glob("*/*")):
            written_case(made, written.parent.name, written)
    else:
        made = Recording("virtual")
        for backbone in FAMILIES:
            make_backbone(made, backbone)
    made.write()


if __name__ == "__main__":
    main()
