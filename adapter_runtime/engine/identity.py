"""What a verdict on a version depends on beside the version itself."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version

from adapter_runtime.backbone.backbone import Backbone

DISTRIBUTION = "polyhead"


def engine_identity(backbone: Backbone) -> str:
    """SHA-256 (hex) of the backbone's files, dtype, kind of device and this release. Blocks."""
    facts = (backbone.digest, backbone.precision, backbone.device.type, release())
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


def release() -> str:
    """The installed release of this distribution; `0` where it runs from a bare checkout."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "0"
