"""Writes `methods/written.zip`: adapters as Polyhead saves them, for the library to load.

Run from the repository root in Polyhead's environment: `python -m tests.goldens.write_methods`.
Then `python -m tests.goldens.make_methods written` in the generators' environment computes
`methods/written.npz` from it.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from adapter_runtime.checkpoint.hub.writer import write_adapter
from tests.methods import golden

WRITTEN = {
    "bert": (
        "seq_bn",
        "ln_both",
        "learned",
        "adapter_plus",
        "gated_parallel",
        "factor_map",
        "left_out",
        "lora_gated",
        "lora_default",
        "ia3_all",
        "ia3_gated",
        "union",
        "legacy_gelu",
        "legacy_by_name",
        "legacy_first_houlsby",
        "legacy_lora_1_0",
        "legacy_lora_0_2",
        "peft_lora_rslora",
        "peft_lora_layers",
    ),
    "distilbert": ("double_seq_bn", "lora_all", "peft_lora"),
    "xlm-roberta": ("par_bn", "ia3_all"),
}


def main() -> None:
    """Write every adapter under a new name."""
    with TemporaryDirectory() as made:
        root = Path(made)
        for model_type, names in WRITTEN.items():
            for name in names:
                folder = root / model_type / name
                folder.mkdir(parents=True)
                (adapter,) = golden.adapters(model_type, name)
                write_adapter(adapter, folder, golden.backbone(model_type).facts, "written")
        with zipfile.ZipFile(golden.HERE / "written.zip", "w") as archive:
            for file in sorted(root.rglob("*.*")):
                entry = zipfile.ZipInfo(str(file.relative_to(root)))
                archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
