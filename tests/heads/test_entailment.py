"""Zero-shot labels and ranked texts: a classifier of pairs, asked for one of its labels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertForSequenceClassification, pipeline

from adapter_runtime import Kind, Leaf, Limits, Overflow, RejectedAdapter, TaskSpec
from adapter_runtime.engine.asking import answering_spec
from adapter_runtime.errors import InvalidInput, TooLong
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import Aggregation, HeadWeights
from tests.engine.workshop import Workshop, write_task
from tests.goldens.heads.texts import CORPUS, LONG, SENTENCES
from tests.heads.folders import answer as ask
from tests.heads.plain import plain_model, run_head, states_of, static_head
from tests.heads.test_pipeline_answers import GOLDENS, PIPELINES, tokenizer_of

NLI = ("contradiction", "neutral", "entailment")
TURNED = ("ENTAILMENT", "NEUTRAL", "CONTRADICTION")
CANDIDATES = ["the sea", "bread", "a bridge"]
RANKING = {"query": "Who built the lighthouse?", "texts": list(CORPUS[:4])}
ZERO_SHOT, RANKED = Kind.ZERO_SHOT_CLASSIFICATION, Kind.TEXT_RANKING
MEAN = Aggregation.MEAN


def asked(kind: Kind, labels: tuple[str, ...], **options: Any) -> HeadWeights:
    """A classification head as such a kind asks it."""
    head = static_head("BertForSequenceClassification", labels)
    spec = answering_spec(head.spec, kind, options, "task")
    return HeadWeights(spec, head.tensors)


@cache
def theirs(labels: tuple[str, ...]) -> BertForSequenceClassification:
    """The same weights in transformers' own class."""
    bert = plain_model("bert", PIPELINES["wordpiece"]["vocab_size"])
    config = type(bert.config).from_dict(
        {**bert.config.to_dict(), "id2label": dict(enumerate(labels))}
    )
    config.label2id = {label: number for number, label in enumerate(labels)}
    model = BertForSequenceClassification(config).eval()
    model.bert.load_state_dict(bert.state_dict())
    tensors = static_head("BertForSequenceClassification", labels).tensors
    model.classifier.load_state_dict({"weight": tensors["0.weight"], "bias": tensors["0.bias"]})
    return model


def answer(head: HeadWeights, inputs: Any, limits: Limits | None = None, **parameters: Any) -> Any:
    """Encode, run on the plain backbone, decode."""
    kind = HEADS[head.spec.head_type]
    tokenizer = tokenizer_of("wordpiece")
    encoded = kind.encode(head.spec, inputs, parameters, tokenizer, limits or Limits())
    model = plain_model("bert", PIPELINES["wordpiece"]["vocab_size"])
    outcomes = run_head(head, states_of(model, encoded.rows), raw=False)
    return kind.decode(head.spec, encoded, outcomes)


@pytest.mark.parametrize("labels", (NLI, TURNED))
@pytest.mark.parametrize("text", (SENTENCES[0], LONG), ids=("short", "cut"))
@pytest.mark.parametrize(
    "parameters",
    (
        {"candidate_labels": CANDIDATES},
        {"candidate_labels": "bread, the sea", "multi_label": True},
        {"candidate_labels": CANDIDATES, "hypothesis_template": "It is about {}!"},
        {"candidate_labels": ["bread"]},
    ),
)
def test_labels_equal_the_pipelines(
    labels: tuple[str, ...], text: str, parameters: dict[str, Any]
) -> None:
    """Order and scores, wherever the label that says yes stands; only the text is cut."""
    files = AutoTokenizer.from_pretrained(GOLDENS / "wordpiece", model_max_length=64)
    classify = pipeline("zero-shot-classification", model=theirs(labels), tokenizer=files)
    expected = classify(text, **parameters)
    found = answer(asked(ZERO_SHOT, labels), text, **parameters)
    assert expected["labels"] == [item.label for item in found]
    assert expected["scores"] == pytest.approx([item.score for item in found], abs=1e-5)


def test_labels_may_stand_beside_the_text() -> None:
    """So that a task's examples, which have no parameters, can state them."""
    head = asked(ZERO_SHOT, NLI)
    beside = {"text": SENTENCES[0], "candidate_labels": CANDIDATES}
    assert answer(head, SENTENCES[0], candidate_labels=CANDIDATES) == answer(head, beside)


