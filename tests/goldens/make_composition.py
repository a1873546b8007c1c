"""Makes the set `composition`: compositions of the `adapters` library, saved adapter by adapter.

Run from the repository root, in an environment with `adapters` 1.3.0:
`PYTHONHASHSEED=0 python -m tests.goldens.make_composition`.
"""

from __future__ import annotations

from typing import Any

import adapters
import numpy as np
import torch
import transformers
from adapters.composition import Average, BatchSplit, Fuse, Parallel, Stack
from adapters.methods.lora import LoRAMergedLinear

from tests.goldens import composition_cases as wanted
from tests.goldens.filling import draw, fill_backbone
from tests.goldens.models import MODELS, InputRow, rows
from tests.goldens.recording import Recording

LIBRARY = f"adapters {adapters.__version__}"
STD = 0.3
STEPS = 32


def new_model(backbone: str) -> Any:
    """A filled flexible model."""
    model = MODELS[backbone]
    config = transformers.AutoConfig.for_model(model.model_type, **model.config)
    if model.model_type == "modernbert":
        made = transformers.AutoModel.from_config(config)
        adapters.init(made)
    else:
        made = adapters.AutoAdapterModel.from_config(config)
    fill_backbone(made.base_model)
    with torch.no_grad():
        for module in made.modules():
            # The library gives merged projections a bias that these backbones do not have.
            if isinstance(module, LoRAMergedLinear) and backbone != "gpt2":
                module.bias.zero_()
    return made.eval()


def refill(model: Any, marker: str, std: float = STD) -> None:
    """Fill what has a marker in its name from that name; few digits keep the archives small."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if marker in name:
                is_factor = "norm" in name or "scaling" in name or "ia3" in name or ".m." in name
                mean = 1.0 if is_factor and not name.endswith("bias") else 0.0
                values = draw(name, tuple(parameter.shape), std, mean)
                parameter.copy_((values * STEPS).round() / STEPS)


def compute(model: Any, row: InputRow, **options: Any) -> Any:
    """The model's output for one row, alone and unpadded, as a freshly loaded model gives it."""
    for module in model.modules():
        if hasattr(module, "T"):
            module.T = 50.0 if module.config["temperature"] else 1.0
    with torch.no_grad():
        return model(**tensors([row]), return_dict=True, **options)


def tensors(found: list[InputRow]) -> dict[str, torch.Tensor]:
    """Rows of one length as a batch."""
    batch = {"input_ids": torch.tensor([row.input_ids for row in found])}
    if found[0].type_ids is not None:
        batch["token_type_ids"] = torch.tensor([row.type_ids for row in found])
    return batch


def hidden(model: Any, backbone: str) -> list[np.ndarray]:
    """The final states of every row."""
    return [compute(model, row).last_hidden_state[0].numpy() for row in rows(backbone)]


class Maker:
    """One backbone's model while its adapters, fusions and trees are recorded."""

    def __init__(self, recording: Recording, backbone: str) -> None:
        self.recording = recording
        self.backbone = backbone
        self.model = new_model(backbone)
        self.fusions: dict[str, str] = {}
        self.num_merged = 0

    def add_adapters(self, configs: dict[str, Any]) -> None:
        """Add, fill and save every adapter."""
        for name, config in configs.items():
            self.model.add_adapter(name, config=config)
            refill(self.model, f".{name}.", 0.15 if "vera" in name else STD)
            folder = self.recording.folder(self.backbone, name)
            self.model.save_adapter(str(folder), name, with_head=False)

    def add_fusion(
        self, key: str, members: list[str], config: Any, name: str | None = None
    ) -> None:
        """Add, fill and save one fusion layer."""
        if isinstance(config, dict):
            dynamic = adapters.AdapterFusionConfig.load("dynamic").to_dict()
            config = {**dynamic, **config}
        name = name or ",".join(members)
        self.model.add_adapter_fusion(members, config=config, name=name)
        refill(self.model, f".adapter_fusion_layer.{name}.", 0.1)
        self.fusions[key] = name

    def save_fusion(self, key: str, **options: Any) -> None:
        """Save a fusion layer; with it what else the library's filter lets through."""
        folder = self.recording.folder(self.backbone, key)
        self.model.save_adapter_fusion(str(folder), self.fusions[key], **options)

    def tree(self, entry: Any) -> Any:
        """A task file's tree as the library's."""
        if isinstance(entry, str):
            return entry
        if "stack" in entry:
            return Stack(*map(self.tree, entry["stack"]))
        if "average" in entry:
            options = {key: entry[key] for key in ("weights", "normalize_weights") if key in entry}
            return Average(*map(self.tree, entry["average"]), **options)
        if "fuse" in entry:
            name = self.fusions[entry["fusion"]]
            return Fuse(*map(self.tree, entry["fuse"]), name=name)
        return self.merged(entry)

    def merged(self, entry: dict[str, Any]) -> str:
        """The name of a new adapter that averages others."""
        self.num_merged += 1
        name = f"merged{self.num_merged}"
        options = {key: value for key, value in entry.items() if key not in ("merge", "strategy")}
        strategy = entry.get("strategy", "linear")
        self.model.average_adapter(name, entry["merge"], combine_strategy=strategy, **options)
        return name

    def record(self, name: str, entry: Any, method: str) -> None:
        """The states under one composition."""
        self.model.set_active_adapters(self.tree(entry))
        task = {"adapter": entry}
        found = {"hidden": hidden(self.model, self.backbone)}
        self.recording.add(self.backbone, name, task, found, method=method, library=LIBRARY)

    def record_side_by_side(self, name: str, kind: str, children: list[Any]) -> None:
        """One forward for several children: the rows of each are a case of their own."""
        trees = [self.tree(child) for child in children]
        row = rows(self.backbone)[0]
        if kind == "Parallel":
            self.model.set_active_adapters(Parallel(*trees))
            states = compute(self.model, row).last_hidden_state
        else:
            sizes = [1] * len(trees)
            self.model.set_active_adapters(BatchSplit(*trees, batch_sizes=sizes))
            with torch.no_grad():
                states = self.model(**tensors([row] * len(trees))).last_hidden_state
        for number, child in enumerate(children):
            self.recording.add(
                self.backbone,
                f"{name}_{number}",
                {"adapter": child},
                {"hidden": [states[number].numpy()]},
                method=kind,
                inputs=[row],
                library=LIBRARY,
            )


