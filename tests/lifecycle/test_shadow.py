from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from adapter_runtime import InvalidInput, Kind, LabelScore, TaskVersion, VersionFailed
from serving.lifecycle.judging.shadow import Heard, Shadows, Target
from serving.lifecycle.live.version import Version
from serving.service import Call
from tests.lifecycle.ready_versions import ready

YES, NO = [LabelScore("yes", 0.9)], [LabelScore("no", 0.9)]
CALL = Call("topic", ["secret one", "secret two"])


def shadow_of(version: Version) -> Target:
    assert version.prepared
    return Target(version.prepared, judged=version, is_shadow=True)


class Rig:
    """Shadows over a fake that answers copies; remembers what was heard."""

    def __init__(self, max_inside: int = 4) -> None:
        self.answers: Callable[[Call], Any] = lambda call: tuple(YES for _ in call.items)
        self.gate = asyncio.Event()
        self.gate.set()
        self.seen: list[tuple[str, Call]] = []
        self.heard: list[tuple[str, Any]] = []
        self.is_busy = False
        heard = Heard(
            lambda target, agreed: self.heard.append(("compared", agreed)),
            lambda target, error: self.heard.append(("failed", type(error))),
            lambda target, why: self.heard.append(("skipped", why)),
        )
        self.shadows = Shadows(self.aside, heard, max_inside, lambda: self.is_busy)

    async def aside(self, version: TaskVersion, call: Call) -> tuple[Any, ...]:
        self.seen.append((version.id, call))
        await self.gate.wait()
        found: tuple[Any, ...] = self.answers(call)
        return found

    def offer(self, *targets: Target, call: Call = CALL) -> None:
        outputs = [YES for _ in call.items]
        self.shadows.offer(call, Kind.TEXT_CLASSIFICATION, outputs, "1", targets)

    async def settle(self) -> None:
        while self.shadows.num_inside:
            await asyncio.sleep(0)


async def test_a_shadow_is_compared_item_by_item() -> None:
    """One of two answers differs: that is one disagreement, in the shadow's own traffic."""
    rig, shadow = Rig(), ready("2", shadow=True)
    rig.answers = lambda call: (YES, NO)
    rig.offer(shadow_of(shadow))
    assert [] == rig.heard
    await rig.settle()
    assert [("2", CALL)] == rig.seen
    assert [("compared", True), ("compared", False)] == rig.heard
    view = shadow.traffic.view()
    assert (1, 0, 2, 1) == (view.requests, view.errors, view.compared, view.disagreed)
    assert view.p50_s is not None


async def test_every_shadow_gets_a_copy_and_the_version_that_answered_gets_none() -> None:
    """A version is not held against itself."""
    rig = Rig()
    rig.offer(*(shadow_of(ready(id)) for id in ("1", "2", "3")))
    await rig.settle()
    assert ["2", "3"] == [id for id, _ in rig.seen]


async def test_a_canary_is_judged_by_the_heaviest_version_s_answer() -> None:
    """The comparison is the canary's; the copy is no request of either."""
    rig, canary, heaviest = Rig(), ready("1", 10), ready("9", 90)
    rig.answers = lambda call: (NO, NO)
    assert heaviest.prepared
    rig.offer(Target(heaviest.prepared, judged=canary, is_shadow=False))
    await rig.settle()
    assert (0, 2, 2) == (
        canary.traffic.view().requests,
        canary.traffic.view().compared,
        canary.traffic.view().disagreed,
    )
    assert (0, 0) == (heaviest.traffic.view().requests, heaviest.traffic.view().compared)


async def test_a_shadow_s_own_failure_counts_against_it() -> None:
    """A version that raises on a copy would raise on a request."""
    rig, shadow = Rig(), ready("2")
    rig.answers = lambda call: raises(VersionFailed("NaN in the secret"))
    rig.offer(shadow_of(shadow))
    await rig.settle()
    assert [("failed", VersionFailed)] == rig.heard
    assert (1, 1, 0) == (
        shadow.traffic.view().requests,
        shadow.traffic.view().errors,
        shadow.traffic.view().compared,
    )


async def test_the_heaviest_version_s_failure_is_not_the_canary_s() -> None:
    """It is heard of and counted for nobody here."""
    rig, canary, heaviest = Rig(), ready("1", 10), ready("9", 90)
    rig.answers = lambda call: raises(VersionFailed("NaN"))
    assert heaviest.prepared
    rig.offer(Target(heaviest.prepared, judged=canary, is_shadow=False))
    await rig.settle()
    assert [("failed", VersionFailed)] == rig.heard
    assert 0 == canary.traffic.view().errors


def raises(error: Exception) -> Any:
    raise error


