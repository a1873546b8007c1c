from __future__ import annotations

import pytest
import torch

from adapter_runtime import (
    AdapterRuntime,
    EngineConfig,
    InvalidInput,
    Leaf,
    SettingsError,
    Stack,
    UnknownTask,
    open_engine,
)
from tests.engine.workshop import write_backbone

TOLERANCE = 1e-5  # fp32
CONFIGS = ("pfeiffer", "houlsby", "scaled_parallel", "lora", "ia3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny backbone on disk."""
    return write_backbone("bert", tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def runtime(folder):
    """A runtime with one adapter per method and a head for each, under the same name."""
    made = AdapterRuntime.from_pretrained(str(folder))
    for name in CONFIGS:
        made.add_adapter(name, config=name)
        made.add_classification_head(name, num_labels=3, id2label={0: "a", 1: "b", 2: "c"})
    made.set_active_adapters(None)
    yield made
    made.close()


def ids(*rows):
    """Padded token ids and their mask."""
    width = max(map(len, rows))
    tokens = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    return tokens, (tokens != 0).long()


def test_activating_a_name_activates_adapter_and_head(runtime):
    """An adapter and the head of its name belong together."""
    runtime.set_active_adapters("lora")
    assert (Leaf("lora"), "lora") == (runtime.active_adapters, runtime.active_head)


def test_activating_a_stack_takes_the_last_ones_head(runtime):
    """A list is a Stack, as in the adapters library."""
    runtime.set_active_adapters(["pfeiffer", "houlsby"])
    assert Stack((Leaf("pfeiffer"), Leaf("houlsby"))) == runtime.active_adapters
    assert runtime.active_head == "houlsby"


def test_a_name_without_a_head_leaves_the_active_head(runtime):
    """The head stays as it is where none has the adapter's name."""
    runtime.set_active_adapters("lora")
    runtime.add_adapter("headless", config="pfeiffer", set_active=True)
    assert runtime.active_head == "lora"


def test_a_name_of_a_head_alone_activates_it_on_the_bare_backbone(runtime):
    """A head-only task is a task."""
    runtime.add_tagging_head("tags", num_labels=4)
    runtime.set_active_adapters("tags")
    assert (None, "tags") == (runtime.active_adapters, runtime.active_head)
    assert len(runtime.predict("the cat sat", aggregation_strategy="none")) <= 3


def test_unknown_names_say_which_are_known(runtime):
    """A wrong name is an error that lists what there is."""
    with pytest.raises(UnknownTask, match="pfeiffer"):
        runtime.set_active_adapters("pfeifer")
    with pytest.raises(UnknownTask, match="pfeiffer"):
        runtime.predict("text", task="pfeifer")


def test_each_row_goes_to_its_own_task(runtime):
    """A list of tasks routes row by row, and each equals its task alone."""
    texts = ["the cat sat", "a dog saw the red house", "what is it"]
    tasks = ["pfeiffer", "lora", "ia3"]
    mixed = runtime.predict(texts, task=tasks)
    alone = [runtime.predict(text, task=task) for text, task in zip(texts, tasks, strict=True)]
    for left, right in zip(mixed, alone, strict=True):
        assert [score.label for score in left] == [score.label for score in right]
        assert [score.score for score in left] == pytest.approx(
            [score.score for score in right], abs=TOLERANCE
        )


def test_as_many_tasks_as_inputs_are_wanted(runtime):
    """A list of tasks of another length is refused."""
    with pytest.raises(InvalidInput, match="task"):
        runtime.predict(["the cat"], task=["lora", "ia3"])


def test_a_call_may_override_adapters_and_head_once(runtime):
    """`adapter_names` and `head` hold for one call and leave what is active."""
    tokens, mask = ids([2, 7, 8, 3], [2, 9, 3])
    runtime.set_active_adapters("lora")
    overridden = runtime.forward(tokens, mask, adapter_names="houlsby", head="houlsby").logits
    assert runtime.active_head == "lora"
    runtime.set_active_adapters("houlsby")
    assert torch.allclose(overridden, runtime.forward(tokens, mask).logits, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("tensors", "place"),
    (
        ({"input_ids": torch.zeros(0, 4, dtype=torch.long)}, "input_ids"),
        ({"input_ids": torch.tensor([5, 6])}, "input_ids"),
        ({"input_ids": torch.tensor([[5, 6]]), "attention_mask": torch.ones(1, 3)}, "attention_m"),
        ({"input_ids": torch.tensor([[5]]), "token_type_ids": torch.tensor([[7]])}, "token_type"),
    ),
)
def test_tensors_that_are_no_rows_are_named(runtime, tensors, place):
    """An index out of range would not say which of them is wrong."""
    with pytest.raises(InvalidInput, match=place):
        runtime.forward(**tensors)


def test_any_number_of_inputs_and_tasks_is_answered(folder, monkeypatch):
    """In batches that fit the slots and memory, each answer in its place."""
    config = EngineConfig(device="cpu", streams=1, max_slots=2)
    made = AdapterRuntime(open_engine(str(folder), config))
    for name in CONFIGS:
        made.add_adapter(name, config=name)
        made.add_classification_head(name, num_labels=3)
    sizes, run = [], made.engine.run
    monkeypatch.setattr(
        made.engine, "run", lambda items, *rest: sizes.append(len(items)) or run(items, *rest)
    )
    texts = [f"w{number}" for number in range(20)]
    names = [CONFIGS[number % len(CONFIGS)] for number in range(20)]
    together = made.predict(texts, task=names)
    assert sizes == [8, 8, 4]
    alone = [made.predict(text, task=name) for text, name in zip(texts, names, strict=True)]
    made.close()
    for one, other in zip(together, alone, strict=True):
        scores = {each.label: each.score for each in other}
        assert {each.label: each.score for each in one} == pytest.approx(scores, abs=TOLERANCE)


def test_padding_does_not_reach_the_hidden_states(runtime):
    """Hidden states come back padded with zeros, each row as it is alone."""
    tokens, mask = ids([2, 7, 8, 3], [2, 9, 3])
    both = runtime.forward(tokens, mask, adapter_names=None, head=None).last_hidden_state
    alone = runtime.forward(tokens[1:, :3], adapter_names=None, head=None).last_hidden_state
    assert torch.allclose(both[1, :3], alone[0], atol=TOLERANCE)
    assert not both[1, 3].any()


def test_heads_give_the_shapes_of_their_kind(runtime):
    """Question answering, tagging and multiple choice, as the adapters library shapes them."""
    tokens, mask = ids([2, 7, 8, 3], [2, 9, 3])
    runtime.add_qa_head("qa")
    runtime.add_tagging_head("tags", num_labels=4)
    runtime.add_multiple_choice_head("choice")
    assert runtime.forward(tokens, mask, head="qa").start_logits.shape == (2, 4)
    assert runtime.forward(tokens, mask, head="tags").logits.shape == (2, 4, 4)
    stacked = tokens.unsqueeze(0), mask.unsqueeze(0)
    assert runtime.forward(*stacked, head="choice").logits.shape == (1, 2)


@pytest.mark.parametrize("config", CONFIGS)
def test_what_is_saved_loads_again_with_equal_logits(runtime, folder, tmp_path, config):
    """Adapter and head of one name are saved and loaded together."""
    tokens, mask = ids([2, 7, 8, 3], [2, 9, 3])
    runtime.save_adapter(tmp_path, config)
    again = AdapterRuntime.from_pretrained(str(folder))
    assert again.load_adapter(str(tmp_path), set_active=True) == config
    runtime.set_active_adapters(config)
    assert torch.equal(again.forward(tokens, mask).logits, runtime.forward(tokens, mask).logits)
    assert {score.label for score in again.predict("the cat")} == {"a", "b", "c"}
    again.close()


def test_a_deleted_adapter_is_no_longer_active(runtime):
    """Deleting leaves the head, and nothing active that is gone."""
    runtime.set_active_adapters("lora")
    runtime.delete_adapter("lora")
    assert runtime.active_adapters is None
    assert "lora" in runtime.heads
    runtime.delete_head("lora")
    assert runtime.active_head is None


def test_deleted_weights_leave_memory_once_no_name_has_them(runtime, tmp_path):
    """Adapter and head that were loaded under two names stay until both are gone."""
    store = runtime.engine.library.store
    runtime.save_adapter(tmp_path, "lora")
    names = [runtime.load_adapter(str(tmp_path), name) for name in ("one", "two")]
    runtime.predict("the cat sat", task="one")
    digests = [runtime._shelf.adapter("one").digest, runtime._shelf.head("one").spec.digest]
    for name, is_there in zip(names, (True, False), strict=True):
        runtime.delete_adapter(name)
        runtime.delete_head(name)
        assert [digest in store for digest in digests] == [is_there, is_there]
    assert digests[0] not in runtime.engine.slots


@pytest.mark.parametrize("kind", ("masked_lm", "causal_lm", "dependency_parsing"))
def test_new_heads_of_words_and_parses_answer_and_are_saved(runtime, tmp_path, kind):
    """They start as the library's do, and read back with equal weights."""
    getattr(runtime, f"add_{kind}_head")(kind)
    assert runtime.active_head == kind
    runtime.save_head(tmp_path, kind)
    runtime.load_head(str(tmp_path), name="again")
    before, after = (runtime.engine.library.item(digest) for digest in _digests(runtime, kind))
    assert before.tensors.keys() == after.tensors.keys()
    assert all(torch.equal(before.tensors[key], after.tensors[key]) for key in before.tensors)


def _digests(runtime, kind):
    names = (kind, "again")
    return [runtime._shelf.head(name).spec.digest for name in names]


def test_heads_that_the_library_has_not_for_a_model_are_not_saved(runtime, tmp_path):
    """A file that nobody could load is worse than a reason."""
    runtime.add_seq2seq_lm_head("words")
    with pytest.raises(SettingsError, match="no such seq2seq_lm head for bert"):
        runtime.save_head(tmp_path, "words")
