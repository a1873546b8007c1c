"""Makes `sets/hub_methods`: what the `adapters` library saves for its methods, and computes.

Run from the repository root, in an environment with `adapters` 1.3.0:
`PYTHONHASHSEED=0 python -m tests.goldens.make_hub_methods`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import adapters
import torch
import transformers
from adapters.composition import Stack
from adapters.methods.lora import LoRALinear, LoRAMergedLinear

from tests.goldens import hub_methods_cases as wanted
from tests.goldens.filling import draw, fill_backbone
from tests.goldens.models import MODELS, rows
from tests.goldens.recording import Recording

LIBRARY = "adapters 1.3.0"
STD = 0.3
STEPS = 32
OTHERS = ("roberta", "distilbert", "electra")
FACTORS = ("norm", "scaling", ".m.weight", "lora_B")
BIASLESS = ("deberta", "modernbert")
HOMES: dict[str, Path] = {}
"""Where the adapters of BERT lie, by case."""


def flex_model(backbone: str) -> Any:
    """A filled flexible model of the `adapters` library."""
    model = MODELS[backbone]
    config = transformers.AutoConfig.for_model(model.model_type, **model.config)
    if backbone == "modernbert":
        flex: Any = transformers.ModernBertModel(config)
        adapters.init(flex)
    else:
        flex = adapters.AutoAdapterModel.from_config(config)
    fill_backbone(flex.base_model)
    if backbone in BIASLESS:
        clear_biases(flex)
    return flex.eval()


def clear_biases(model: Any) -> None:
    """Without the biases that only the library's merged projections have; its loading does so."""
    for module in model.modules():
        if isinstance(module, LoRAMergedLinear):
            module.bias.data.zero_()


@torch.no_grad()
def states(model: Any, backbone: str) -> list[Any]:
    """The final states of each input row, run alone and unpadded."""
    found = []
    for row in rows(backbone):
        inputs = {"input_ids": torch.tensor([row.input_ids])}
        if row.type_ids is not None:
            inputs["token_type_ids"] = torch.tensor([row.type_ids])
        found.append(model(**inputs, return_dict=True).last_hidden_state[0].numpy())
    return found


@torch.no_grad()
def refill(model: Any, name: str, *, is_scaling: bool) -> None:
    """Fill an adapter's parameters from their names; multipliers lie around 1."""
    for path, parameter in model.named_parameters():
        if f".{name}." in path:
            is_factor = any(part in path for part in FACTORS[: 4 if is_scaling else 3])
            mean = 1.0 if is_factor and not path.endswith("bias") else 0.0
            values = draw(path.replace(name, "N"), tuple(parameter.shape), STD, mean)
            values = (values * STEPS).round() / STEPS
            # The diagonal of a Householder parametrisation is 1 or -1 and is never trained.
            is_kept = "parametrizations" in path
            parameter.copy_(parameter + values.fill_diagonal_(0.0) if is_kept else values)


def added(backbone: str, name: str, config: str) -> Any:
    """A model with one refilled adapter, active."""
    torch.manual_seed(0)
    model = flex_model(backbone)
    model.add_adapter(name, config=adapters.AdapterConfig.load(config))
    refill(model, name, is_scaling="ia3" in config and "lora" not in config)
    model.set_active_adapters(name)
    return model


def save(model: Any, name: str, folder: Path) -> None:
    """The adapter without a head, as the library saves it."""
    model.save_adapter(str(folder), name, with_head=False)


def single_cases(made: Recording, backbone: str, cases: dict[str, tuple[str, str]]) -> None:
    """One adapter each."""
    for name, (method, config) in cases.items():
        model = added(backbone, name, config)
        home = made.folder(backbone, name)
        save(model, name, home)
        if backbone in ("bert", "gpt2"):
            HOMES[name] = home
        task: dict[str, Any] = {"adapter": name}
        if method == "direft":
            task["options"] = {"reft_subtract_projection": False}
        expected = {"hidden": states(model, backbone)}
        made.add(backbone, name, task, expected, method=method, library=LIBRARY)


def stack_cases(made: Recording) -> None:
    """Stacks of adapters that were saved before."""
    for name, members in wanted.STACKS.items():
        model = flex_model("bert")
        for member in members:
            model.load_adapter(str(HOMES[member]), with_head=False)
        model.set_active_adapters(Stack(*members))
        expected = {"hidden": states(model, "bert")}
        task = {"adapter": {"stack": list(members)}}
        made.add("bert", f"stack_{name}", task, expected, method="stack", library=LIBRARY)


