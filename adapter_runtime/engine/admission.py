"""What a version must pass before it serves: room, a forward, and its examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from adapter_runtime.engine.examples import check_examples
from adapter_runtime.types import Note, Row, TaskVersion, WorkItem

if TYPE_CHECKING:
    from adapter_runtime.engine.engine import LocalEngine

PROBE_TOKENS = 8
_FIRST_TOKEN = 5


def admission_problems(version: TaskVersion, engine: LocalEngine) -> Sequence[Note]:
    """Why a version whose files were accepted may not serve; none when it may. Blocks.

    Runs a short forward, then the task's examples.

    Raises:
        RejectedAdapter: there could never be room for it.
    """
    spec = version.spec
    engine.room.check(spec.name, engine.needs(version), is_pinned=spec.pinned)
    return _try_forward(version, engine) or check_examples(version, engine)


def _try_forward(version: TaskVersion, engine: LocalEngine) -> list[Note]:
    """A forward of a few tokens must give finite numbers."""
    facts = engine.backbone.facts
    tokens = range(_FIRST_TOKEN, _FIRST_TOKEN + min(PROBE_TOKENS, version.limits.max_tokens or 1))
    ids = tuple(token % facts.vocab_size for token in tokens)
    eos = facts.config.get("eos_token_id")
    # Some heads read the end of the text, so there must be one.
    probe = (*ids[:-1], eos) if facts.summary == "eos" and isinstance(eos, int) else ids
    word_starts = tuple(range(1, len(probe)))
    row = Row(probe, word_starts=word_starts)
    outcome = engine.run([WorkItem(version, row, raw=True)]).outcomes[0]
    return [Note("probe_failed", str(outcome))] if isinstance(outcome, Exception) else []
