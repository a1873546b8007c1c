"""LoRA on a head's layers whose own weights are in the backbone's folder."""

from dataclasses import replace

import torch

from adapter_runtime.checkpoint.heads.folded import fold
from tests.heads.plain import facts


def test_a_folded_layer_keeps_the_bias_that_the_backbones_folder_has():
    """PEFT saves neither weight nor bias of a layer that it adapts."""
    path, own = "classification_head.dense", {}
    own[f"{path}.weight"], own[f"{path}.bias"] = torch.eye(4), torch.arange(4.0)
    bart = replace(facts("bert"), model_type="bart", prefix="model", stored=lambda roots: own)
    down, up = torch.ones(1, 4), torch.ones(4, 1)
    saved = {f"{path}.lora_A.weight": down, f"{path}.lora_B.weight": up}
    config = {"r": 1, "lora_alpha": 2, "target_modules": ["dense"]}
    made, ledger = fold(config, saved, bart)
    assert not ledger.problems()
    assert torch.equal(made[f"{path}.bias"], own[f"{path}.bias"])
    assert torch.equal(made[f"{path}.weight"], torch.eye(4) + 2)
