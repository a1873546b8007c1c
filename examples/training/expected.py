"""What the training libraries compute for the inputs in `expected.json`: rewrites its numbers.

The adapters are read back from their folders, in float32 and without padding, so that a server's
`--raw` output can be held against the libraries that made them.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from safetensors import safe_open
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
)

from examples.training.backbone import load_model, load_tokenizer
from examples.training.cards import ADAPTERS
from examples.training.fitting import Example, predict, start

EXPECTED = ADAPTERS.parent / "expected.json"
LIBRARIES = ("adapters", "peft", "transformers", "torch")


def load_task(folder: Path) -> Any:
    """The backbone with one saved adapter and its head, by the library that saved it."""
    config = json.loads(folder.joinpath("adapter_config.json").read_text())
    if "peft_type" in config:
        return _load_peft(folder)
    model = load_model()
    is_safe = folder.joinpath("adapter.safetensors").exists()
    model.set_active_adapters(model.load_adapter(str(folder), use_safetensors=is_safe))
    return model


def encode(tokenizer: Any, inputs: Any) -> Example:
    """The token sequences of a request as a server gets it."""
    if isinstance(inputs, str):
        pairs = [(inputs, None)]
    elif "choices" in inputs:
        pairs = [(inputs["context"], choice) for choice in inputs["choices"]]
    else:
        pairs = [tuple(inputs.values())]
    encoded = [tokenizer(*pair, truncation=True, max_length=512) for pair in pairs]
    return Example(tuple(dict(item) for item in encoded))


def logits(model: Any, example: Example) -> Any:
    """Raw head output as nested lists: `{"start", "end"}` for answer spans."""
    rounded = [_rounded(tensor) for tensor in predict(model, [example])[0]]
    return rounded[0] if len(rounded) == 1 else dict(zip(("start", "end"), rounded, strict=True))


def embedding(model: Any, example: Example) -> list[float]:
    """The mean of the last hidden states at length one."""
    inputs = {key: torch.tensor([value]) for key, value in example.encodings[0].items()}
    with torch.no_grad():
        mean = model(**inputs).last_hidden_state[0].mean(0)
    return _rounded(torch.nn.functional.normalize(mean, dim=0))


def main() -> None:
    """Compute every case anew."""
    start()
    tokenizer, content = load_tokenizer(), json.loads(EXPECTED.read_text())
    content["libraries"] = {name: version(name).split("+")[0] for name in LIBRARIES}
    for task, cases in content["tasks"].items():
        has_adapter = ADAPTERS.joinpath(task).exists()
        model = load_task(ADAPTERS / task) if has_adapter else load_model(AutoModel).eval()
        for case in cases:
            example = encode(tokenizer, case["inputs"])
            if has_adapter:
                case["logits"] = logits(model, example)
            else:
                case["embedding"] = embedding(model, example)
    EXPECTED.write_text(_as_text(content))


def _load_peft(folder: Path) -> Any:
    if PeftConfig.from_pretrained(str(folder)).task_type == "QUESTION_ANS":
        base = load_model(AutoModelForQuestionAnswering)
    else:
        with safe_open(folder / "adapter_model.safetensors", "pt") as tensors:
            labels = len(tensors.get_tensor("base_model.model.classifier.weight"))
        base = load_model(AutoModelForSequenceClassification, num_labels=labels)
    return PeftModel.from_pretrained(base, str(folder))


def _rounded(tensor: torch.Tensor) -> Any:
    return (tensor.double() * 1e6).round().div(1e6).tolist()


def _as_text(content: dict[str, Any]) -> str:
    """One case a line, so that a change of numbers reads well in a diff."""
    lines = ["{", f'"libraries": {json.dumps(content["libraries"])},', '"tasks": {']
    for task, cases in content["tasks"].items():
        lines += [f"{json.dumps(task)}: [", ",\n".join(map(json.dumps, cases)), "],"]
    return "\n".join([*lines[:-1], "]", "}", "}", ""])


if __name__ == "__main__":
    main()
