"""Makes `methods/`: checkpoints as the libraries save them, and what those libraries compute.

Run from the repository root in the environment of `methods/requirements.txt`:
`PYTHONHASHSEED=0 python -m tests.goldens.make_methods`. With the argument `written` it makes
`methods/written.npz` from `methods/written.zip` (made by `python -m tests.goldens.write_methods`).
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import adapters
import numpy as np
import peft
import torch
import transformers
from adapters.composition import Stack

from tests.goldens import methods_cases as wanted
from tests.goldens.filling import draw, fill_backbone
from tests.goldens.heads.backbones import CONFIGS, FAMILIES, HAS_TYPES

HERE = Path(__file__).parent / "methods"
MADE = Path(tempfile.mkdtemp(prefix="methods-"))
LENGTHS = (9, 4, 13)
STD = 0.3
STEPS = 32
TASKS = {
    "SEQ_CLS": "ForSequenceClassification",
    "TOKEN_CLS": "ForTokenClassification",
    "QUESTION_ANS": "ForQuestionAnswering",
    "FEATURE_EXTRACTION": "Model",
}
Cases = Iterator[tuple[dict[str, Any], list[np.ndarray]]]


def rows(model_type: str) -> list[dict[str, torch.Tensor]]:
    """The inputs: rows of different lengths, each run alone and unpadded."""
    inputs = []
    for length in LENGTHS:
        ids = (draw(f"row {length}", (length,), 1000.0).abs().long() % 90) + 5
        row = {"input_ids": ids.unsqueeze(0)}
        if model_type in HAS_TYPES:
            row["token_type_ids"] = (torch.arange(length) >= length // 2).long().unsqueeze(0)
        inputs.append(row)
    return inputs


@torch.no_grad()
def compute(model: Any, model_type: str, **options: Any) -> list[Any]:
    """The model's output for each row."""
    return [model(**row, return_dict=True, **options) for row in rows(model_type)]


def arrays(outputs: list[Any], name: str) -> list[np.ndarray]:
    """One member of each output, without the batch dimension."""
    return [output[name][0].numpy() for output in outputs]


def refill(model: Any, case: str, names: list[str]) -> None:
    """Fill an adapter's parameters from its case's and their names; multipliers lie around 1."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in names):
                is_factor = "norm" in name or "ia3" in f"{case} {name}" or "scaling" in name
                mean = 1.0 if is_factor and not name.endswith("bias") else 0.0
                values = draw(f"{case} {name}", tuple(parameter.shape), STD, mean)
                # Few digits, so that the archives stay small.
                parameter.copy_((values * STEPS).round() / STEPS)


def flex_model(model_type: str) -> Any:
    """A filled flexible model of the `adapters` library."""
    config = transformers.AutoConfig.for_model(model_type, **CONFIGS[model_type])
    model = adapters.AutoAdapterModel.from_config(config)
    fill_backbone(model.base_model)
    return model.eval()


def adapter_cases(model_type: str) -> Cases:
    """Every single adapter of an architecture."""
    cases = dict(wanted.EVERYWHERE)
    if model_type == "bert":
        cases |= wanted.ON_BERT
    for name, config in cases.items():
        model = flex_model(model_type)
        config = config if isinstance(config, str) else adapters.BnConfig(**config)
        model.add_adapter(name, config=config)
        refill(model, name, [f".{name}."])
        model.set_active_adapters(name)
        folder = MADE / model_type / name
        folder.mkdir(parents=True)
        model.save_adapter(str(folder), name, with_head=False)
        shrink_config(folder)
        expected = arrays(compute(model, model_type), "last_hidden_state")
        yield {"name": name, "folder": f"{model_type}/{name}"}, expected


def shrink_config(folder: Path) -> None:
    """Nothing of a head belongs into these folders."""
    for path in folder.glob("*head*"):
        path.unlink()


def stack_cases() -> Cases:
    """Stacks of adapters that were saved before."""
    for name, members in wanted.STACKS.items():
        model = flex_model("bert")
        for member in members:
            model.load_adapter(str(MADE / "bert" / member), with_head=False)
        model.set_active_adapters(Stack(*members))
        expected = arrays(compute(model, "bert"), "last_hidden_state")
        folders = [f"bert/{member}" for member in members]
        yield {"name": f"stack_{name}", "stack": folders}, expected


def legacy_cases() -> Cases:
    """Folders edited by hand into what older versions wrote, read by today's library."""
    for name, (source, edit, renames, options) in wanted.LEGACY.items():
        folder = MADE / "bert" / name
        shutil.copytree(MADE / "bert" / source, folder)
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text())
        edit(config)
        path.write_text(json.dumps(config, indent=2, sort_keys=True))
        weights = folder / "pytorch_adapter.bin"
        tensors = torch.load(weights, weights_only=True)
        torch.save(
            {rename(key, renames): value for key, value in tensors.items()},
            weights,
            _use_new_zipfile_serialization=name != "legacy_first_format",
        )
        model = flex_model("bert")
        loaded = model.load_adapter(str(folder), with_head=False, set_active=True)
        model.set_active_adapters(loaded)
        entry = {"name": name, "folder": f"bert/{name}", "options": options}
        yield entry, arrays(compute(model, "bert"), "last_hidden_state")


