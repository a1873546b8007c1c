"""All adapter methods, in the order in which the chains of one adapter apply at a point."""

from __future__ import annotations

from collections.abc import Mapping

from adapter_runtime.methods.base import Method
from adapter_runtime.methods.bias import Bias
from adapter_runtime.methods.bottleneck import Bottleneck
from adapter_runtime.methods.dora import Dora
from adapter_runtime.methods.fusion import Fusion
from adapter_runtime.methods.ia3 import Ia3
from adapter_runtime.methods.ia3_input import Ia3Input
from adapter_runtime.methods.invertible import Invertible
from adapter_runtime.methods.lora import Lora
from adapter_runtime.methods.lora_embedding import LoraEmbedding
from adapter_runtime.methods.prefix import PrefixTuning
from adapter_runtime.methods.prompt import Prompt
from adapter_runtime.methods.reft import Reft
from adapter_runtime.methods.replacement import Replacement
from adapter_runtime.methods.token_rows import TokenRows

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Replacement(),
        TokenRows(),
        Bias(),
        Lora(),
        Dora(),
        LoraEmbedding(),
        Ia3(),
        Ia3Input(),
        Bottleneck(),
        Fusion(),
        Reft(),
        Invertible(),
        # After all that reads the embeddings of its placeholders.
        Prompt(),
        PrefixTuning(),
    )
}
