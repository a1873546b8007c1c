"""BART, mBART, PLBART, T5 and mT5: packed rows, decoder inputs, texts up to logits, traps."""

from __future__ import annotations

import json
import zipfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import orjson
import pytest
import torch
from transformers import AutoConfig, AutoModel

from adapter_runtime import Encoded, WorkItem
from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.blocks_seq2seq import last_token, shift_right, start_token
from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.engine.forward import BatchRunner, Job
from adapter_runtime.errors import BackboneError, RejectedAdapter, RowFailed
from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import PlugPoint, Row, Site
from serving.batch import command
from serving.settings import load_settings
from tests.backbone.tiny import random_row
from tests.engine_forward.collect import Collect, largest_gap
from tests.goldens import replay
from tests.goldens.filling import fill_backbone
from tests.goldens.models import MODELS

FAMILIES = ("bart", "mbart", "plbart", "t5", "mt5")
LENGTHS = (5, 1, 33, 5, 9, 60, 2, 12)
TOLERANCE = 1e-5  # fp32
TEXTS = replay.SETS / "seq2seq_texts"
KINDS = ("bart", "mbart", "mbart50", "t5")


def opened(name: str) -> Backbone:
    """A filled tiny encoder-decoder as a Backbone."""
    folder = Folder(replay.saved_backbone(name), name)
    return load_backbone(folder, torch.device("cpu"), torch.float32)


@cache
def plain(name: str) -> torch.nn.Module:
    """The same model as Hugging Face runs it."""
    model = MODELS[name]
    config = AutoConfig.for_model(model.model_type, **model.config)
    return fill_backbone(AutoModel.from_config(config, attn_implementation="eager"))


def states(name: str, row: Row) -> torch.Tensor:
    """What the plain model answers for one row alone."""
    model, inputs = plain(name), {"input_ids": torch.tensor([row.input_ids])}
    if "t5" in name:
        inputs["decoder_input_ids"] = model._shift_right(inputs["input_ids"])
    with torch.no_grad():
        return model(**inputs).last_hidden_state[0]


@pytest.mark.parametrize("num_streams", (1, 2))
@pytest.mark.parametrize("name", FAMILIES)
def test_rows_of_a_batch_equal_the_plain_model_on_each_row_alone(name, num_streams):
    """Encoder, decoder and cross attention each stay inside their row."""
    backbone = opened(name)
    slots = SlotPool({}, backbone.bases, backbone.device, backbone.dtype)
    runner = BatchRunner(backbone, slots, num_streams)
    rows = [random_row(length, seed) for seed, length in enumerate(LENGTHS)]
    found = Collect()
    report = runner.run([Job(row, None) for row in rows], found)
    runner.close()
    assert not report.errors
    for number, row in enumerate(rows):
        expected = states(name, row)
        assert largest_gap(found.states[number], expected) <= TOLERANCE * expected.abs().max()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_linear_of_both_stacks_is_a_plug_point(name):
    """Decoder layers go on counting where the encoder's end; only they have cross attention."""
    facts = opened(name).facts
    assert set(facts.linears) <= set(facts.modules)
    assert facts.num_layers == len(facts.layer_paths) == (5 if name == "mt5" else 4)
    crossed = [PlugPoint(layer, Site.CROSS) in facts.adapter_paths for layer in range(4)]
    assert crossed == [False, False, True, True]
    assert facts.layer_paths[2].startswith("decoder.")


def test_the_decoder_reads_the_input_shifted_right():
    """BART and T5 start with a token of the config, mBART with the row's own last token."""
    ids = torch.tensor([[7, 8, 2, 5, 6, 1, 9, 2, 96]])
    spans = RowSpans([0, 3], [3, 6], 9)
    shifted = shift_right(ids, spans, start_token(plain("bart")))
    assert shifted.tolist() == [[2, 7, 8, 2, 5, 6, 1, 9, 2]]
    # Hugging Face counts the tokens that are no padding, so one amid them moves the place.
    wrapped = shift_right(ids, spans, last_token(padding=1))
    assert wrapped.tolist() == [[2, 7, 8, 2, 5, 6, 1, 9, 2]]


def test_a_backbone_without_a_start_token_says_so():
    """T5's configurations name it; one that does not cannot feed its decoder."""
    config = AutoConfig.for_model("t5", **MODELS["t5"].config | {"decoder_start_token_id": None})
    with pytest.raises(BackboneError, match="decoder_start_token_id"):
        start_token(AutoModel.from_config(config))


def _answer(backbone: str, case: str, rows: list[Row]) -> list[object]:
    """One golden's task on other rows, in one batch: raw answers and errors."""
    engine = replay.engine(backbone, is_fast=True)
    (found,) = (each for each in replay.all_cases() if each.name == f"seq2seq-{backbone}-{case}")
    version = replay.version_of(found)
    items = [WorkItem(version, row, raw=True) for row in rows]
    return [
        outcome
        if isinstance(outcome, Exception)
        else engine.raw(version, Encoded((row,)), [outcome])["logits"]
        for row, outcome in zip(rows, engine.run(items).outcomes, strict=True)
    ]