def rename(key: str, renames: dict[str, str]) -> str:
    """A tensor's older name."""
    for new, old in renames.items():
        key = key.replace(new, old)
    return key


def peft_cases(model_type: str) -> Cases:
    """Every PEFT checkpoint of an architecture."""
    for name, chosen in wanted.peft_cases(model_type).items():
        options = dict(chosen)
        task = options.pop("task", "FEATURE_EXTRACTION")
        make = peft.IA3Config if options.pop("kind", "LORA") == "IA3" else peft.LoraConfig
        labels = 2 if task == "QUESTION_ANS" else 3
        config = transformers.AutoConfig.for_model(
            model_type, **CONFIGS[model_type], num_labels=labels
        )
        base = getattr(transformers, FAMILIES[model_type] + TASKS[task])(config)
        fill_backbone(base.base_model)
        model = peft.get_peft_model(base.eval(), make(task_type=task, **options)).eval()
        names = ["lora_", "ia3_", "modules_to_save"]
        refill(model, name, [*names, ".bias"] if options.get("bias") == "all" else names)
        if options.get("bias") == "lora_only":
            refill(model, name, ["base_layer.bias"])
        folder = MADE / model_type / f"peft_{name}"
        model.save_pretrained(str(folder))
        (folder / "README.md").unlink()
        entry = {"name": f"peft_{name}", "folder": f"{model_type}/peft_{name}"}
        yield from _peft_outputs(model, model_type, task, entry)


def _peft_outputs(model: Any, model_type: str, task: str, entry: dict[str, Any]) -> Cases:
    if task == "FEATURE_EXTRACTION":
        yield entry, arrays(compute(model, model_type), "last_hidden_state")
        return
    # PEFT's own answering model drops token types; the model that it wraps does not.
    outputs = compute(model.base_model, model_type, output_hidden_states=True)
    entry["task"] = task
    for output in outputs:
        if task == "QUESTION_ANS":
            output["logits"] = torch.stack([output.start_logits, output.end_logits], -1)
        output["last_hidden_state"] = output.hidden_states[-1]
    expected = arrays(outputs, "last_hidden_state")
    yield entry, expected + arrays(outputs, "logits")


def make(model_type: str) -> Cases:
    """All cases of an architecture, in order."""
    if model_type != "mpnet":
        yield from adapter_cases(model_type)
    if model_type == "bert":
        yield from stack_cases()
        yield from legacy_cases()
    yield from peft_cases(model_type)


def pack(model_type: str) -> None:
    """Put an architecture's folders into one archive whose bytes depend on the content only.

    Only `legacy_first_format` differs from run to run: torch wrote addresses into that format.
    """
    path = HERE / f"{model_type}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted((MADE / model_type).rglob("*.*")):
            entry = zipfile.ZipInfo(str(file.relative_to(MADE)))
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    shutil.rmtree(MADE / model_type)


def load_written() -> None:
    """Compute `written.npz` from what Polyhead saved, through the library's own loading."""
    with zipfile.ZipFile(HERE / "written.zip") as archive:
        archive.extractall(MADE)
    stored = {}
    for folder in sorted(MADE.glob("*/*/")):
        model_type = folder.parent.name
        model = flex_model(model_type)
        info: dict[str, Any] = {}
        loaded = model.load_adapter(str(folder), with_head=False, loading_info=info)
        assert not [*info["missing_keys"], *info["unexpected_keys"]], info
        model.set_active_adapters(loaded)
        states = arrays(compute(model, model_type), "last_hidden_state")
        name = f"{model_type}/{folder.name}"
        stored |= {f"{name}/hidden{index}": value for index, value in enumerate(states)}
    np.savez_compressed(HERE / "written.npz", **stored)


def main() -> None:
    """Write `MODEL_TYPE.zip` with the checkpoints, `MODEL_TYPE.npz` and `cases.json`."""
    torch.set_num_threads(1)
    manifest: dict[str, Any] = {}
    for model_type in wanted.PEFT_LINEARS:
        entries, stored = [], {}
        for entry, expected in make(model_type):
            half = len(LENGTHS)
            for kind, values in (("hidden", expected[:half]), ("logits", expected[half:])):
                stored |= {f"{entry['name']}/{kind}{i}": value for i, value in enumerate(values)}
            entries.append(entry)
        inputs = {
            f"{key}{i}": value[0].numpy().astype(np.int32)
            for i, row in enumerate(rows(model_type))
            for key, value in row.items()
        }
        np.savez_compressed(HERE / f"{model_type}.npz", **inputs, **stored)
        manifest[model_type] = entries
        pack(model_type)
    (HERE / "cases.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    load_written() if sys.argv[1:] == ["written"] else main()