async def test_a_mistake_of_the_client_counts_for_nothing() -> None:
    """The shadow may well read its inputs in another way; nobody is to blame."""
    rig, shadow = Rig(), ready("2")
    rig.answers = lambda call: raises(InvalidInput("is empty."))
    rig.offer(shadow_of(shadow))
    await rig.settle()
    assert [("skipped", "refused")] == rig.heard
    assert 0 == shadow.traffic.view().requests


async def test_no_copy_is_made_while_the_queue_is_long() -> None:
    """Shadows never add to a jam; what was skipped is counted."""
    rig = Rig()
    rig.is_busy = True
    rig.offer(shadow_of(ready("2")))
    assert [("skipped", "busy")] == rig.heard
    assert 0 == rig.shadows.num_inside


async def test_only_so_many_copies_run_at_once() -> None:
    """The next one is skipped, and taken again when one has ended."""
    rig, target = Rig(max_inside=2), shadow_of(ready("2"))
    rig.gate.clear()
    rig.offer(target, target, target)
    assert [("skipped", "full")] == rig.heard
    rig.gate.set()
    await rig.settle()
    rig.offer(target)
    assert 1 == rig.shadows.num_inside
    await rig.settle()
    assert 6 == rig.heard.count(("compared", True))


async def test_a_copy_that_never_ends_is_given_up_at_the_deadline() -> None:
    """A hanging version must not fill the room for copies, and is not called wrong for it."""
    rig, shadow = Rig(), ready("2")
    rig.gate.clear()
    rig.offer(shadow_of(shadow), call=Call("topic", ["x"], deadline_s=0.01))
    await rig.settle()
    assert [("skipped", "refused")] == rig.heard
    assert 0 == shadow.traffic.view().requests


async def test_closing_drops_copies_and_takes_no_more() -> None:
    """Nothing is left running, and nothing is heard of what was dropped."""
    rig = Rig()
    rig.gate.clear()
    rig.offer(shadow_of(ready("2")), shadow_of(ready("3")))
    await asyncio.sleep(0)
    assert 2 == len(rig.seen)
    await rig.shadows.close()
    rig.offer(shadow_of(ready("2")))
    assert 0 == rig.shadows.num_inside
    assert [] == rig.heard


async def test_a_version_of_another_kind_disagrees() -> None:
    """Even where the answers look alike: no client could read the one for the other."""
    rig = Rig()
    rig.answers = lambda call: ([], [])
    rig.shadows.offer(CALL, Kind.FILL_MASK, [[], []], "1", [shadow_of(ready("2"))])
    await rig.settle()
    assert [("compared", False)] * 2 == rig.heard


async def test_the_two_kinds_that_embed_are_one() -> None:
    """A task may be called by either and answers both questions."""
    rig, target = Rig(), shadow_of(ready("2", kind=Kind.SENTENCE_SIMILARITY))
    rig.answers = lambda call: ([1.0, 0.1], [1.0, 0.0])
    outputs = [[1.0, 0.0], [1.0, 0.0]]
    rig.shadows.offer(CALL, Kind.FEATURE_EXTRACTION, outputs, "1", [target])
    await rig.settle()
    assert [("compared", True)] * 2 == rig.heard


async def test_the_best_label_alone_is_compared_as_a_label() -> None:
    """The version's labels tell it from the value of a task with one label."""
    rig = Rig()
    rig.answers = lambda call: ([LabelScore("yes", 0.6)],) * 2
    rig.offer(shadow_of(ready("2")))
    await rig.settle()
    assert [("compared", True)] * 2 == rig.heard


async def test_other_work_goes_on_between_the_items_of_a_comparison() -> None:
    """A thousand long vectors are not compared in one go."""
    rig = Rig()
    rig.offer(shadow_of(ready("2")))
    while not rig.heard:
        await asyncio.sleep(0)
    assert [("compared", True)] == rig.heard
    await rig.settle()


async def test_too_few_answers_are_reported_without_what_was_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug in what answers copies must not go unseen, nor tell the log any input."""
    rig, target = Rig(), shadow_of(ready("2"))
    rig.answers = lambda call: (YES,)
    with caplog.at_level(logging.DEBUG):
        rig.offer(target)
        await rig.settle()
    assert "A copy for topic was lost: ValueError" in caplog.text
    assert "secret" not in caplog.text


async def test_an_offer_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    """Not even when whoever listens does: the client's answer is on its way already."""
    heard = Heard(*(lambda *_: raises(RuntimeError("secret")) for _ in range(3)))
    rig = Rig()
    for is_busy in (False, True):
        shadows = Shadows(rig.aside, heard, 1, lambda is_busy=is_busy: is_busy)
        shadows.offer(CALL, Kind.TEXT_CLASSIFICATION, [YES, YES], "1", [shadow_of(ready("2"))])
        while shadows.num_inside:
            await asyncio.sleep(0)
    assert 2 == caplog.text.count("A copy for topic was lost: RuntimeError")
    assert "secret" not in caplog.text
