"""`polyhead convert`: a checkpoint in another form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from serving.check import parse_options
from serving.opening import backbone_of
from serving.settings import Settings


def convert(
    source: str, target: Path, form: str, options: Sequence[str], settings: Settings
) -> tuple[str, ...]:
    """Rewrite a checkpoint and name the files of the new folder. Blocks.

    Args:
        source: where the checkpoint is.
        target: the folder to make.
        form: `adapterhub` or `safetensors`.
        options: task options as `name=value`.
        settings: names the backbone.

    Raises:
        PolyheadError: the checkpoint is refused, or the target is in the way.
    """
    from adapter_runtime import convert_checkpoint

    return convert_checkpoint(source, target, form, backbone_of(settings), parse_options(options))
