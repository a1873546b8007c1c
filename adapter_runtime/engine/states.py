"""What a finished stream offers to heads: final states, and the backbone's work around heads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import cast

from torch import Tensor

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.placed import from_host
from adapter_runtime.backbone.points import IDENTITY
from adapter_runtime.backbone.routing import ModuleWork, Routing
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.backbone.wrap import VOCABULARY
from adapter_runtime.engine.pack import SharedRow
from adapter_runtime.engine.route import Router
from adapter_runtime.heads.base import HeadStates
from adapter_runtime.types import Row


class StreamStates:
    """The final states of a stream, by places: one for each job, shared rows repeated.

    Args:
        backbone: it ran the stream.
        router: for the work of Parts beyond the last layer.
        stream: the rows.
        hidden: their final states. Shape: `[tokens, width]`.
        spans: where the rows lie.
        chosen: the stream's row of each place.
        inputs: the row of each place as its job gave it.
    """

    def __init__(
        self,
        backbone: Backbone,
        router: Router,
        stream: Sequence[SharedRow],
        hidden: Tensor,
        spans: RowSpans,
        chosen: Sequence[int],
        inputs: Sequence[Row],
    ) -> None:
        self.backbone = backbone
        # Heads compute in float32: half a dtype's digits would tie their scores.
        self.hidden = hidden.float()
        self._hidden = hidden
        self.starts = [spans.starts[row] for row in chosen]
        self.lengths = [spans.lengths[row] for row in chosen]
        self.rows = inputs
        self._compositions = [stream[row].composition for row in chosen]
        self._router = router

    def of(self, places: Sequence[int]) -> HeadStates:
        """The states that one head answers."""
        return HeadStates(
            hidden=self.hidden,
            starts=[self.starts[place] for place in places],
            lengths=[self.lengths[place] for place in places],
            pool=lambda: self.pool(places),
            inputs=[self.rows[place] for place in places],
            invert=lambda x: self.invert(places, x),
            vocabulary=self.backbone.vocabulary,
        )

    def pool(self, places: Sequence[int]) -> Tensor:
        """The pooler over first tokens; a row that is asked for twice is computed twice.

        Shape: `[places, width]`.
        """
        ones = RowSpans(range(len(places)), [1] * len(places), len(places))
        work = self._router.route([self._compositions[place] for place in places], ones)
        starts = from_host([self.starts[place] for place in places], self._hidden.device)
        first_tokens = self._hidden.index_select(0, starts)
        return self.backbone.pool(first_tokens, Routing(self.backbone.layout, ones, work)).float()

    def invert(self, places: Sequence[int], x: Tensor) -> Tensor:
        """States before the vocabulary projection, through the Parts that act there.

        Shape: `[tokens of the places, embedding]`, virtual tokens left out.
        """
        lengths = [num_text_tokens(self.rows[place]) for place in places]
        starts = [0, *accumulate(lengths)]
        spans = RowSpans(starts[:-1], lengths, starts[-1])
        work = self._router.route([self._compositions[place] for place in places], spans)
        found = cast(ModuleWork | None, work.get(VOCABULARY))
        return x if found is None else found(IDENTITY, x.to(self._hidden)).to(x)


def num_text_tokens(row: Row) -> int:
    """Tokens of a row without its virtual ones."""
    return len(row.input_ids) - (row.virtual[1] if row.virtual else 0)
