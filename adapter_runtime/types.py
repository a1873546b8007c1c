"""The nouns of Polyhead as frozen values; imports nothing of ours."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Kind(StrEnum):
    """What a task answers, named by the hub's pipeline tags."""

    TEXT_CLASSIFICATION = "text-classification"
    TOKEN_CLASSIFICATION = "token-classification"  # noqa: S105 - a kind, no secret
    QUESTION_ANSWERING = "question-answering"
    MULTIPLE_CHOICE = "multiple-choice"
    FEATURE_EXTRACTION = "feature-extraction"
    SENTENCE_SIMILARITY = "sentence-similarity"


class Site(StrEnum):
    """A kind of plug point, named alike on every architecture."""

    EMBEDDINGS_NORM = "embeddings_norm"
    EMBEDDINGS_PROJECTION = "embeddings_projection"
    QUERY = "query"
    KEY = "key"
    VALUE = "value"
    ATTENTION_OUT = "attention_out"
    ATTENTION = "attention"
    ATTENTION_NORM = "attention_norm"
    FFN_IN = "ffn_in"
    FFN_OUT = "ffn_out"
    FFN = "ffn"
    FFN_NORM = "ffn_norm"
    POOLER = "pooler"


SUBLAYER_SITES = frozenset({Site.ATTENTION, Site.FFN})
MODEL_LEVEL = -1
"""The layer number of points outside the layers (embeddings, pooler)."""


class PlugPoint(NamedTuple):
    """One place in the backbone where Parts act; `layer` is `MODEL_LEVEL` outside the layers."""

    layer: int
    site: Site

    def __str__(self) -> str:
        return self.site if self.layer == MODEL_LEVEL else f"{self.layer}.{self.site}"


@dataclass(frozen=True, slots=True)
class Part:
    """One method's weights at one plug point.

    `settings` is the method's own frozen, hashable settings value. `tensors` are float32 on the
    host under the method's canonical names.
    """

    method: str
    point: PlugPoint
    settings: Hashable
    tensors: Mapping[str, Tensor]

    @property
    def num_bytes(self) -> int:
        """Host bytes of the tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())


class Note(NamedTuple):
    """A problem, a warning or an applied quirk: a stable code and one sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Adapter:
    """Small trained weights for one backbone: one or more Parts.

    `digest` identifies the files and the options that change their meaning. `format` is
    `adapterhub` or `peft`; `config` is the checkpoint's own config.
    """

    name: str
    digest: str
    parts: tuple[Part, ...]
    format: str = "adapterhub"
    config: Mapping[str, Any] = field(default_factory=lambda: NOTHING, compare=False, hash=False)
    library: str | None = None
    notes: tuple[Note, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Host bytes of all Parts."""
        return sum(part.num_bytes for part in self.parts)

    @property
    def methods(self) -> tuple[str, ...]:
        """The distinct method names, in first-seen order."""
        return tuple(dict.fromkeys(part.method for part in self.parts))


@dataclass(frozen=True, slots=True)
class Leaf:
    """One adapter of a composition: a Source before loading, a digest after."""

    ref: str


@dataclass(frozen=True, slots=True)
class Stack:
    """Adapters applied one after another."""

    children: tuple[Composition, ...]


Composition = Leaf | Stack


def leaves(tree: Composition | None) -> Iterator[Leaf]:
    """The leaves of a composition, left to right; nothing for None."""
    if isinstance(tree, Leaf):
        yield tree
    elif tree is not None:
        for child in tree.children:
            yield from leaves(child)


def map_leaves(tree: Composition, change: Callable[[str], str]) -> Composition:
    """The same tree with every leaf's reference changed."""
    if isinstance(tree, Leaf):
        return Leaf(change(tree.ref))
    return Stack(tuple(map_leaves(child, change) for child in tree.children))


class Overflow(StrEnum):
    """What happens to an input longer than the task's token limit."""

    TRUNCATE = "truncate"
    WINDOW = "window"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Limits:
    """A task's length rule; None means the backbone's own limit and the head kind's own rule."""

    max_tokens: int | None = None
    overflow: Overflow | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A request that admission tries; `expect` None means that any answer will do."""

    inputs: Any
    expect: Any = None


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task as the task file states it, with every Source already absolute."""

    name: str
    adapter: Composition | None = None
    head: str | None = None
    kind: Kind | None = None
    labels: tuple[str, ...] | None = None
    limits: Limits = Limits()
    options: Mapping[str, Any] = field(default_factory=lambda: NOTHING, hash=False)
    pinned: bool = False
    examples: tuple[Example, ...] = field(default=(), hash=False)


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """A head without its weights: enough to encode inputs and decode logits.

    `head_type` is a key of `HEADS`; `settings` is that head's own frozen value; `labels` are
    ordered by id; `digest` identifies spec and weights together.
    """

    head_type: str
    settings: Hashable
    labels: tuple[str, ...] = ()
    digest: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """A head's spec and its float32 host tensors under the head's canonical names."""

    spec: HeadSpec
    tensors: Mapping[str, Tensor]
    notes: tuple[Note, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Host bytes of the tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())


@dataclass(frozen=True, slots=True)
class TaskVersion:
    """An immutable, admitted version of a task; composition leaves are adapter digests."""

    task: str
    id: str
    digest: str
    kind: Kind
    head: HeadSpec
    composition: Composition | None
    limits: Limits
    spec: TaskSpec
    notes: tuple[Note, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The head's labels, ordered by id; empty for kinds without labels."""
        return self.head.labels


class Row(NamedTuple):
    """One token sequence for the backbone; `type_ids` None means all zero."""

    input_ids: tuple[int, ...]
    type_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """One validated request as rows; `context` and `parameters` are its head's, for decoding."""

    rows: tuple[Row, ...]
    context: Any = None
    parameters: Any = None
    truncated: bool = False

    @property
    def num_tokens(self) -> int:
        """Tokens over all rows."""
        return sum(len(row.input_ids) for row in self.rows)


Arrays = Mapping[str, "np.ndarray[Any, Any]"]
"""What a head computed for one row before decoding, by name (`logits`, `start`, `vector` …)."""


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One row of one request on its way through a forward; `raw` asks the head for raw arrays."""

    version: TaskVersion
    row: Row
    raw: bool = False


@dataclass(frozen=True, slots=True)
class RunStats:
    """What one forward did: counts in rows and tokens, time in seconds."""

    num_rows: int
    num_tokens: int
    num_tasks: int
    num_padding_avoided: int
    compute_s: float
    load_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RunResult:
    """One outcome per work item, in order: arrays, or the error that this row alone met."""

    outcomes: tuple[Arrays | Exception, ...]
    stats: RunStats


class Residency(StrEnum):
    """Where an adapter's weights are."""

    ABSENT = "absent"
    LOADING = "loading"
    HOST = "host"
    DEVICE = "device"
    FAILED = "failed"
