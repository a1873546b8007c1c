"""Which modules a PEFT configuration means, by PEFT's own matching rules.

Source: `check_target_module_exists`, `get_pattern_key` and the mappings of peft 0.21.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapter_runtime.checkpoint.patterns import Refused, check_together, compiled
from adapter_runtime.methods.configuration import BadConfig

ALL_LINEAR = "all-linear"
MAX_NAMES = 10_000
"""No configuration lists more; each is tried on every module."""

Names = str | tuple[str, ...]


def names_of(value: Any, key: str) -> Names | None:
    """A pattern, a tuple of names, or None, from what the configuration holds.

    Raises:
        BadConfig: it is something else.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        if len(value) > MAX_NAMES:
            raise BadConfig(f"{key} lists more than {MAX_NAMES} names; use a pattern.")
        return tuple(value)
    raise BadConfig(f"{key} must be a list of module names or a pattern, not {value!r:.200}.")


def _search(pattern: str, name: str, key: str, whole: bool = True) -> re.Match[str] | None:
    try:
        expression = compiled(pattern)
    except Refused as error:
        raise BadConfig(f"{key} holds {pattern[:200]!r}, which {error}.") from error
    return expression.fullmatch(name) if whole else expression.match(name)


def _check_patterns(patterns: Sequence[str], key: str) -> None:
    try:
        check_together(patterns)
    except Refused as error:
        raise BadConfig(f"{key} holds {patterns[0][:200]!r}, which {error}.") from error


def matches(names: Names | None, module: str, key: str) -> bool:
    """Whether a whole-path pattern or a list of path endings names the module."""
    if not names:
        return False
    if isinstance(names, str):
        return _search(names, module, key) is not None
    return any(module == name or module.endswith(f".{name}") for name in names)


@dataclass(frozen=True, slots=True)
class Targets:
    """The modules that a configuration targets.

    Args:
        targets: a pattern, path endings, or `all-linear`.
        excluded: likewise; taken out first.
        saved: modules that are saved whole; nothing inside them is a target.
        layers: the only layers meant, or None for all.
        layer_patterns: what precedes the layer number in a path.
    """

    targets: Names
    excluded: Names | None
    saved: tuple[str, ...]
    layers: frozenset[int] | None
    layer_patterns: tuple[str, ...]

    @classmethod
    def read(cls, config: Mapping[str, Any], default: tuple[str, ...] | None) -> Targets:
        """The targets of a configuration; `default` stands for null targets.

        Raises:
            BadConfig: a value cannot be used.
        """
        targets = names_of(config.get("target_modules"), "target_modules")
        targets = default if targets is None else targets
        if not targets:
            raise BadConfig("target_modules is empty and has no default for this backbone.")
        layers = config.get("layers_to_transform")
        if isinstance(targets, str) and layers is not None:
            raise BadConfig("layers_to_transform needs target_modules to be a list of names.")
        if isinstance(layers, int):
            layers = [layers]
        if layers is not None and not (
            isinstance(layers, (list, tuple)) and all(isinstance(layer, int) for layer in layers)
        ):
            message = f"layers_to_transform must be a list of numbers, not {layers!r:.200}."
            raise BadConfig(message)
        patterns = names_of(config.get("layers_pattern"), "layers_pattern") or ()
        saved = names_of(config.get("modules_to_save"), "modules_to_save") or ()
        for key, found in (("layers_pattern", patterns), ("modules_to_save", saved)):
            _check_patterns((found,) if isinstance(found, str) else found, key)
        return cls(
            targets,
            names_of(config.get("exclude_modules"), "exclude_modules"),
            (saved,) if isinstance(saved, str) else saved,
            frozenset(layers) if layers else None,
            (patterns,) if isinstance(patterns, str) else patterns,
        )

    @property
    def are_linear_only(self) -> bool:
        """Whether all linears are meant, and nothing else."""
        return isinstance(self.targets, str) and self.targets.lower() == ALL_LINEAR

    def __contains__(self, module: str) -> bool:
        if matches(self.excluded, module, "exclude_modules"):
            return False
        if any(
            _search(rf"(^|.*\.){name}($|\..*)", module, "modules_to_save", whole=False)
            for name in self.saved
        ):
            return False
        if isinstance(self.targets, str):
            return self.are_linear_only or matches(self.targets, module, "target_modules")
        # A module that is named in full is meant whatever its layer.
        return module in self.targets or (
            matches(self.targets, module, "target_modules") and self._has_layer(module)
        )

    def _has_layer(self, module: str) -> bool:
        if self.layers is None:
            return True
        patterns = [rf"(?:^|.*?\.){pattern}\.(?P<index>\d+)\." for pattern in self.layer_patterns]
        for pattern in patterns or [r".*?\.[^.]*\.(?P<index>\d+)\."]:
            match = _search(pattern, module, "layers_pattern", whole=False)
            if match:
                if match["index"] is None:
                    raise BadConfig(f"layers_pattern {self.layer_patterns!r} leaves out the layer.")
                return int(match["index"]) in self.layers
        return False


def pattern_value(patterns: Any, module: str, default: Any, key: str) -> Any:
    """The value of the first pattern that names the module, else the default.

    Raises:
        BadConfig: the patterns are no mapping, or one is no regular expression.
    """
    if not patterns:
        return default
    if not isinstance(patterns, Mapping):
        raise BadConfig(f"{key} must be a mapping from patterns to numbers.")
    _check_patterns([rf"(.*\.)?({name})$" for name in patterns], key)
    found: Iterable[str] = (
        name for name in patterns if _search(rf"(.*\.)?({name})$", module, key, whole=False)
    )
    name = next(iter(found), None)
    return default if name is None else patterns[name]
