"""The nouns of Polyhead as frozen values; sites and compositions have files of their own."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from adapter_runtime.compositions import Average as Average
from adapter_runtime.compositions import Composition as Composition
from adapter_runtime.compositions import Fuse as Fuse
from adapter_runtime.compositions import Leaf as Leaf
from adapter_runtime.compositions import Merge as Merge
from adapter_runtime.compositions import Stack as Stack
from adapter_runtime.compositions import first_leaf as first_leaf
from adapter_runtime.compositions import leaves as leaves
from adapter_runtime.compositions import map_leaves as map_leaves
from adapter_runtime.limits import Aggregation as Aggregation
from adapter_runtime.limits import Limits as Limits
from adapter_runtime.limits import Overflow as Overflow
from adapter_runtime.sites import ATTENTION_SITES as ATTENTION_SITES
from adapter_runtime.sites import MODEL_LEVEL as MODEL_LEVEL
from adapter_runtime.sites import SUBLAYER_SITES as SUBLAYER_SITES
from adapter_runtime.sites import PlugPoint as PlugPoint
from adapter_runtime.sites import Site as Site

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
    FILL_MASK = "fill-mask"
    TEXT_GENERATION = "text-generation"
    ZERO_SHOT_CLASSIFICATION = "zero-shot-classification"
    TEXT_RANKING = "text-ranking"
    DEPENDENCY_PARSING = "dependency-parsing"


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
        # Those that lie in one block are views, which nobody should make to count them.
        known: int | None = getattr(self.tensors, "num_bytes", None)
        if known is not None:
            return known
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
    limits: Limits = field(default_factory=Limits)
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
    """A head's spec and its float32 host tensors under the head's canonical names.

    `accounts` is each stored tensor's fate: `used`, or why it is passed over.
    """

    spec: HeadSpec
    tensors: Mapping[str, Tensor]
    notes: tuple[Note, ...] = ()
    accounts: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def num_bytes(self) -> int:
        """Host bytes of the tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())


class RowExtension(NamedTuple):
    """What an adapter adds to every row beside the text.

    Args:
        num_tokens: virtual tokens in the token stream.
        place: tokens of the row before them.
        takes_positions: virtual tokens have position numbers, so that later tokens move on.
        shift: position numbers that all tokens move on by beside that.
        reads_types: token types are handed on; all are zero where not.
    """

    num_tokens: int = 0
    place: int = 0
    takes_positions: bool = False
    shift: int = 0
    reads_types: bool = True

    @property
    def num_positions(self) -> int:
        """Position numbers that a row's own tokens cannot have."""
        return self.shift + (self.num_tokens if self.takes_positions else 0)


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
    extension: RowExtension | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The head's labels, ordered by id; empty for kinds without labels."""
        return self.head.labels


class Row(NamedTuple):
    """One token sequence for the backbone.

    Args:
        input_ids: the tokens, placeholders of virtual ones included.
        type_ids: token types; None means all zero.
        word_starts: the first token of each word, and the end of the last; only for heads that
            read words.
        positions: position numbers counted from 0; None counts every token.
        virtual: the first virtual token and how many there are; None where there are none.
    """

    input_ids: tuple[int, ...]
    type_ids: tuple[int, ...] | None = None
    word_starts: tuple[int, ...] | None = None
    positions: tuple[int, ...] | None = None
    virtual: tuple[int, int] | None = None


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
    """What one forward did: counts in rows and tokens, time in seconds.

    `num_distinct` rows ran: those that are equal over equal adapters as one. Of a row that ran as
    one with another up to some layer, only the tokens of the layers after it are counted.
    """

    num_rows: int
    num_tokens: int
    num_tasks: int
    num_padding_avoided: int
    compute_s: float
    load_s: float = 0.0
    num_distinct: int = 0


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
