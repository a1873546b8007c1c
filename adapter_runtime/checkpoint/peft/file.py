"""A PEFT checkpoint while it is read: how its tensors are named, and for which modules.

Source: `get_peft_model_state_dict` of peft 0.21.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.halves import HALVES, half_message
from adapter_runtime.checkpoint.heads.static import head_modules
from adapter_runtime.checkpoint.peft.prompts import PROMPT_TYPES
from adapter_runtime.checkpoint.peft.targets import Targets, names_of
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.configuration import BadConfig
from adapter_runtime.sites import EMBEDDING_SITES
from adapter_runtime.types import Note, PlugPoint, Site

WRAPPER = "base_model.model."
"""What PEFT writes before the task model's own names."""

_IDLE: Mapping[str, str] = MappingProxyType(
    # Encoder and decoder hold the shared table themselves: what PEFT puts around it is not run.
    dict.fromkeys(("bart", "mbart", "plbart", "t5", "mt5"), "shared") | {"esm": "contact_head"}
)
"""By model type, the first path segment of modules that no forward runs."""


@dataclass(frozen=True, slots=True)
class PeftFile:
    """A PEFT checkpoint while it is read.

    Args:
        config: the content of `adapter_config.json`.
        facts: the backbone.
        ledger: all tensors, by their names in the file.
        prefix: what stands before the base model's own paths, up to the task model's attribute.
        notes: what readers found worth telling.
    """

    config: Mapping[str, Any]
    facts: BackboneFacts
    ledger: Ledger
    prefix: str
    notes: list[Note] = field(default_factory=list)

    def module(self, path: str) -> str:
        """The name of a base module in the task model, by which configurations mean it."""
        return f"{self.prefix}{path}"

    def name(self, path: str, suffix: str) -> str:
        """The name of a base module's tensor in the file."""
        return f"{WRAPPER}{self.prefix}{path}.{suffix}"

    def tensors_of(self, path: str) -> list[str]:
        """The names of a base module's tensors in the file, whatever they are."""
        start = f"{WRAPPER}{self.prefix}{path}."
        return [name for name in self.ledger.names() if name.startswith(start)]

    def is_absent(self, path: str) -> bool:
        """Whether the task class had no such module: only some have a pooler."""
        point = self.facts.modules.get(path)
        is_pooler = path.startswith("pooler.") or (point and point.site is Site.POOLER)
        return bool(is_pooler) and not self.tensors_of(path)

    def is_idle(self, path: str) -> bool:
        """Whether no answer depends on a module: what is trained there changes nothing.

        So it is with a pooler that the backbone lacks: PEFT adapted a random one, and heads that
        read it are refused.
        """
        root, kind = path.split(".")[0], self.facts.model_type
        is_lost = root == "pooler" and not self.facts.has_pooler and root not in head_modules(kind)
        return is_lost or root == _IDLE.get(kind)

    def linears(self, targets: Targets) -> Iterator[tuple[str, PlugPoint]]:
        """Path and point of every targeted linear of the base model."""
        paths = [path for path in self.facts.linears if self.module(path) in targets]
        self._check_halves(paths)
        for path in paths:
            if self.is_absent(path):
                continue
            if self.is_idle(path):
                self.ledger.alias(self.tensors_of(path), "has no effect")
            else:
                yield path, self.point(path)

    def _check_halves(self, targeted: Sequence[str]) -> None:
        """Some task classes are one half of an encoder-decoder.

        Raises:
            BadConfig: the adapter was trained on such a class.
        """
        halves = {
            half: [path for path in targeted if path.startswith(f"{half}.")] for half in HALVES
        }
        has = [half for half, paths in halves.items() if any(map(self.tensors_of, paths))]
        if all(halves.values()) and len(has) == 1:
            raise BadConfig(half_message(has[0], self.facts), f"{has[0]}_only")

    def point(self, path: str) -> PlugPoint:
        """The plug point of a base module.

        Raises:
            BadConfig: it is none.
        """
        if path not in self.facts.modules:
            message = f"{path} is no place where adapters can act on this backbone."
            raise BadConfig(message, "unsupported_module")
        return self.facts.modules[path]

    def embeddings(self) -> Iterator[tuple[str, PlugPoint]]:
        """Path and point of every embedding table where adapters can act."""
        for path, point in self.facts.modules.items():
            if point.site in EMBEDDING_SITES:
                yield path, point

    def saved_paths(self) -> tuple[str, ...]:
        """Modules of the base model that `modules_to_save` replaces, by PEFT's rule.

        A name ends a module's path, also within a word; what lies inside the module is meant too.
        """
        saved = names_of(self.config.get("modules_to_save"), "modules_to_save") or ()
        names = (saved,) if isinstance(saved, str) else saved
        return tuple(
            path
            for path, point in self.facts.modules.items()
            # Some layers have an identity where others have a norm.
            if self.facts.shapes[point]
            and any(outer.endswith(names) for outer in with_outer(self.module(path)))
        )


def with_outer(path: str) -> Iterator[str]:
    """A path and the paths of all modules around it."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def task_prefix(config: Mapping[str, Any], ledger: Ledger, facts: BackboneFacts) -> str:
    """`bert.` for a task model, nothing for a bare base model.

    Raises:
        BadConfig: the file belongs to another family.
    """
    _check_family(config, facts)
    if config["peft_type"] in PROMPT_TYPES:
        return ""  # Their tensors belong to no module.
    names = [name.removeprefix(WRAPPER) for name in ledger.names()]
    owners = {owner for name in names for owner in with_outer(name)}
    known = {*facts.linears, *facts.modules, *(path.rpartition(".")[0] for path in facts.biases)}
    attributes = (facts.prefix, *facts.other_prefixes)
    prefixes = [f"{attribute}." for attribute in attributes]
    for prefix in (*prefixes, ""):
        if any(f"{prefix}{path}" in owners for path in known):
            return prefix
    for prefix in prefixes:
        if any(name.startswith(prefix) for name in names):
            return prefix  # Readers will name the modules that are none of this backbone's.
    found = ", ".join(sorted({name.split(".")[0] for name in names}))
    message = f"Its tensors lie under {found or 'nothing'}; {facts.model_type} has {facts.prefix}."
    raise BadConfig(message, "wrong_backbone")


def _check_family(config: Mapping[str, Any], facts: BackboneFacts) -> None:
    mapping = config.get("auto_mapping")
    family = str(mapping.get("parent_library")) if isinstance(mapping, Mapping) else ""
    if family.startswith("transformers.models."):
        model_type = family.split(".")[2].replace("_", "-")
        if model_type != facts.model_type.replace("_", "-"):
            message = f"It was trained for a {model_type} backbone; this one is {facts.model_type}."
            raise BadConfig(message, "wrong_backbone")
