"""Makes `sets/seq2seq_texts`: texts through tokenizers of encoder-decoders, up to logits.

Run from the repository root in the generators' environment:
`PYTHONHASHSEED=0 python -m tests.goldens.make_seq2seq_texts`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import adapters
import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from tests.goldens.filling import fill_backbone
from tests.goldens.make_seq2seq import refill
from tests.goldens.models import MODELS

HERE = Path(__file__).parent
HOME = HERE / "sets" / "seq2seq_texts"
BYTES, PIECES = HERE / "heads" / "bpe", HERE / "heads" / "unigram" / "tokenizer.json"
KINDS = {"bart": "bart", "mbart": "mbart", "mbart50": "mbart", "t5": "t5"}
TEXTS = (
    "the good film",
    "Not so <mask> good, was it?",
    ("the film", "the long and good film of the year"),
)
ADAPTER = "double_seq_bn[reduction_factor=8,cross_adapter=True]"
HEADS = {
    "classification": {"num_labels": 3},
    "qa": {},
}


def tokenizer(kind: str, folder: Path) -> Any:
    """A tokenizer of a kind, over vocabularies that other goldens hold."""
    if kind == "bart":
        files = [str(BYTES / name) for name in ("vocab.json", "merges.txt")]
        return transformers.BartTokenizerFast(*files)
    pieces = {"tokenizer_file": str(PIECES)}
    if kind == "mbart":
        return transformers.MBartTokenizerFast(**pieces, src_lang="ro_RO")
    if kind == "mbart50":
        return transformers.MBart50TokenizerFast(**pieces)
    plain = Tokenizer.from_file(str(PIECES))
    ends = plain.token_to_id("</s>")
    plain.post_processor = TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", ends)]
    )
    plain.save(str(folder / "pieces.json"))
    return transformers.T5TokenizerFast(tokenizer_file=str(folder / "pieces.json"), extra_ids=3)


def configuration(kind: str, words: Any) -> Any:
    """A configuration whose special tokens are the tokenizer's."""
    model = MODELS[KINDS[kind]]
    tokens = {"pad_token_id": words.pad_token_id, "eos_token_id": words.eos_token_id}
    options = model.config | {"vocab_size": len(words)} | tokens
    return transformers.AutoConfig.for_model(model.model_type, **options)


def make(kind: str, made: Path) -> dict[str, np.ndarray]:
    """A backbone's files without weights, an adapter per head, and what they answer."""
    folder, stored = made / kind, {}
    (folder / "backbone").mkdir(parents=True)
    words = tokenizer(kind, made)
    words.save_pretrained(str(folder / "backbone"))
    config = configuration(kind, words)
    config.save_pretrained(str(folder / "backbone"))
    for head, options in HEADS.items():
        model = adapters.AutoAdapterModel.from_config(config)
        fill_backbone(model.base_model)
        model.eval().add_adapter(head, config=ADAPTER)
        getattr(model, f"add_{head}_head")(head, **options)
        refill(model, head, [f".{head}."])
        model.set_active_adapters(head)
        model.save_adapter(str(folder / head), head)
        for number, text in enumerate(TEXTS):
            inputs = words(*(text if isinstance(text, tuple) else (text,)), return_tensors="pt")
            inputs.pop("token_type_ids", None)
            stored[f"{kind}/ids{number}"] = inputs["input_ids"][0].numpy()
            stored |= _answer(model, inputs, f"{kind}/{head}{number}")
    return stored


@torch.no_grad()
def _answer(model: Any, inputs: Any, name: str) -> dict[str, np.ndarray]:
    output = model(**inputs)
    if "logits" in output:
        return {name: output.logits[0].numpy()}
    sides = (output.start_logits, output.end_logits)
    return {name: torch.cat(sides).numpy()}


def main() -> None:
    """Write the set."""
    torch.set_num_threads(1)
    made = Path(tempfile.mkdtemp(prefix="texts-"))
    stored: dict[str, np.ndarray] = {}
    for kind in KINDS:
        stored |= make(kind, made)
    HOME.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(HOME / "expected.npz", **stored)
    (HOME / "texts.json").write_text(json.dumps(TEXTS) + "\n")
    with zipfile.ZipFile(HOME / "folders.zip", "w") as archive:
        for file in sorted(path for path in made.rglob("*/*") if path.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(made)))
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    shutil.rmtree(made)


if __name__ == "__main__":
    main()
