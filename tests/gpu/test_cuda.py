"""What only a CUDA device can show: `make test TESTS=tests/gpu` on a machine that has one.

Forwards that are recorded as CUDA graphs are in `test_cuda_graphs`.
"""

import threading

import numpy as np
import pytest
import torch

from adapter_runtime import EngineConfig, WorkItem, open_engine
from adapter_runtime.backbone import attention_cuda
from adapter_runtime.backbone.attention import packed_attention
from adapter_runtime.backbone.cuda import has_flash
from adapter_runtime.backbone.routing import Layout, Routing
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.residency.uploads import bring
from serving.catalog.entries import read_spec
from tests.goldens import replay

pytestmark = pytest.mark.gpu

LIBRARY_TOLERANCE = 1e-4  # float32 without TF32
ROW_TOLERANCE = 1e-5  # float32, of the largest number or of 1
HALF_TOLERANCE = 0.1  # bfloat16 has 8 bits, over two layers of random weights
NEAR = 0.99  # cosine
FEW_SLOTS = 6


class Engine:
    """An engine on the device, and the golden tasks that it answers.

    Args:
        backbone: of the goldens.
        options: of its configuration.
    """

    def __init__(self, backbone, **options):
        source = str(replay.saved_backbone(backbone))
        self.opened = open_engine(source, EngineConfig(device="cuda", **options))
        self.cases = [case for case in replay.all_cases() if case.backbone == backbone]

    def items(self, cases):
        """Every row of some cases, the cases interleaved, and what the library answered."""
        found = []
        for case in cases:
            name = f"{case.group}-{case.entry['name']}".replace("/", "-")
            task = {"name": name, **case.entry["task"]}
            spec = read_spec(task, replay.checkpoints(case.group, case.backbone))
            version = self.opened.read(spec)
            found += [
                (place, case, WorkItem(version, row, raw=True))
                for place, row in enumerate(case.rows())
            ]
        return sorted(found, key=lambda each: each[0])

    def raw(self, items):
        """The raw members of each item's answer, all in one batch."""
        outcomes = self.opened.run(items).outcomes
        assert [] == [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        encoded = [replay.Encoded((item.row,)) for item in items]
        return [
            replay.members(self.opened.raw(item.version, rows, [outcome]))
            for item, rows, outcome in zip(items, encoded, outcomes, strict=True)
        ]


def is_same(found, expected):
    """Whether two answers differ by no more than the order of sums may make them."""
    most = max(1.0, np.abs(expected).max(initial=0.0))
    return np.abs(found - expected).max(initial=0.0) <= ROW_TOLERANCE * most


@pytest.fixture(scope="module", params=("bert", "llama", "modernbert", "bart", "deberta"))
def single(request):
    """Engines in float32, one for each way of attention."""
    return Engine(request.param, dtype="float32")


def test_float32_answers_equal_the_library(single):
    """All methods and heads of a backbone in one batch, against what their libraries computed."""
    found = single.items(single.cases)
    answers = single.raw([item for *_, item in found])
    for (row, case, _), raw in zip(found, answers, strict=True):
        for member in case.entry["members"]:
            gap = np.abs(raw[member] - case.expected(member)[row]).max(initial=0.0)
            assert gap < LIBRARY_TOLERANCE, (case.name, row, member, gap)


def test_a_row_of_a_mixed_batch_equals_the_row_alone(single):
    """Neighbours of all methods change nothing."""
    found = single.items(single.cases[::7])
    items = [item for *_, item in found]
    for item, raw in zip(items, single.raw(items), strict=True):
        (alone,) = single.raw([item])
        for member, values in raw.items():
            assert is_same(values, alone[member]), (item.version.task, member)


@pytest.mark.parametrize("backbone", ("bert", "llama", "modernbert"))
def test_bfloat16_answers_stay_near_the_library(backbone):
    """Attention in one call and grouped products, over every method and head."""
    engine = Engine(backbone, dtype="bfloat16")
    found = engine.items(engine.cases)
    answers = engine.raw([item for *_, item in found])
    for (row, case, _), raw in zip(found, answers, strict=True):
        for member in case.entry["members"]:
            got, expected = raw[member].ravel(), case.expected(member)[row].ravel()
            length = max(np.linalg.norm(got) * np.linalg.norm(expected), 1e-9)
            is_close = np.abs(got - expected).max(initial=0.0) < HALF_TOLERANCE
            assert is_close or got @ expected / length > NEAR, (case.name, row, member)


@pytest.mark.parametrize("num_heads", (4, 2), ids=["own-keys", "shared-keys"])
@pytest.mark.parametrize("has_prefixes", (False, True), ids=["bare", "prefixes"])
@pytest.mark.parametrize("window", (None, 1, 40))
@pytest.mark.parametrize("is_causal", (False, True))
def test_attention_in_one_call_equals_attention_row_by_row(
    is_causal, window, has_prefixes, num_heads, monkeypatch
):
    """The kernel against the loop in float32, from the same bfloat16 numbers."""
    lengths = (5, 1, 130, 64)
    spans = RowSpans((0, 5, 6, 136), lengths, sum(lengths))
    torch.manual_seed(0)
    query, key, value = (
        torch.randn(1, heads, spans.num_tokens, 64, device="cuda").bfloat16()
        for heads in (4, num_heads, num_heads)
    )
    prefix = torch.randn(2, num_heads, 9, 64, device="cuda").bfloat16()
    prefixes = [None, tuple(prefix), tuple(prefix), None] if has_prefixes else None
    if not has_flash(query.device):
        pytest.skip("the device is older than Ampere")
    assert attention_cuda.has_kernel(query, value, spans, prefixes)
    together = attention_cuda.attend(
        *(query, key, value, spans, prefixes), is_causal=is_causal, window=window, scaling=None
    )
    module = type("Module", (), {"is_causal": is_causal})
    wide = prefixes and [each and tuple(side.float() for side in each) for each in prefixes]
    expected, _ = packed_attention(
        *(module, query.float(), key.float(), value.float(), None),
        routing=Routing(Layout.PACKED, spans, {}),
        prefixes=wide,
        sliding_window=window,
    )
    torch.testing.assert_close(together.float(), expected, atol=0.02, rtol=0.02)


def test_a_row_has_the_same_bits_in_any_batch():
    """One row's attention beside longer and shorter ones, and by itself."""
    torch.manual_seed(0)
    spans, alone = RowSpans((0, 200, 211), (200, 11, 300), 511), RowSpans((0,), (11,), 11)
    states = torch.randn(3, 1, 4, 511, 64, device="cuda").bfloat16()
    if not has_flash(states.device):
        pytest.skip("the device is older than Ampere")
    options = {"is_causal": False, "window": None, "scaling": None}
    together = attention_cuda.attend(*states, spans, None, **options)
    by_itself = attention_cuda.attend(*states[..., 200:211, :], alone, None, **options)
    assert torch.equal(together[:, 200:211], by_itself)


def test_uploads_have_landed_when_they_are_used():
    """Weights are whole in the stream of the forwards, while that is busy and while it is not."""
    device = torch.device("cuda", torch.cuda.current_device())
    busy = torch.randn(2048, 2048, device=device)
    for turn in range(50):
        weights = [{"down": torch.full((64, 333), float(turn)), "up": torch.arange(70.0) + turn}]
        for _ in range(turn % 3):
            busy = (busy @ busy).tanh()
        (found,) = bring(weights, device)
        sums = torch.stack([found["down"].sum(), found["up"].sum()])
        expected = torch.stack([weights[0]["down"].sum(), weights[0]["up"].sum()])
        torch.testing.assert_close(sums.cpu(), expected)


def test_adapters_that_come_and_go_under_load_answer_as_before():
    """More adapters than slots, from several threads: every answer is its own adapter's."""
    engine = Engine("bert", dtype="float32", max_slots=FEW_SLOTS)
    plain = [case for case in engine.cases if isinstance(case.entry["task"].get("adapter"), str)]
    items = [item for row, _, item in engine.items(plain[:24]) if row == 0]
    expected = [engine.raw([item])[0] for item in items]
    wrong: list[str] = []

    def ask(offset):
        for number in (*range(offset, len(items)), *range(offset)):
            (raw,) = engine.raw([items[number]])
            for member, values in raw.items():
                if not is_same(values, expected[number][member]):
                    wrong.append(items[number].version.task)

    threads = [threading.Thread(target=ask, args=(offset,)) for offset in (0, 8, 16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == wrong
    assert engine.opened.slots.num_evicted > 0
    engine.opened.slots.check_integrity()
