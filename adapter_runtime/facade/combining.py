"""Fusion layers, and adapters and heads made of others, as the `adapters` library names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adapter_runtime.checkpoint.hub.fusions import fused_names
from adapter_runtime.checkpoint.hub.writer import write_adapter
from adapter_runtime.checkpoint.merging import average_heads, merge_adapters
from adapter_runtime.compositions import shares
from adapter_runtime.engine.reading import Reading
from adapter_runtime.errors import InvalidInput
from adapter_runtime.facade.shelf import Shelf
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Fuse, Leaf, Merge


class Combines:
    """The calls that combine what is loaded.

    Args:
        shelf: where the results go.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    @property
    def adapter_fusions(self) -> tuple[str, ...]:
        """The names of all fusion layers."""
        return tuple(self._shelf.fusions)

    def load_adapter_fusion(
        self,
        source: str,
        name: str | None = None,
        *,
        with_head: bool = True,
        set_active: bool = False,
        **options: Any,
    ) -> str:
        """Load an AdapterFusion layer, and the head beside it under the same name.

        Args:
            source: a folder or a hub name.
            name: the name here; by default the checkpoint's own, its adapters with commas.
            with_head: also load the head, when the folder has one.
            set_active: activate a Fuse of the adapters that the layer was trained for.
            options: the options of a task file, such as `fusion_temperature=1.0`.

        Returns:
            The name; `Fuse("a", "b", fusion=name)` uses it, `Fuse("a", "b")` the layer `a,b`.

        Raises:
            SourceError, RejectedAdapter: the files cannot be read or do not fit.
        """
        with Reading(self._shelf.engine.library) as reading:
            fusion = reading.read_fusion(source, options)
            head = reading.read_head(source, None, options) if with_head else None
            name = name or fusion.name
            self._shelf.put_fusion(name, fusion)
            if head is not None:
                self._shelf.put_head(name, head)
        if set_active:
            self._shelf.activate(Fuse(*fused_names(fusion), fusion=name))
        return name

    def delete_adapter_fusion(self, name: str) -> None:
        """Forget a fusion layer; its head stays."""
        self._shelf.remove_fusion(name)

    def average_adapter(
        self,
        adapter_name: str,
        adapter_list: Sequence[str] | Mapping[str, float],
        weights: Sequence[float] | None = None,
        combine_strategy: str = "linear",
        *,
        normalize_weights: bool = True,
        set_active: bool = False,
        svd_rank: int | None = None,
    ) -> None:
        """Add a new adapter that averages the weights of others. Blocks.

        Args:
            adapter_name: the new adapter's name.
            adapter_list: their names, or their weights by name.
            weights: one for each; equal ones by default.
            combine_strategy: `linear`, `lora_linear_only_negate_b` or `lora_delta_w_svd`.
            normalize_weights: divide the weights by their sum first.
            set_active: activate the new adapter.
            svd_rank: of the new adapter, for `lora_delta_w_svd` only.

        Raises:
            UnknownTask: an adapter is not known.
            InvalidInput: the weights or the strategy cannot be meant.
            RejectedAdapter: the adapters cannot be merged; the message says why.
        """
        if isinstance(adapter_list, Mapping):
            weights = list(adapter_list.values())
        names = list(adapter_list)
        try:
            merge = Merge(
                *names,
                weights=weights,
                strategy=combine_strategy,
                svd_rank=svd_rank,
                normalize_weights=normalize_weights,
            )
        except ValueError as error:
            raise InvalidInput(f"{error}.", "weights") from error
        facts = self._shelf.engine.backbone.facts
        with ExitStack() as made:
            folders = [self._folder(name, made) for name in names]
            merged = merge_adapters(folders, merge, facts, self._options(names))
        self._shelf.put_adapter(adapter_name, replace(merged, name=adapter_name))
        if set_active:
            self._shelf.activate(Leaf(adapter_name))

    def _folder(self, name: str, made: ExitStack) -> Folder:
        """The files of an adapter; written for the moment where it has none."""
        adapter = self._shelf.adapter(name)
        if name in self._shelf.origins:
            return self._shelf.engine.library.open_folder(self._shelf.origins[name].source)
        path = Path(made.enter_context(TemporaryDirectory(prefix="polyhead-adapter-")))
        write_adapter(adapter, path, self._shelf.engine.backbone.facts, adapter.name)
        return Folder(path, name)

    def _options(self, names: Sequence[str]) -> Mapping[str, Any]:
        found = [self._shelf.origins[name].options for name in names if name in self._shelf.origins]
        if any(options != found[0] for options in found):
            message = "they were loaded with different options; load them alike."
            raise InvalidInput(message, "adapter_list")
        return found[0] if found else {}

    def average_head(
        self,
        head_name: str,
        head_list: Sequence[str] | Mapping[str, float],
        weights: Sequence[float] | None = None,
        *,
        normalize_weights: bool = True,
        set_active: bool = False,
    ) -> None:
        """Add a new head that averages the weights of others of the same configuration.

        Raises:
            UnknownTask: a head is not known.
            InvalidInput: the weights cannot be meant.
            RejectedAdapter: the heads are configured differently.
        """
        if isinstance(head_list, Mapping):
            weights = list(head_list.values())
        heads = [self._shelf.head(name) for name in head_list]
        try:
            factors = shares(weights, len(heads), is_normalised=normalize_weights)
        except ValueError as error:
            raise InvalidInput(f"{error}.", "weights") from error
        self._shelf.put_head(head_name, average_heads(head_name, heads, factors))
        if set_active:
            self._shelf.active_head = head_name