def make_bert(recording: Recording) -> None:
    """Everything, on BERT."""
    maker = Maker(recording, "bert")
    maker.add_adapters(wanted.BERT)
    for key, (members, config) in wanted.FUSIONS.items():
        maker.add_fusion(f"fusion_{key}", members, config)
    for key in wanted.FUSIONS:
        maker.save_fusion(f"fusion_{key}")
    groups = (
        ("Stack", "stack", wanted.STACKS),
        ("Average", "average", wanted.AVERAGES),
        ("AdapterFusion", "fuse", wanted.FUSES),
        ("weight merging", "merge", wanted.MERGES),
    )
    for method, prefix, entries in groups:
        for name, entry in entries.items():
            maker.record(f"{prefix}_{name}", entry, method)
    for name, (kind, children) in wanted.SIDE_BY_SIDE.items():
        maker.record_side_by_side(name, kind, children)
    record_named_fusions(maker)
    record_heads(maker)


def record_named_fusions(maker: Maker) -> None:
    """Names that are prefixes of one another, and a name of its own; one in safetensors."""
    maker.add_fusion("fusion_short", ["seq_a", "seq_b"], "dynamic", name="short")
    maker.add_fusion("fusion_shorter", ["seq_a", "seq_b"], "dynamic", name="shorter")
    maker.save_fusion("fusion_short")
    maker.save_fusion("fusion_shorter", use_safetensors=True)
    for key in ("short", "shorter"):
        entry = wanted.fuse("seq_a", "seq_b", fusion=f"fusion_{key}")
        maker.record(f"fuse_{key}", entry, "AdapterFusion")


def record_heads(maker: Maker) -> None:
    """Heads beside a fusion, beside the last adapter of a stack, and named."""
    model, recording = maker.model, maker.recording
    labels = {0: "low", 1: "mid", 2: "high"}
    for name in ("seq_a", "double_a", "fused"):
        model.add_classification_head(f"{name}_head", num_labels=3, id2label=labels)
        refill(model, f"heads.{name}_head.")
        model.save_head(str(recording.folder("bert", f"{name}_head")), f"{name}_head")
    maker.fusions["fusion_with_head"] = maker.fusions["fusion_static"]
    maker.save_fusion("fusion_with_head", with_head="fused_head")
    fused = wanted.fuse("seq_a", "seq_b", fusion="fusion_with_head")
    found = {
        "fuse_with_head": ({"adapter": fused}, "fused_head"),
        "fuse_named_head": ({"adapter": fused, "head": "seq_a_head"}, "seq_a_head"),
        "average_named_head": (
            {"adapter": wanted.average("seq_a", "seq_b"), "head": "double_a_head"},
            "double_a_head",
        ),
    }
    for name, (task, head) in found.items():
        model.set_active_adapters(maker.tree(task["adapter"]))
        outputs = [compute(model, row, head=head) for row in rows("bert")]
        logits = {"logits": [output.logits[0].numpy() for output in outputs]}
        recording.add(
            "bert",
            name,
            task,
            logits,
            method=name.split("_")[0].title().replace("Fuse", "AdapterFusion"),
            head="classification",
            library=LIBRARY,
        )


def make_other(recording: Recording, backbone: str) -> None:
    """A few trees where modules hang elsewhere."""
    maker = Maker(recording, backbone)
    maker.add_adapters(wanted.OTHERS)
    maker.add_fusion("fusion", ["double_a", "double_b"], "dynamic")
    maker.save_fusion("fusion")
    for name, (entry, method) in wanted.others(backbone).items():
        maker.record(name, entry, method)


def main() -> None:
    """Write the set."""
    torch.set_num_threads(1)
    recording = Recording("composition")
    make_bert(recording)
    for backbone in wanted.BACKBONES:
        make_other(recording, backbone)
    recording.write()


if __name__ == "__main__":
    main()
