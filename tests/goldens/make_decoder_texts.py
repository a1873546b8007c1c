"""Makes `sets/decoder_texts`: texts through tokenizers of decoders, up to logits.

Run from the repository root in the generators' environment:
`PYTHONHASHSEED=0 python -m tests.goldens.make_decoder_texts`.
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
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

from tests.goldens.filling import fill_backbone
from tests.goldens.heads.texts import SENTENCES
from tests.goldens.make_decoders import add, base_path
from tests.goldens.models import MODELS

HERE = Path(__file__).parent
HOME = HERE / "sets" / "decoder_texts"
BYTES = HERE / "heads" / "bpe"
KINDS = {
    "gpt2": ("gpt2", "GPT2"),
    "llama": ("llama", "Llama"),
    "llama-template": ("llama", "Llama"),
    "mistral-eos": ("mistral", "Mistral"),
    "qwen2": ("qwen2", "Qwen2"),
    "qwen3": ("qwen3", "Qwen3"),
}
"""Each tokenizer's backbone, and how its classes are called."""
TEXTS = (
    "the good film",
    "  Not so <s>good</s>, was it? naïve Ω",
    ("the film", "the long and good film of the year"),
)
HEADS = {
    "classification": "ForSequenceClassification",
    "tagging": "ForTokenClassification",
    "question_answering": "ForQuestionAnswering",
    "hidden": "Model",
}


def tokenizer(kind: str, folder: Path) -> Any:
    """A tokenizer of a kind, as its class saves it."""
    files = [str(BYTES / name) for name in ("vocab.json", "merges.txt")]
    if kind == "gpt2":
        return transformers.GPT2TokenizerFast(*files)
    if kind.startswith("qwen"):
        return transformers.Qwen2TokenizerFast(*files)
    if kind == "llama-template":
        return transformers.PreTrainedTokenizerFast(
            tokenizer_object=templated(files), bos_token="<s>", eos_token="</s>"
        )
    pieces = folder / "pieces.json"
    blanks_as_marks().save(str(pieces))
    return transformers.LlamaTokenizerFast(
        tokenizer_file=str(pieces), add_eos_token=kind == "mistral-eos", legacy=False
    )


def templated(files: list[str]) -> Tokenizer:
    """Byte-level pieces with a template that puts a token before every text, as Llama 3 has it."""
    made = transformers.GPT2TokenizerFast(*files).backend_tokenizer
    template = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 0)]
    )
    made.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return made


def blanks_as_marks() -> Tokenizer:
    """Pieces with bytes to fall back on and marks for blanks, as Llama 2 has them."""
    specials = ["<unk>", "<s>", "</s>"]
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=360, special_tokens=[*specials, *(f"<0x{byte:02X}>" for byte in range(256))]
    )
    made.train_from_iterator([*SENTENCES, "the long and good film of the year"], trainer)
    return made


def configuration(kind: str, words: Any, head: str) -> Any:
    """A configuration whose special tokens are the tokenizer's."""
    model = MODELS[KINDS[kind][0]]
    tokens = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}
    options = model.config | {"vocab_size": len(words)} | tokens
    labels = {"num_labels": 2 if head == "question_answering" else 3}
    return transformers.AutoConfig.for_model(model.model_type, **options, **labels)


def make(kind: str, made: Path) -> dict[str, np.ndarray]:
    """A backbone's files without weights, an adapter per head, and what they answer."""
    folder, stored = made / kind, {}
    (folder / "backbone").mkdir(parents=True)
    words = tokenizer(kind, made)
    words.save_pretrained(str(folder / "backbone"))
    configuration(kind, words, "hidden").save_pretrained(str(folder / "backbone"))
    for head, suffix in HEADS.items():
        model_class = getattr(transformers, KINDS[kind][1] + suffix)
        torch.manual_seed(0)
        model = model_class(configuration(kind, words, head)).eval()
        fill_backbone(model if suffix == "Model" else model.get_submodule(base_path(model)))
        adapters.init(model)
        add(model, head, "double_seq_bn[reduction_factor=8]")
        model.save_adapter(str(folder / head), head)
        for number, text in enumerate(TEXTS):
            inputs = words(*(text if isinstance(text, tuple) else (text,)), return_tensors="pt")
            inputs.pop("token_type_ids", None)
            stored[f"{kind}/ids{number}"] = inputs["input_ids"][0].numpy()
            stored[f"{kind}/{head}{number}"] = _answer(model, inputs)
    return stored


@torch.no_grad()
def _answer(model: Any, inputs: Any) -> np.ndarray:
    output = model(**inputs)
    if "start_logits" in output:
        return torch.cat((output.start_logits, output.end_logits)).numpy()
    return (output.logits if "logits" in output else output.last_hidden_state)[0].numpy()


def main() -> None:
    """Write the set."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
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
