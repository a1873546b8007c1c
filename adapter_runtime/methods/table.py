"""All adapter methods, in the order in which the chains of one adapter apply at a point."""

from __future__ import annotations

from collections.abc import Mapping

from adapter_runtime.methods.base import Method
from adapter_runtime.methods.bias import Bias
from adapter_runtime.methods.bottleneck import Bottleneck
from adapter_runtime.methods.ia3 import Ia3
from adapter_runtime.methods.ia3_input import Ia3Input
from adapter_runtime.methods.lora import Lora

METHODS: Mapping[str, Method] = {
    method.name: method for method in (Bias(), Lora(), Ia3(), Ia3Input(), Bottleneck())
}
