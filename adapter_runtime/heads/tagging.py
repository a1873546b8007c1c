"""A label per token, grouped into entities with character offsets: the `tagging` head.

Source: `adapters` 1.3.0 `TaggingHead`; answers as transformers 4.57 `TokenClassificationPipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from adapter_runtime.backbone.tokenizer import Tokenizer, Tokens
from adapter_runtime.errors import InvalidInput
from adapter_runtime.heads.answers import EntityGroup, TokenEntity
from adapter_runtime.heads.base import HeadStates
from adapter_runtime.heads.entities import (
    STRATEGIES,
    TokenLabels,
    gather,
    merge_tokens,
    merge_windows,
    to_entities,
)
from adapter_runtime.heads.inputs import (
    fit_row,
    one_of,
    read_parameters,
    read_text,
    row_limit,
    whole_number,
    window_check,
    words,
)
from adapter_runtime.heads.layers import Stacks, StackSettings, token_logits
from adapter_runtime.heads.windows import overlap
from adapter_runtime.types import Aggregation, Arrays, Encoded, HeadSpec, Kind, Limits, Overflow

_PARAMETERS = {
    "aggregation_strategy": one_of(*STRATEGIES),
    "ignore_labels": words,
    "stride": whole_number(0),
}


@dataclass(frozen=True)
class TaggedText:
    """What decode needs of a request: the text, its rows, and the tokenizer's vocabulary."""

    text: str
    windows: tuple[Tokens, ...]
    tokenizer: Tokenizer


@dataclass(frozen=True)
class TaggingHead:
    """Entities of one text; long texts are read in overlapping windows by default."""

    kinds: tuple[Kind, ...] = (Kind.TOKEN_CLASSIFICATION,)
    overflows: tuple[Overflow, ...] = (Overflow.WINDOW, Overflow.TRUNCATE, Overflow.REJECT)
    aggregations: tuple[Aggregation, ...] = (Aggregation.STITCH,)

    def encode(
        self,
        spec: HeadSpec,
        inputs: Any,
        parameters: Mapping[str, Any],
        tokenizer: Tokenizer,
        limits: Limits,
    ) -> Encoded:
        """One row, or one per window; see `HeadKind.encode`."""
        text = read_text(inputs, "inputs")
        known = read_parameters(parameters, _PARAMETERS)
        stride = known.get("stride")
        if stride is not None:
            _check_stride(stride, known, row_limit(tokenizer, limits), tokenizer)
        is_cut = False
        if stride is not None or limits.overflow in (None, Overflow.WINDOW):
            windows = _windows(tokenizer, text, limits, stride)
        else:
            tokens, is_cut = fit_row(tokenizer, text, None, limits, with_offsets=True)
            windows = (tokens,)
        rows = tuple(tokenizer.row(tokens) for tokens in windows)
        return Encoded(rows, TaggedText(text, windows, tokenizer), known, is_cut)

    def forward(
        self, spec: HeadSpec, weights: Mapping[str, Tensor], states: HeadStates, raw: Sequence[bool]
    ) -> list[Arrays]:
        """`logits [tokens, labels]` of each row, special tokens included."""
        settings = cast(StackSettings, spec.settings)
        return self.forward_joint(Stacks(settings, [weights], [len(raw)]), states)

    def forward_joint(self, stacks: Stacks, states: HeadStates) -> list[Arrays]:
        """As `forward`, of several tasks' rows at once."""
        found = token_logits(stacks, states)
        return [{"logits": logits} for logits in found]

    def decode(
        self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> list[TokenEntity] | list[EntityGroup]:
        """Entities in text order, without those of ignored labels."""
        tagged: TaggedText = encoded.context
        strategy = encoded.parameters.get("aggregation_strategy", "none")
        ignored = encoded.parameters.get("ignore_labels", ("O",))
        found: list[Any] = []
        for tokens, outcome in zip(tagged.windows, outcomes, strict=True):
            labels = TokenLabels(spec.labels, strategy, tagged.tokenizer)
            pieces = gather(labels, tagged.text, tokens, outcome["logits"])
            found += [item for item in to_entities(labels, pieces) if _label(item) not in ignored]
        if len(outcomes) == 1:
            return found
        return merge_tokens(found) if strategy == "none" else merge_windows(found)

    def raw(self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]) -> dict[str, Any]:
        """`logits [tokens, labels]` of the one row."""
        return {"logits": outcomes[0]["logits"].tolist()}


def _label(entity: TokenEntity | EntityGroup) -> str:
    return entity.entity if isinstance(entity, TokenEntity) else entity.entity_group


def _windows(
    tokenizer: Tokenizer, text: str, limits: Limits, stride: int | None
) -> tuple[Tokens, ...]:
    most = row_limit(tokenizer, limits)
    parameter = None if stride is None else "stride"
    shared = overlap(limits, "inputs") if stride is None else stride
    return tuple(tokenizer.windows(text, None, most, shared, window_check("inputs", parameter)))


def _check_stride(stride: int, known: Mapping[str, Any], most: int, tokenizer: Tokenizer) -> None:
    room = most - tokenizer.num_specials(False)
    if stride >= room:
        raise InvalidInput(f"must be below {room}, the tokens of one window.", "parameters.stride")
    if known.get("aggregation_strategy") == "none":
        raise InvalidInput(
            "needs an aggregation_strategy other than none, which joins the windows.",
            "parameters.stride",
        )