def reloaded_cases(made: Recording) -> None:
    """What the library computes from a file that does not say that it is DiReFT."""
    model = flex_model("bert")
    name = model.load_adapter(str(HOMES["direft"]), with_head=False)
    model.set_active_adapters(name)
    task = {"adapter": "direft"}
    expected = {"hidden": states(model, "bert")}
    made.add("bert", "direft_reloaded", task, expected, method="noreft", library=LIBRARY)


def legacy_cases(made: Recording) -> None:
    """Folders edited by hand into what older versions wrote, read by today's library."""
    for name, (source, edit, renames, options) in wanted.LEGACY.items():
        folder = made.folder("bert", name)
        if source in wanted.SOURCES:
            save(added("bert", source, wanted.SOURCES[source]), source, folder)
        else:
            shutil.copytree(HOMES[source], folder, dirs_exist_ok=True)
        rewrite(folder, edit, renames)
        model = flex_model("bert")
        loaded = model.load_adapter(str(folder), with_head=False)
        model.set_active_adapters(loaded)
        task = {"adapter": name} | ({"options": options} if options else {})
        expected = {"hidden": states(model, "bert")}
        made.add("bert", name, task, expected, method="legacy", library=LIBRARY)


def hooked_model(backbone: str) -> Any:
    """A filled bare model, hooked by a user's interface."""
    model = MODELS[backbone]
    config = transformers.AutoConfig.for_model(model.model_type, **model.config)
    bare = transformers.AutoModel.from_config(config)
    interface = adapters.AdapterModelInterface(**wanted.INTERFACES[backbone])
    adapters.init(bare, interface=interface)
    fill_backbone(bare)
    return bare.eval()


def hooked_cases(made: Recording) -> None:
    """Models that the library does not know, or shall not."""
    for backbone in wanted.INTERFACES:
        for name, (method, config) in wanted.HOOKED.items():
            torch.manual_seed(0)
            model = hooked_model(backbone)
            model.add_adapter(name, config=adapters.AdapterConfig.load(config))
            refill(model, name, is_scaling=False)
            model.set_active_adapters(name)
            model.save_adapter(str(made.folder(backbone, name)), name)
            expected = {"hidden": states(model, backbone)}
            made.add(backbone, name, {"adapter": name}, expected, method=method, library=LIBRARY)


def merged_history_cases(made: Recording) -> None:
    """Merged projections were scaled when others were not; today's repair hits them as well."""
    source, name = "lora_reversed", "legacy_merged_1_0"
    folder = made.folder("gpt2", name)
    shutil.copytree(HOMES[source], folder, dirs_exist_ok=True)
    model = flex_model("gpt2")
    model.set_active_adapters(model.load_adapter(str(folder), with_head=False))
    # Its linears outside attention were not scaled.
    for module in model.modules():
        if isinstance(module, LoRALinear):
            for lora in module.loras.values():
                lora.scaling = 1.0
    trained = {"hidden": states(model, "gpt2")}
    rewrite(folder, lambda config: config.update(version="adapters.1.0.1"), {})
    made.add("gpt2", name, {"adapter": name}, trained, method="legacy", library=LIBRARY)
    model = flex_model("gpt2")
    model.set_active_adapters(model.load_adapter(str(folder), with_head=False))
    task = {"adapter": name, "options": {"lora_scaling": "adapters"}}
    repaired = {"hidden": states(model, "gpt2")}
    made.add("gpt2", f"{name}_repaired", task, repaired, method="legacy", library=LIBRARY)


def rewrite(folder: Path, edit: Any, renames: dict[str, str]) -> None:
    """Apply a legacy case's edits to a saved folder."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config, indent=2, sort_keys=True))
    weights = folder / "pytorch_adapter.bin"
    tensors = torch.load(weights, weights_only=True)
    for new, old in renames.items():
        tensors = {key.replace(new, old): value for key, value in tensors.items()}
    torch.save(tensors, weights)


def main() -> None:
    """Write the set."""
    torch.set_num_threads(1)
    made = Recording("hub_methods")
    single_cases(made, "bert", wanted.EVERYWHERE | wanted.ON_BERT)
    stack_cases(made)
    reloaded_cases(made)
    legacy_cases(made)
    for backbone, cases in wanted.MERGED.items():
        single_cases(made, backbone, cases)
    merged_history_cases(made)
    hooked_cases(made)
    for backbone in OTHERS:
        single_cases(made, backbone, wanted.EVERYWHERE)
    made.write()


if __name__ == "__main__":
    main()
