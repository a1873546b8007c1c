"""The Backbone: one frozen model that runs packed or padded rows under a Routing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.backbone.linears import fuse
from adapter_runtime.backbone.placed import from_host
from adapter_runtime.backbone.quantized import int8_packing
from adapter_runtime.backbone.routing import Layout, RouteScope, Routing
from adapter_runtime.backbone.rows import IS_PROMPTED, Architecture, Positions
from adapter_runtime.backbone.sentence import SentenceSettings
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.backbone.wrap import WORD_EMBEDDINGS, wrap
from adapter_runtime.errors import BackboneError
from adapter_runtime.types import PlugPoint, Row

if TYPE_CHECKING:
    from adapter_runtime.backbone.tokenizer import Tokenizer

_TRAINED_TOKENS = 512


class Backbone:
    """A frozen transformer with its plug points; loaded once, never written.

    Args:
        model: the bare Hugging Face model, on its device, in eval mode; wrapped in place.
        pooler: the model's trained pooler, taken out of it, or None.
        architecture: the row that describes it.
        facts: its names and shapes, read before wrapping.
        open_tokenizer: reads the tokenizer; called at the first use.
        sentence: settings of its sentence-transformers files, or None.
        make_digest: hashes its files; called at the first use.
        in_int8: whether the layers' linears compute in int8.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        architecture: Architecture,
        facts: BackboneFacts,
        open_tokenizer: Callable[[Backbone], Tokenizer],
        sentence: SentenceSettings | None,
        make_digest: Callable[[], str],
        in_int8: bool = False,
    ) -> None:
        self.facts = facts
        self.architecture = architecture
        self.sentence = sentence
        self.scope = RouteScope()
        self._padding_token: int | None = getattr(model.config, "pad_token_id", None)
        self.max_tokens = _most_tokens(model, architecture.positions, self.first_position)
        self.bases: Mapping[PlugPoint, nn.Module] = wrap(
            model, architecture, facts, self.scope, int8_packing() if in_int8 else fuse
        )
        self.pooler = architecture.pooler(model)
        if self.pooler is not None:
            # The model's own forward would run it on every row.
            model.pooler = None  # type: ignore[assignment]  # HF marks absent poolers so
        self.model = model
        self._open_tokenizer = open_tokenizer
        self._make_digest = make_digest
        weight = next(model.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.precision = "int8" if in_int8 else str(weight.dtype).removeprefix("torch.")

    @property
    def layout(self) -> Layout:
        """How rows must lie in the stream."""
        return self.architecture.layout

    @property
    def first_position(self) -> int:
        """The position number of a row's first token."""
        positions = self.architecture.positions
        return (self._padding_token or 0) + 1 if positions.after_pad else positions.offset

    @property
    def vocabulary(self) -> Tensor:
        """The word embeddings. Shape: `[vocabulary, embedding]`."""
        return cast(Tensor, self.bases[WORD_EMBEDDINGS].weight)

    @property
    def skipped_token(self) -> int | None:
        """The padding token where position numbers skip it."""
        return self._padding_token if self.architecture.positions.after_pad else None

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The backbone's tokenizer."""
        return self._open_tokenizer(self)

    @cached_property
    def digest(self) -> str:
        """What its files are, as a folder's fingerprint. Reads them at first use."""
        return self._make_digest()

    def forward(self, rows: Sequence[Row], routing: Routing) -> Tensor:
        """Final hidden states of rows that lie as the Routing's spans say. Blocks the thread.

        Shape: `[tokens, width]`, padding included.

        Raises:
            BackboneError: a row is longer than the position table.
        """
        return self.compute(self._inputs(rows, routing), routing)

    def compute(self, inputs: Mapping[str, Tensor], routing: Routing) -> Tensor:
        """Final hidden states of inputs that are on the device. Blocks the thread.

        Shape: `[rows, tokens]` each, or `[1, tokens]` packed, to `[tokens, width]`.
        """
        with self.scope.open(routing):
            states = self.architecture.call(self.model, inputs, routing.spans)
        return states.reshape(-1, states.shape[-1])

    def pool(self, first_tokens: Tensor, routing: Routing) -> Tensor:
        """The pooler over rows' first hidden states; the Routing has one token per row.

        Shape: `[rows, width]` to `[rows, width]`.

        Raises:
            BackboneError: the checkpoint brought no pooler.
        """
        if self.pooler is None:
            raise BackboneError(
                f"{self.facts.model_name} holds no pooler weights; use a backbone checkpoint "
                "that was saved with its pooler."
            )
        with self.scope.open(routing):
            return cast(Tensor, self.pooler(first_tokens.unsqueeze(1)))

    def _inputs(self, rows: Sequence[Row], routing: Routing) -> dict[str, Any]:
        spans = routing.spans
        shape = (1, -1) if routing.layout is Layout.PACKED else (len(rows), -1)
        streams = self.streams(rows, spans)
        # One tensor for all of them is one copy to the device.
        inputs = dict(zip(streams, from_host(list(streams.values()), self.device), strict=True))
        real_tokens = spans.on(self.device).real_tokens
        if routing.layout is Layout.PADDED and real_tokens is not None:
            inputs["attention_mask"] = real_tokens.long()
        return {name: value.view(shape) for name, value in inputs.items()}

    def streams(self, rows: Sequence[Row], spans: RowSpans) -> dict[str, list[int]]:
        """Each input by its name, as one number for each token; zeros where no row lies.

        Raises:
            BackboneError: a row is longer than the position table.
        """
        if (most := max(map(_num_positions, rows))) > self.max_tokens:
            raise BackboneError(
                f"A row has {most} tokens; {self.facts.model_name} takes {self.max_tokens} at most."
            )
        ids = [row.input_ids for row in rows]
        streams = {"input_ids": _stream(ids, spans, self._padding_token or 0)}
        if self.architecture.positions.are_passed:
            streams["position_ids"] = _stream([self._positions(row) for row in rows], spans)
        if self.architecture.has_types:
            types = [row.type_ids or (0,) * len(row.input_ids) for row in rows]
            streams["token_type_ids"] = _stream(types, spans)
        if self.architecture.marks_prompted and any(row.virtual for row in rows):
            marks = [[int(row.virtual is not None)] * len(row.input_ids) for row in rows]
            streams[IS_PROMPTED] = _stream(marks, spans)
        return streams

    def _positions(self, row: Row) -> Sequence[int]:
        first, pad = self.first_position, self._padding_token
        if row.positions is not None:
            return [first + position for position in row.positions]
        if not self.architecture.positions.after_pad or pad not in row.input_ids:
            return range(first, first + len(row.input_ids))
        positions, next_position = [], first
        for token in row.input_ids:
            positions.append(pad if token == pad else next_position)
            next_position += token != pad
        return positions


def _stream(values: Sequence[Sequence[int]], spans: RowSpans, fill: int = 0) -> list[int]:
    stream = [fill] * spans.num_tokens
    for start, row in zip(spans.starts, values, strict=True):
        stream[start : start + len(row)] = row
    return stream


def _num_positions(row: Row) -> int:
    """Position numbers up to the row's last; virtual tokens may stand at any."""
    return len(row.input_ids) if row.positions is None else max(row.positions) + 1


def _most_tokens(model: PreTrainedModel, positions: Positions, first: int) -> int:
    if positions.table is None:
        # Relative positions bound nothing; what such models were trained on does.
        config, trained = model.config, getattr(model.config, "n_positions", _TRAINED_TOKENS)
        most = int(getattr(config, "max_position_embeddings", trained)) - first
        return min(most, _unmixed_tokens(config, most))
    table = cast(nn.Embedding, model.get_submodule(positions.table))
    return table.num_embeddings - first


def _unmixed_tokens(config: Any, most: int) -> int:
    """The longest row that gives no other row of its batch other rotary frequencies."""
    rotary = getattr(config, "rope_parameters", None) or {}
    if rotary.get("rope_type") != "longrope":
        return most
    return int(rotary.get("original_max_position_embeddings") or most)
