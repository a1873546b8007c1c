"""Makes the golden tokenizers: tiny folders of every tokenizer class, and the ids that they give.

Run from the repository root in an environment with transformers 4.57.6, sentencepiece and
protobuf: `python -m tests.goldens.make_tokenizers`.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sentencepiece
import transformers
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)

from tests.goldens.heads.texts import LONG, SENTENCES

HERE = Path(__file__).parent / "tokenizers"
CORPUS = [*SENTENCES, LONG, "0123456789 .,;:!?'\"()-–—…äöüéß"] * 4
TEXTS = (
    *SENTENCES[:4],
    "  two  blanks, a\ttab\nand a line ",
    "Don't STOP — naïve café №5 日本語 😀",
    "a {mask} in the{mask}garden .",
    "one </s> two [SEP] three <|endoftext|> four",
)
PAIRS = ((SENTENCES[0], SENTENCES[1]), ("short", "a rather longer second text, it is"))
WORDS = ("The", "old", "dog's", "kennel", ",", "naïve", "!")
_LLAMA = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}


def bpe(specials: list[str], *, byte_level: bool = True, prefix: bool = False) -> Tokenizer:
    """A byte-level BPE as GPT-2's, or one with fallback bytes as Llama's."""
    if byte_level:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        made.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
        alphabet = []
        specials = [*specials, *(f"<0x{number:02X}>" for number in range(256))]
    size = 340 if byte_level else 420
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    return made


def template(made: Tokenizer, first: str, last: str, pair: str) -> Tokenizer:
    """Special tokens around a text; `pair` is what stands between two."""
    ids = [(token, made.token_to_id(token)) for token in dict.fromkeys((first, last)) if token]
    made.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}".strip(), pair=pair, special_tokens=ids
    )
    return made


def pieces(folder: Path, **options: Any) -> Path:
    """A sentencepiece model."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=model,
        vocab_size=options.pop("vocab_size", 160),
        hard_vocab_limit=False,
        minloglevel=2,
        normalization_rule_name="identity",  # the usual one is a table of 240 KB
        **options,
    )
    path = folder / "raw.model"
    path.write_bytes(model.getvalue())
    return path


_MARKS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
_CLS_PAIR = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"


def fast() -> Iterator[tuple[str, str, Any]]:
    """Fast tokenizers: a name, the model type and the tokenizer."""
    marked = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    marked |= {"unk_token": "[UNK]", "mask_token": "[MASK]"}
    yield (
        "deberta",
        "deberta",
        transformers.DebertaTokenizerFast(
            tokenizer_object=template(bpe(_MARKS), "[CLS]", "[SEP]", _CLS_PAIR)
        ),
    )
    yield (
        "modernbert",
        "modernbert",
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=template(bpe(_MARKS), "[CLS]", "[SEP]", _CLS_PAIR), **marked
        ),
    )
    plain = bpe(["<|endoftext|>"])
    yield "gpt2", "gpt2", transformers.GPT2TokenizerFast(tokenizer_object=plain)
    yield (
        "gpt2-prefix",
        "gpt2",
        transformers.GPT2TokenizerFast(
            tokenizer_object=bpe(["<|endoftext|>"]), add_prefix_space=True
        ),
    )
    yield "qwen2", "qwen2", transformers.Qwen2TokenizerFast(tokenizer_object=bpe(["<|endoftext|>"]))
    rolls = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    bart = bpe(rolls)
    bart.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    yield "bart", "bart", transformers.BartTokenizerFast(tokenizer_object=bart)
    for name, options in (
        ("llama", {}),
        ("llama-eos", {"add_eos_token": True}),
        ("llama-bare", {"add_bos_token": False}),
    ):
        made = bpe(["<unk>", "<s>", "</s>"], byte_level=False)
        yield (
            name,
            "llama",
            transformers.LlamaTokenizerFast(tokenizer_object=made, **_LLAMA, **options),
        )
    made = template(bpe(["<s>", "</s>", "<unk>"]), "<s>", "", "<s> $A <s> $B")
    yield (
        "llama-generic",
        "llama",
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=made, bos_token="<s>", eos_token="</s>"
        ),
    )


