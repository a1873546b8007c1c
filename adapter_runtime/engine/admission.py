"""What a version must pass before it serves: room, a forward, and its examples."""

from __future__ import annotations

from collections.abc import Sequence

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.engine.examples import VERDICTS, check_examples
from adapter_runtime.engine.protocol import Engine, Run
from adapter_runtime.types import Note, Row, TaskVersion, WorkItem

PROBE_TOKENS = 8
_FIRST_TOKEN = 5


def admission_problems(
    version: TaskVersion, facts: BackboneFacts, engine: Engine, run: Run
) -> Sequence[Note]:
    """Why a version whose files were accepted may not serve; none when it may. Blocks.

    Runs a short forward, then the task's examples.

    Args:
        version: was read.
        facts: of the backbone.
        engine: where it would serve.
        run: how to run the rows.

    Raises:
        Exception: it could not be tried now, which says nothing of the version.
    """
    return _try_forward(version, facts, run) or check_examples(version, engine, run)


def _try_forward(version: TaskVersion, facts: BackboneFacts, run: Run) -> list[Note]:
    """A forward of a few tokens must give finite numbers."""
    tokens = range(_FIRST_TOKEN, _FIRST_TOKEN + min(PROBE_TOKENS, version.limits.max_tokens or 1))
    ids = tuple(token % facts.vocab_size for token in tokens)
    eos = facts.config.get("eos_token_id")
    # Some heads read the end of the text, so there must be one.
    probe = (*ids[:-1], eos) if facts.summary == "eos" and isinstance(eos, int) else ids
    word_starts = tuple(range(1, len(probe)))
    row = Row(probe, word_starts=word_starts)
    outcome = run([WorkItem(version, row, raw=True)])[0]
    if not isinstance(outcome, Exception):
        return []
    if isinstance(outcome, VERDICTS):
        return [Note("probe_failed", str(outcome))]
    raise outcome