@pytest.mark.parametrize(
    ("inputs", "parameters", "field"),
    (
        ("a", {}, "parameters.candidate_labels"),
        ("a", {"candidate_labels": " , "}, "parameters.candidate_labels"),
        ("a", {"candidate_labels": "b", "hypothesis_template": "no place"}, "hypothesis_template"),
        ({"text": "a", "candidate_labels": 3}, {}, "inputs.candidate_labels"),
        ({"text": "a", "candidate_labels": "b"}, {"candidate_labels": "c"}, "candidate_labels"),
        ("a", {"candidate_labels": [LONG]}, "parameters.candidate_labels"),
    ),
)
def test_wrong_labels_name_their_field(inputs: Any, parameters: dict[str, Any], field: str) -> None:
    """The error says which member is wrong."""
    with pytest.raises(InvalidInput) as caught:
        answer(asked(ZERO_SHOT, NLI), inputs, **parameters)
    assert str(caught.value.field).endswith(field)


@pytest.mark.parametrize(("labels", "column"), ((("score",), 0), (NLI, 2), (("no", "yes"), 1)))
def test_texts_are_ranked_by_the_logits_of_their_pairs(
    labels: tuple[str, ...], column: int
) -> None:
    """As a cross-encoder does: sigmoids of a lone logit, of others the label's probability."""
    files = AutoTokenizer.from_pretrained(GOLDENS / "wordpiece")
    queries = [RANKING["query"]] * len(RANKING["texts"])
    pairs = files(queries, RANKING["texts"], padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = theirs(labels)(**pairs).logits
    odds = logits[:, 0] if len(labels) == 1 else torch.logit(logits.softmax(-1)[:, column])
    head = asked(RANKED, labels, **({"entailment": "yes"} if "yes" in labels else {}))
    for raw, scores in ((False, odds.sigmoid()), (True, odds)):
        found = answer(head, RANKING, raw_scores=raw)
        assert scores.argsort(descending=True).tolist() == [item.index for item in found]
        given = {item.index: item.score for item in found}
        assert scores.tolist() == pytest.approx([given[n] for n in range(4)], abs=1e-4)


def test_a_ranking_gives_its_best_texts_where_it_is_asked_for_them() -> None:
    """`top_k` of them, with their words."""
    found = answer(asked(RANKED, ("score",)), RANKING, top_k=2, return_text=True)
    best = answer(asked(RANKED, ("score",)), RANKING)[:2]
    assert [(one.index, RANKING["texts"][one.index]) for one in best] == [
        (one.index, one.text) for one in found
    ]


def windows_of(kind: Kind, inputs: Any, logits: Any, aggregation: Aggregation, **known: Any) -> Any:
    """The answer to an input in windows of such logits."""
    head = asked(kind, ("score",) if kind is RANKED else NLI)
    how, limits = HEADS[head.spec.head_type], Limits(30, Overflow.WINDOW, 0, aggregation)
    encoded = how.encode(head.spec, inputs, known, tokenizer_of("wordpiece"), limits)
    outcomes = [{"logits": np.array(row, np.float32)} for row in logits]
    return how.decode(head.spec, encoded, outcomes)


def test_long_texts_are_ranked_by_their_best_window() -> None:
    """By hand: a text in windows of 26 and 14 tokens beside a short one."""
    inputs = {"query": "a", "texts": [" ".join(["a"] * 40), "b"]}
    sure, logits = float(np.log(3.0)), [[0.0], [float(np.log(3.0))], [0.5]]
    best = windows_of(RANKED, inputs, logits, Aggregation.MAX, raw_scores=True)
    assert [(0, pytest.approx(sure)), (1, 0.5)] == [(one.index, one.score) for one in best]
    mean = windows_of(RANKED, inputs, logits, Aggregation.MEAN)
    assert 0.65 * 0.5 + 0.35 * 0.75 == pytest.approx(mean[1].score, abs=1e-6)


def test_raw_scores_of_windows_are_the_log_odds_of_what_is_scored() -> None:
    """Sigmoids of raw scores are the scores, which raw ones tell apart also when all but 1."""
    inputs = {"query": "a", "texts": [" ".join(["a"] * 40), "b"]}
    for logits in ([[0.0], [2.0], [0.5]], [[-3.0], [9.0], [-0.6]], [[30.0], [40.0], [31.0]]):
        raw, scored = (
            {one.index: one.score for one in windows_of(RANKED, inputs, logits, MEAN, **known)}
            for known in ({"raw_scores": True}, {})
        )
        sigmoids = {index: 1 / (1 + np.exp(-odds)) for index, odds in raw.items()}
        assert scored == pytest.approx(sigmoids, abs=1e-6)
    missing = (26 * np.exp(-30.0) + 14 * np.exp(-40.0)) / 40
    assert {0: -np.log(missing), 1: 31.0} == pytest.approx(raw, abs=1e-5)


def test_zero_shot_scores_of_windows_are_pooled() -> None:
    """By hand: the two labels compete in each window of the text."""
    text, sure = " ".join(["a"] * 40), float(np.log(3.0))
    logits = [[0, 0, 0], [0, 0, sure], [0, 0, 0], [0, 0, 0]]
    known = {"candidate_labels": ["a", "b"], "hypothesis_template": "{}"}
    found = windows_of(ZERO_SHOT, text, logits, Aggregation.MEAN, **known)
    assert 0.65 * 0.5 + 0.35 * 0.75 == pytest.approx(found[0].score, abs=1e-6)
    with pytest.raises(TooLong, match="no room"):
        windows_of(ZERO_SHOT, text, logits, Aggregation.MEAN, candidate_labels=[LONG])


@pytest.mark.parametrize(
    ("kind", "labels", "options", "code"),
    (
        (ZERO_SHOT, ("LABEL_0", "LABEL_1"), {}, "no_entailment"),
        (ZERO_SHOT, NLI, {"entailment": "maybe"}, "no_entailment"),
        (ZERO_SHOT, NLI, {"entailment": 3}, "no_entailment"),
        (ZERO_SHOT, ("score",), {}, "too_few_labels"),
        (RANKED, ("no", "yes"), {}, "no_entailment"),
    ),
)
def test_a_head_without_a_label_that_says_yes_is_rejected(
    kind: Kind, labels: tuple[str, ...], options: dict[str, Any], code: str
) -> None:
    """With the labels that there are."""
    with pytest.raises(RejectedAdapter) as refused:
        asked(kind, labels, **options)
    assert [code] == [note.code for note in refused.value.problems]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A small backbone."""
    made = Workshop("bert", tmp_path_factory.mktemp("entailment"))
    yield made
    made.engine.close()


def test_a_task_says_by_its_kind_what_its_head_is_asked(workshop: Workshop, tmp_path: Path) -> None:
    """One folder as three tasks: its labels, a request's labels, a request's texts."""
    random = torch.Generator().manual_seed(3)
    adapter = Leaf(str(write_task(tmp_path / "nli", workshop.facts, random)))
    engine, options = workshop.engine, {"entailment": "yes"}
    plain, zero_shot, ranking = (
        engine.prepare(TaskSpec(name, adapter=adapter, kind=kind, options=said))
        for name, kind, said in (
            ("plain", None, {}),
            ("zero", ZERO_SHOT, options),
            ("rank", RANKED, options),
        )
    )
    pair = {"text": "the cat", "text_pair": "a dog"}
    score = {one.label: one.score for one in ask(engine, plain, pair)}["yes"]
    (ranked,) = ask(engine, ranking, {"query": "the cat", "texts": ["a dog"]})
    (found,) = ask(engine, zero_shot, "the cat", candidate_labels="dog", hypothesis_template="a {}")
    assert (score, score) == pytest.approx((ranked.score, found.score), abs=1e-6)
    assert plain.head.digest == zero_shot.head.digest == ranking.head.digest
    assert engine.inspect(zero_shot.spec).facts["kind"] == ZERO_SHOT
    assert engine.outline(ranking.spec).kind == RANKED
    with pytest.raises(RejectedAdapter, match="unused_option"):
        engine.outline(TaskSpec("plain", adapter=adapter, options=options))