def slow(folder: Path) -> Iterator[tuple[str, str, Any, tuple[str, ...]]]:
    """Tokenizers from a vocabulary: name, model type, tokenizer, and the files that say all."""
    usual = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1}
    marks = {"control_symbols": "[CLS],[SEP]", "user_defined_symbols": "[MASK]"}
    albert = pieces(folder, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, pad_piece="<pad>", **marks)
    yield (
        "albert",
        "albert",
        transformers.AlbertTokenizerFast(vocab_file=str(_as(albert, "spiece.model"))),
        ("spiece.model",),
    )
    deberta = pieces(
        folder,
        **{**usual, "pad_piece": "[PAD]", "unk_piece": "[UNK]", "unk_id": 3, "pad_id": 0},
        control_symbols="[CLS],[SEP]",
    )
    yield (
        "deberta-v2",
        "deberta-v2",
        transformers.DebertaV2TokenizerFast(vocab_file=str(_as(deberta, "spm.model"))),
        ("spm.model",),
    )
    fairseq = pieces(folder, unk_id=0, bos_id=1, eos_id=2)
    for name, cls, file in (
        ("camembert", transformers.CamembertTokenizerFast, "sentencepiece.bpe.model"),
        ("xlm-roberta", transformers.XLMRobertaTokenizerFast, "sentencepiece.bpe.model"),
        ("mbart", transformers.MBartTokenizerFast, "sentencepiece.bpe.model"),
    ):
        yield name, name, cls(vocab_file=str(_as(fairseq, file))), (file,)
    t5 = pieces(folder, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    yield (
        "t5",
        "t5",
        transformers.T5TokenizerFast(
            vocab_file=str(_as(t5, "spiece.model")), extra_ids=8, add_prefix_space=True
        ),
        ("spiece.model",),
    )
    llama = pieces(
        folder, model_type="bpe", byte_fallback=True, vocab_size=420, unk_id=0, bos_id=1, eos_id=2
    )
    yield (
        "llama-pieces",
        "llama",
        transformers.LlamaTokenizerFast(
            vocab_file=str(_as(llama, "tokenizer.model")), add_prefix_space=True, **_LLAMA
        ),
        ("tokenizer.model",),
    )


def proteins(folder: Path) -> Any:
    """ESM's tokenizer, which has no fast form: letters cut out wherever they stand."""
    tokens = [
        "<cls>",
        "<pad>",
        "<eos>",
        "<unk>",
        *"LAGVSERTIDPKQNFYMHWCXBUZO.-",
        "<null_1>",
        "<mask>",
    ]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    return transformers.EsmTokenizer(str(folder / "vocab.txt"))


def _as(model: Path, name: str) -> Path:
    path = model.with_name(name)
    shutil.copy(model, path)
    return path


def expected(tokenizer: Any) -> dict[str, Any]:
    """Ids and types of every text and pair, and of a sentence given in words."""
    mask = tokenizer.mask_token or "mask"
    found = [[text.replace("{mask}", mask)] for text in TEXTS] + [list(pair) for pair in PAIRS]
    answers = [tokenizer(*texts, return_token_type_ids=True) for texts in found]
    return {
        "texts": found,
        "ids": [answer["input_ids"] for answer in answers],
        "types": [answer["token_type_ids"] for answer in answers],
        "decoded": [tokenizer.decode(answer["input_ids"]) for answer in answers],
    }


def keep(home: Path, raw: Path, name: str, files: tuple[str, ...]) -> None:
    """A second folder with nothing but a vocabulary and the configuration."""
    bare = home / f"{name}-vocabulary"
    bare.mkdir()
    for file in files:
        shutil.copy(raw / file, bare / file)
    shutil.copy(home / name / "tokenizer_config.json", bare / "tokenizer_config.json")


def make() -> None:
    """Write `folders.zip` and `cases.json`."""
    cases: dict[str, Any] = {}
    home = Path(tempfile.mkdtemp())
    raw = Path(tempfile.mkdtemp())
    for name, model_type, tokenizer in fast():
        tokenizer.save_pretrained(home / name)
        cases[name] = {"model_type": model_type, **expected(tokenizer)}
        if name in ("gpt2", "gpt2-prefix", "qwen2", "bart"):
            keep(home, home / name, name, ("vocab.json", "merges.txt"))
            cases[f"{name}-vocabulary"] = cases[name]
    for name, model_type, tokenizer, files in slow(raw):
        tokenizer.save_pretrained(home / name)
        cases[name] = {"model_type": model_type, **expected(tokenizer)}
        keep(home, raw, name, files)
        cases[f"{name}-vocabulary"] = cases[name]
    esm = proteins(raw)
    esm.save_pretrained(home / "esm")
    cases["esm"] = {"model_type": "esm", **expected(esm)}
    HERE.mkdir(exist_ok=True)
    with zipfile.ZipFile(
        HERE / "folders.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9
    ) as archive:
        for file in sorted(path for path in home.rglob("*") if path.is_file()):
            archive.writestr(
                zipfile.ZipInfo(str(file.relative_to(home))),
                file.read_bytes(),
                zipfile.ZIP_DEFLATED,
                9,
            )
    (HERE / "cases.json").write_text(json.dumps(cases, ensure_ascii=False, indent=0))


if __name__ == "__main__":
    make()
