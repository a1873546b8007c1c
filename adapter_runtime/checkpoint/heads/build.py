"""From a head's layout and a ledger of tensors to HeadWeights, whatever file they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.heads.layers import StackSettings, activation, tensor_shapes
from adapter_runtime.ledger import Ledger
from adapter_runtime.types import HeadSpec, HeadWeights, Note

LABELLED = ("classification", "multilabel_classification", "tagging", "dependency_parsing")


@dataclass(frozen=True)
class HeadLayout:
    """What a checkpoint says about a head before its tensors are taken.

    Args:
        name: the head's name in the checkpoint.
        head_type: a key of `HEADS`.
        settings: the layer stack.
        prefixes: where each layer's `.weight` and `.bias` lie in the file, layer by layer.
        norms: where the LayerNorm behind each layer but the last lies, where there are any.
        num_labels: rows of the last layer; None takes what the file has.
        labels: label names by id, as far as the checkpoint has them.
    """

    name: str
    head_type: str
    settings: StackSettings
    prefixes: tuple[str, ...]
    norms: tuple[str, ...] = ()
    num_labels: int | None = None
    labels: Mapping[int, str] | None = None


def build_head(
    layout: HeadLayout,
    ledger: Ledger,
    facts: BackboneFacts,
    labels: Sequence[str] | None,
    options: Mapping[str, Any],
    file_digest: str,
) -> HeadWeights:
    """Take a head's tensors; what is wrong becomes problems of the ledger.

    Args:
        layout: the head.
        ledger: the file's tensors.
        facts: the backbone.
        labels: the task's own label names, which win over the checkpoint's.
        options: the task's options; `multi_label` and `problem_type` are read here.
        file_digest: names the files' content.
    """
    layout = _with_options(layout, options)
    _check_settings(layout.settings, ledger, facts)
    num_out = _num_out(layout, ledger)
    tensors = _take(layout, ledger, facts.hidden_size, num_out)
    names, notes = label_names(layout, num_out, labels, ledger)
    digest = head_digest(file_digest, layout.head_type, layout.settings, names, layout.prefixes)
    spec = HeadSpec(layout.head_type, layout.settings, names, digest, layout.name)
    return HeadWeights(spec, tensors, notes)


def head_digest(*facts: Any) -> str:
    """What tells a head from any other: the digest of its files, and how they are read."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def default_labels(count: int) -> tuple[str, ...]:
    """The label names of a head that was saved without any."""
    return tuple(f"LABEL_{number}" for number in range(count))


def _with_options(layout: HeadLayout, options: Mapping[str, Any]) -> HeadLayout:
    problem = options.get("problem_type")
    if layout.head_type not in ("classification", "multilabel_classification"):
        return layout
    if options.get("multi_label") or problem == "multi_label_classification":
        return replace(layout, head_type="multilabel_classification")
    if problem == "regression":
        return replace(layout, settings=replace(layout.settings, function="none"))
    return layout


def _check_settings(settings: StackSettings, ledger: Ledger, facts: BackboneFacts) -> None:
    if settings.use_pooler and not facts.has_pooler:
        ledger.problem(
            "no_pooler",
            f"The head reads the pooler, but {facts.model_name} brought no trained pooler weights; "
            "use the backbone that the head was trained on.",
        )
    check_activation(settings.activation if settings.layers > 1 else None, ledger)


def check_activation(name: str | None, ledger: Ledger) -> None:
    """A problem where there is no activation of that name."""
    if name is None:
        return
    try:
        activation(name)
    except KeyError:
        ledger.problem("unknown_activation", f"The head's activation {name!r} is not known.")


def _num_out(layout: HeadLayout, ledger: Ledger) -> int:
    if layout.head_type == "multiple_choice":
        return 1
    if layout.head_type == "question_answering":
        return 2
    shape = ledger.shape(f"{layout.prefixes[-1]}.weight")
    return layout.num_labels or (shape[0] if shape else 2)


def _take(layout: HeadLayout, ledger: Ledger, width: int, num_out: int) -> dict[str, Tensor]:
    tensors = {}
    for name, shape in tensor_shapes(layout.settings, width, num_out).items():
        tensors[name] = ledger.take(stored_name(name, layout.prefixes, layout.norms), shape)
    return tensors


def stored_name(name: str, prefixes: Sequence[str], norms: Sequence[str]) -> str:
    """Where a canonical tensor lies in a file: `0.weight` in a layer, `0.norm.weight` behind it."""
    layer, _, kind = name.partition(".")
    if kind.startswith("norm."):
        return f"{norms[int(layer)]}.{kind.removeprefix('norm.')}"
    return f"{prefixes[int(layer)]}.{kind}"


class Labelled(Protocol):
    """A layout as far as labels go."""

    @property
    def head_type(self) -> str:
        """A key of `HEADS`."""
        ...

    @property
    def labels(self) -> Mapping[int, str] | None:
        """Label names by id, as far as the checkpoint has them."""
        ...


def label_names(
    layout: Labelled, num_out: int, own: Sequence[str] | None, ledger: Ledger
) -> tuple[tuple[str, ...], tuple[Note, ...]]:
    """A head's labels in the order of their ids, and what is to be said about them.

    Args:
        layout: the head.
        num_out: how many labels its tensors have.
        own: the task's own names, which win.
        ledger: hears of a wrong count.
    """
    found = layout.labels or {}
    if layout.head_type not in LABELLED:
        return tuple(own or (found[key] for key in sorted(found))), ()
    if own is not None:
        if len(own) != num_out:
            ledger.problem(
                "label_count", f"The task names {len(own)} labels, the head has {num_out}."
            )
        return tuple(own), ()
    if ledger.problems():
        return (), ()  # Only tensors that fit prove the count, which may be any number.
    defaults = default_labels(num_out)
    names = tuple(found.get(number, default) for number, default in enumerate(defaults))
    is_whole = not found or set(found) == set(range(num_out))
    message = f"The checkpoint names {len(found)} labels for {num_out}; the others are LABEL_i."
    return names, () if is_whole else (Note("incomplete_labels", message),)
