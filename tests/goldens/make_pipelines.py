"""Makes `heads/pipelines.json` and the small tokenizers beside it.

The answers of transformers 4.57.6's pipelines on tiny models that are filled by name. Run from the
repository root with transformers 4.57.6, tokenizers and torch:
`python -m tests.goldens.make_pipelines`.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from tests.goldens.filling import fill_backbone
from tests.goldens.heads.backbones import CONFIGS, FAMILIES, values
from tests.goldens.heads.texts import CORPUS, LONG, PAIRS, QUESTIONS, SENTENCES

HERE = Path(__file__).parent / "heads"
TAGS = dict(enumerate(("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC")))
STRATEGIES = ("none", "simple", "first", "average", "max")
MODELS = {"wordpiece": "bert", "bpe": "roberta", "unigram": "xlm-roberta"}
_BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def wordpiece() -> Any:
    """A lower-casing WordPiece tokenizer as BERT has it."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    trainer = trainers.WordPieceTrainer(vocab_size=320, special_tokens=_BERT_SPECIALS)
    backend.train_from_iterator(CORPUS, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return transformers.BertTokenizerFast(tokenizer_object=backend, model_max_length=64)


def bpe() -> Any:
    """A byte-level BPE tokenizer as RoBERTa has it."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=_ROBERTA_SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator(CORPUS, trainer)
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return transformers.RobertaTokenizerFast(tokenizer_object=backend, model_max_length=64)


def unigram() -> Any:
    """A unigram tokenizer with word marks, as XLM-R has it."""
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=_ROBERTA_SPECIALS, unk_token="<unk>"
    )
    backend.train_from_iterator(CORPUS, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return transformers.XLMRobertaTokenizerFast(tokenizer_object=backend, model_max_length=64)


TOKENIZERS = {"wordpiece": wordpiece, "bpe": bpe, "unigram": unigram}


def task_model(model_type: str, suffix: str, vocab_size: int, **more: Any) -> Any:
    """A task class, filled by name."""
    sizes = CONFIGS[model_type] | {"vocab_size": vocab_size}
    config = transformers.AutoConfig.for_model(model_type, **sizes, **more)
    model = getattr(transformers, f"{FAMILIES[model_type]}{suffix}")(config).eval()
    fill_backbone(model.base_model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith(model.base_model_prefix + "."):
                parameter.copy_(values(name, parameter.shape))
    return model


def pipe(task: str, model: Any, tokenizer: Any) -> Any:
    """A pipeline on the CPU."""
    return transformers.pipeline(task, model=model, tokenizer=tokenizer, device="cpu")


def tagging(model_type: str, tokenizer: Any) -> list[dict[str, Any]]:
    """Every strategy on short texts, truncation and windows on a long one."""
    model = task_model(model_type, "ForTokenClassification", len(tokenizer), id2label=TAGS)
    run = pipe("token-classification", model, tokenizer)
    calls = [
        {"text": text, "parameters": {"aggregation_strategy": strategy}}
        for text in SENTENCES
        for strategy in STRATEGIES
    ]
    calls.append({"text": SENTENCES[0], "parameters": {"ignore_labels": ["MISC", "B-PER"]}})
    calls.append({"text": LONG, "parameters": {"aggregation_strategy": "simple"}, "cut": True})
    calls += [
        {"text": LONG, "parameters": {"aggregation_strategy": strategy, "stride": stride}}
        for strategy in STRATEGIES[1:]
        for stride in (0, 10)
    ]
    return [call | {"answer": run(call["text"], **call["parameters"])} for call in calls]


def answering(model_type: str, tokenizer: Any) -> list[dict[str, Any]]:
    """Short and long contexts, several answers, no answer, spans off word bounds."""
    model = task_model(model_type, "ForQuestionAnswering", len(tokenizer))
    run = pipe("question-answering", model, tokenizer)
    calls = [
        {"question": question, "context": context, "parameters": parameters}
        for question in QUESTIONS
        for context in (*SENTENCES[:2], LONG)
        for parameters in (
            {},
            {"top_k": 4},
            {"top_k": 3, "handle_impossible_answer": True, "max_answer_len": 4},
            {"top_k": 3, "align_to_words": False},
            {"max_seq_len": 40, "doc_stride": 8, "top_k": 5},
        )
    ]
    return [
        call
        | {"answer": run(question=call["question"], context=call["context"], **call["parameters"])}
        for call in calls
    ]


def classification(model_type: str, tokenizer: Any) -> list[dict[str, Any]]:
    """Functions, label counts and pairs."""
    found = []
    inputs = [*SENTENCES, *({"text": text, "text_pair": pair} for text, pair in PAIRS)]
    for num_labels in (1, 3):
        model = task_model(
            model_type, "ForSequenceClassification", len(tokenizer), num_labels=num_labels
        )
        run = pipe("text-classification", model, tokenizer)
        calls: list[tuple[Any, dict[str, Any]]] = [
            (text, parameters)
            for text in inputs
            for parameters in ({}, {"top_k": 2}, {"function_to_apply": "sigmoid"})
        ]
        for text, parameters in calls:
            answer = run(text, **{"top_k": None, **parameters})
            found.append({"num_labels": num_labels, "inputs": text, "answer": answer})
            found[-1]["parameters"] = parameters
        cut = run(LONG, top_k=None, truncation=True)
        found.append({"num_labels": num_labels, "inputs": LONG, "answer": cut, "parameters": {}})
    return found


def encodings(tokenizer: Any) -> list[dict[str, Any]]:
    """Token ids, offsets and types with and without truncation."""
    found = []
    for text, pair in [*((text, None) for text in SENTENCES), *PAIRS, (LONG, SENTENCES[0])]:
        for most in (8, 17, 64):
            tokens = tokenizer(
                text, pair, truncation=True, max_length=most, return_offsets_mapping=True
            )
            found.append(
                {
                    "text": text,
                    "pair": pair,
                    "max_tokens": most,
                    "ids": tokens["input_ids"],
                    "types": tokens.get("token_type_ids"),
                    "offsets": tokens["offset_mapping"],
                }
            )
    return found


def plain(value: Any) -> Any:
    """Numpy numbers as Python's, rounded to what float32 holds."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return float(f"{value:.7g}") if isinstance(value, float) else value


def main() -> None:
    """Write the tokenizers and the answers."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    answers: dict[str, Any] = {}
    for name, make in TOKENIZERS.items():
        tokenizer, model_type = make(), MODELS[name]
        tokenizer.save_pretrained(HERE / name)
        answers[name] = {
            "model_type": model_type,
            "vocab_size": len(tokenizer),
            "encodings": encodings(tokenizer),
            "token-classification": tagging(model_type, tokenizer),
            "question-answering": answering(model_type, tokenizer),
            "text-classification": classification(model_type, tokenizer),
        }
    text = json.dumps(plain(answers), separators=(",", ":"), ensure_ascii=False)
    (HERE / "pipelines.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