def test_t35_the_last_end_token_stands_for_each_row():
    """Rows of one batch may hold any number of them, at any place; none at all is an error."""
    rows = [Row((5, 6, 2)), Row((5, 2, 6, 2, 7)), Row((5, 2, 6, 2, 8)), Row((5, 6))]
    one, two, same, none = _answer("bart", "flex_classification", rows)
    assert isinstance(none, RowFailed)
    assert "end-of-text" in str(none)
    (alone,) = _answer("bart", "flex_classification", rows[:1])
    assert np.abs(np.array(one) - np.array(alone)).max() < TOLERANCE
    # What stands after the token is read by the encoder, so it does matter.
    assert np.abs(np.array(two) - np.array(same)).max() > 1e-3


def test_t28_layers_left_out_across_the_border_have_no_parts():
    """Layer 1 is the encoder's last, layer 2 the decoder's first."""
    (case,) = (each for each in replay.all_cases() if each.name == "seq2seq-bart-cross_left_out")
    version = replay.version_of(case)
    engine = replay.engine("bart", is_fast=True)
    adapter = engine.library.item(version.composition.ref)
    sites = {(part.point.layer, part.point.site) for part in adapter.parts}
    layers = {Site.ATTENTION, Site.FFN}
    assert sites == {(0, site) for site in layers} | {(3, site) for site in (*layers, Site.CROSS)}


def test_prompt_tuning_is_refused(tmp_path):
    """The library has none for these models, so a file that claims it is no such file."""
    config = {"architecture": "prompt_tuning", "prompt_length": 3, "combine": "prefix"}
    content = {"config": config, "name": "x", "model_type": "bart", "version": "adapters.1.3.0"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(content))
    name = "model.prompt_tuning.prompt_tunings.x.prompt_embedding.weight"
    torch.save({name: torch.zeros(3, 32)}, tmp_path / "pytorch_adapter.bin")
    with pytest.raises(RejectedAdapter, match="rompt"):
        _prepare("bart", {"adapter": str(tmp_path)})


def _prepare(backbone: str, task: dict[str, object]) -> None:
    replay.engine(backbone, is_fast=True).prepare(
        replay.read_spec({"name": "x", **task}, Path("/"))
    )


@cache
def texts_of(kind: str) -> Path:
    """A tokenizer's backbone with weights, and its adapters, as a user has them."""
    root = Path(mkdtemp(prefix="texts-"))
    with zipfile.ZipFile(TEXTS / "folders.zip") as archive:
        archive.extractall(root)
    folder = root / kind / "backbone"
    config = AutoConfig.from_pretrained(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    fill_backbone(AutoModel.from_config(config)).save_pretrained(folder)
    # The library's own configuration, not the one that transformers has just written.
    (folder / "config.json").write_bytes(files["config.json"])
    return root / kind


def expected(name: str) -> np.ndarray:
    """What the library computed for a text."""
    with np.load(TEXTS / "expected.npz") as stored:
        found: np.ndarray = stored[name]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_texts_become_the_rows_that_the_library_makes(kind):
    """End tokens, language codes and templates are those of the tokenizer's class."""
    folder = Folder(texts_of(kind) / "backbone", kind)
    tokenizer = load_backbone(folder, torch.device("cpu"), torch.float32).tokenizer
    for number, text in enumerate(json.loads((TEXTS / "texts.json").read_text())):
        tokens, _ = tokenizer.encode(*(text if isinstance(text, list) else (text,)))
        assert tokens.ids == tuple(expected(f"{kind}/ids{number}"))


@pytest.mark.parametrize("kind", KINDS)
def test_batch_answers_texts_with_the_librarys_logits(kind, tmp_path):
    """From `polyhead batch --raw` on saved files to logits, for classification and answering."""
    home = texts_of(kind)
    tasks = {
        "tasks": [{"name": name, "adapter": str(home / name)} for name in ("classification", "qa")]
    }
    (tmp_path / "tasks.yaml").write_text(json.dumps(tasks))
    texts = json.loads((TEXTS / "texts.json").read_text())
    inputs = [
        {"text": text[0], "text_pair": text[1]} if isinstance(text, list) else text
        for text in texts
    ]
    lines = [{"task": "classification", "inputs": each} for each in inputs]
    question, context = texts[2]
    lines.append({"task": "qa", "inputs": {"question": question, "context": context}})
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    settings = load_settings(tasks=str(tmp_path / "tasks.yaml"), backbone=str(home / "backbone"))
    assert command.batch(tmp_path / "in.jsonl", tmp_path / "out.jsonl", settings, raw=True) == 0
    *rows, answer = map(orjson.loads, (tmp_path / "out.jsonl").read_bytes().splitlines())
    for number, row in enumerate(rows):
        gap = np.abs(row["logits"] - expected(f"{kind}/classification{number}")).max()
        assert gap < 1e-4
    both = [answer["logits"]["start"], answer["logits"]["end"]]
    assert np.abs(both - expected(f"{kind}/qa2")).max() < 1e-4
