"""The library's friendly face, with the names that users of `adapters` know.

The server never uses what is active here: it names adapters and head with every row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from adapter_runtime.checkpoint.heads.reading import write_head
from adapter_runtime.checkpoint.hub.writer import new_adapter, write_adapter
from adapter_runtime.config import EngineConfig
from adapter_runtime.engine.engine import LocalEngine
from adapter_runtime.engine.open import open_engine
from adapter_runtime.engine.reading import Reading
from adapter_runtime.errors import InvalidInput
from adapter_runtime.facade.adding import AddsHeads
from adapter_runtime.facade.combining import Combines
from adapter_runtime.facade.output import ForwardOutput, padded_output, read_rows
from adapter_runtime.facade.portions import portions
from adapter_runtime.facade.shelf import ACTIVE, Origin, Setup, Shelf
from adapter_runtime.types import Arrays, Composition, WorkItem


class AdapterRuntime(AddsHeads, Combines):
    """One frozen backbone with named adapters and heads; not safe for several threads.

    An adapter and the head of the same name belong together: they are loaded, activated and
    saved together.

    Args:
        engine: the engine to work on; `from_pretrained` makes one.
    """

    def __init__(self, engine: LocalEngine) -> None:
        super().__init__(Shelf(engine))
        self.engine = engine

    @classmethod
    def from_pretrained(cls, backbone: str, device: str = "auto", dtype: str = "auto") -> Self:
        """Load a backbone from a folder, a package or the hub. Blocks.

        Raises:
            SourceError, BackboneError, SettingsError: it cannot be found, loaded or placed.
        """
        return cls(open_engine(backbone, EngineConfig(device=device, dtype=dtype)))

    def close(self) -> None:
        """Release the compute threads."""
        self.engine.close()

    # Loading and adding

    def load_adapter(
        self,
        source: str,
        name: str | None = None,
        *,
        with_head: bool = True,
        set_active: bool = False,
        **options: Any,
    ) -> str:
        """Load an adapter, and the head beside it under the same name.

        Args:
            source: a folder or a hub name.
            name: the name here; the checkpoint's own name by default.
            with_head: also load the head, when the folder has one.
            set_active: activate both at once.
            options: the options of a task file, such as `lora_scaling="adapters"`.

        Returns:
            The name.

        Raises:
            SourceError, RejectedAdapter: the files cannot be read or do not fit.
        """
        with Reading(self.engine.library) as reading:
            adapter = reading.read_adapter(source, options)
            head = reading.read_head(source, None, options) if with_head else None
            name = name or adapter.name
            self._shelf.put_adapter(name, adapter, Origin(source, options))
            if head is not None:
                self._shelf.put_head(name, head)
        if set_active:
            self.set_active_adapters(name)
        return name

    def load_head(self, source: str, name: str | None = None, **options: Any) -> str:
        """Load a head alone and return its name.

        Raises:
            SourceError, RejectedAdapter: the files cannot be read or do not fit.
            InvalidInput: the folder holds no head.
        """
        with Reading(self.engine.library) as reading:
            head = reading.read_head(source, None, options)
            if head is None:
                raise InvalidInput("the folder holds no prediction head.", source)
            name = name or head.spec.name or Path(source).name
            self._shelf.put_head(name, head)
        return name

    def add_adapter(
        self, name: str, config: str | Mapping[str, Any] = "seq_bn", *, set_active: bool = False
    ) -> None:
        """Add a freshly initialised adapter; `config` is a name such as `pfeiffer` or a mapping.

        Raises:
            RejectedAdapter: the configuration cannot be built on this backbone.
        """
        backbone = self.engine.backbone
        made = new_adapter(name, config, backbone.facts, self._random, backbone.bases)
        self._shelf.put_adapter(name, made)
        if set_active:
            self.set_active_adapters(name)

    # Activating and removing

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of all adapters."""
        return tuple(self._shelf.adapters)

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of all heads."""
        return tuple(self._shelf.heads)

    @property
    def active_adapters(self) -> Composition | None:
        """The active composition of adapter names; None is the bare backbone."""
        return self._shelf.active_adapters

    @property
    def active_head(self) -> str | None:
        """The active head's name; None gives hidden states."""
        return self._shelf.active_head

    def set_active_adapters(self, setup: Setup) -> None:
        """Activate an adapter AND the head of that name; of a Stack, the head of the last.

        A composition is written as `Stack("a", "b")`, `Average("a", "b", weights=[2, 1])` or
        `Fuse("a", "b")`. The head of a Fuse is that of its fusion layer's name. Where there is
        no head of that name, and for an Average, the active head stays as it is.

        Raises:
            UnknownTask: neither an adapter nor a head has that name.
            InvalidInput: the composition is none that can be run.
        """
        self._shelf.activate(setup)

    def delete_adapter(self, name: str) -> None:
        """Forget an adapter; its head stays."""
        self._shelf.remove_adapter(name)

    def delete_head(self, name: str) -> None:
        """Forget a head."""
        self._shelf.remove_head(name)

    # Answering

    def predict(
        self,
        inputs: Any,
        task: str | Composition | Sequence[str | Composition] | None = None,
        **parameters: Any,
    ) -> Any:
        """Answer one input or a list of them.

        Args:
            inputs: a text, `{text, text_pair}`, `{question, context}`, `{context, choices}`,
                or a list of these.
            task: adapter and head by name, or a composition with the head of its last name: one
                for all or one for each input; the active set-up when None.
            parameters: the task kind's own, such as `top_k`.

        Returns:
            A typed answer, or a list of them for a list of inputs.

        Raises:
            InvalidInput, UnknownTask: an input or a name is wrong.
            RowFailed: the computation failed.
        """
        if not isinstance(inputs, list):
            return self.predict([inputs], task, **parameters)[0]
        names: list[str | Composition | None]
        if task is None or isinstance(task, str | Composition):
            names = [task] * len(inputs)
        else:
            names = list(task)
        if len(names) != len(inputs):
            raise InvalidInput(f"{len(names)} tasks for {len(inputs)} inputs.", "task")
        versions = [self._shelf.version_of(name) for name in names]
        encoded = [
            self.engine.encode(version, item, parameters)
            for version, item in zip(versions, inputs, strict=True)
        ]
        requests = list(zip(versions, encoded, strict=True))
        items = [WorkItem(version, row) for version, one in requests for row in one.rows]
        outcomes = iter(self._run(items))
        return [
            self.engine.decode(version, one, [next(outcomes) for _ in one.rows])
            for version, one in requests
        ]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        adapter_names: Setup = ACTIVE,
        head: str | None = ACTIVE,
    ) -> ForwardOutput:
        """Logits of a padded batch; `adapter_names` and `head` override what is active, once.

        Args:
            input_ids, attention_mask, token_type_ids: Shape: `[rows, tokens]`, or
                `[rows, choices, tokens]` for a multiple choice head.
            adapter_names: a set-up for all rows, None for the bare backbone.
            head: a head's name, None for the hidden states.

        Raises:
            InvalidInput: the tensors are no rows of tokens.
            UnknownTask: a name is wrong.
            RowFailed: the computation failed.
        """
        shelf = self._shelf
        tree = shelf.active_adapters if adapter_names is ACTIVE else shelf.tree(adapter_names)
        name = shelf.active_head if head is ACTIVE else head
        version = shelf.version("forward", tree, name)
        rows, mask = read_rows(input_ids, attention_mask, token_type_ids)
        outcomes = self._run([WorkItem(version, row, raw=True) for row in rows])
        return padded_output(outcomes, mask, input_ids.shape[:-1])

    def _run(self, items: Sequence[WorkItem]) -> list[Arrays]:
        found: dict[int, Arrays] = {}
        for numbers in portions(items, self.engine.info.max_batch_adapters):
            outcomes = self.engine.run([items[number] for number in numbers]).outcomes
            for number, outcome in zip(numbers, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    raise outcome
                found[number] = outcome
        return [found[number] for number in range(len(items))]

    # Saving

    def save_adapter(self, directory: str | Path, name: str, *, with_head: bool = True) -> None:
        """Write an adapter, and its head, so that the `adapters` library can load them.

        Raises:
            UnknownTask: no such adapter.
            RejectedAdapter: the `adapters` library has no form for it; the message says why.
        """
        adapter = self._shelf.adapter(name)
        write_adapter(adapter, _made(directory), self.engine.backbone.facts, name)
        if with_head and name in self._shelf.heads:
            self.save_head(directory, name)

    def save_head(self, directory: str | Path, name: str) -> None:
        """Write a head so that the `adapters` library can load it.

        Raises:
            UnknownTask: no such head.
        """
        head = self._shelf.head(name)
        write_head(head, _made(directory), self.engine.backbone.facts, name)


def _made(directory: str | Path) -> Path:
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    return path
