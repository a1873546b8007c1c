"""What reading YAML raises."""

from __future__ import annotations

import yaml

UNREADABLE = (
    yaml.YAMLError,
    ValueError,
    RecursionError,
    # Slips of its constructors: `!!bool maybe`, `!!int ''`, `!!timestamp x`, `1:1:…:1.5`.
    LookupError,
    AttributeError,
    TypeError,
    ArithmeticError,
)
"""Every error of a text that is no YAML, or none that can be read."""
