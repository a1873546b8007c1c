"""`hf://org/name@revision/sub/folder`: files of a Hugging Face hub repository.

Only files that Polyhead reads are fetched. The hub's own cache and environment variables
(`HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`) apply; with a warm cache no hub is needed.

Source: https://huggingface.co/docs/huggingface_hub/guides/download
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.folder import inner_path

if TYPE_CHECKING:
    from huggingface_hub import DryRunFileInfo

WANTED = (
    "config.json",
    "model*.safetensors",
    "model*.safetensors.index.json",
    "adapter*.json",
    "adapter*.safetensors",
    "adapter_model.bin",
    "pytorch_adapter.bin",
    "pytorch_model_head.bin",
    "pytorch_model_adapter_fusion.bin",
    "head_config.json",
    "embedding.pt",
    "tokenizer*",
    "vocab.*",
    "merges.txt",
    "sentencepiece*.model",
    "spiece.model",
    "spm.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_*_config.json",
    "[0-9]_*/config.json",
)
OLD_WEIGHTS = ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json")
"""Fetched only where a backbone has no safetensors: many repositories hold both."""

_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)


class HubPlace(NamedTuple):
    """A parsed hub Source; `revision` None means the default branch."""

    repo: str
    revision: str | None
    folder: Path


def parse(rest: str, source: str) -> HubPlace:
    """Split `org/name@revision/sub/folder`; a slash within a revision is written `%2F`.

    Raises:
        SourceError: no valid repository name, or the sub-folder leads out of it.
    """
    parts = rest.split("/")
    size = 1 if "@" in parts[0] else 2
    repo, at, revision = "/".join(parts[:size]).partition("@")
    if not _ID.fullmatch(repo) or ".." in repo or (at and not revision):
        raise SourceError(
            f"{source}: {rest!r} names no repository; write hf://org/name@revision/sub/folder."
        )
    return HubPlace(repo, unquote(revision) or None, inner_path("/".join(parts[size:]), source))


def is_hub_name(text: str) -> bool:
    """Whether the text could be `name` or `org/name`, with or without `@revision`."""
    name = text.partition("@")[0]
    return text.count("/") <= 1 and not text.startswith(".") and bool(_ID.fullmatch(name))


def hub_folder(rest: str, source: str, max_file_bytes: int) -> Path:
    """The folder in the hub's cache on this machine, fetched first where needed. Blocks.

    Args:
        rest: what follows `hf://`.
        source: the whole Source, for messages.
        max_file_bytes: a larger file is refused before it is fetched.

    Raises:
        SourceError: the hub or its cache does not have it, refuses it, or a file is too large.
    """
    place = parse(rest, source)
    folder = _snapshot(place, WANTED, source, max_file_bytes) / place.folder
    is_backbone = (folder / "config.json").is_file() and not any(folder.glob("*.safetensors"))
    if is_backbone and not (folder / "adapter_config.json").is_file():
        _snapshot(place, OLD_WEIGHTS, source, max_file_bytes)
    if not folder.is_dir():
        raise SourceError(f"{source}: {place.repo} has no folder {place.folder} that can be used.")
    return folder


def _snapshot(place: HubPlace, patterns: Sequence[str], source: str, max_file_bytes: int) -> Path:
    # Imported here: a local Source shall not pay for an HTTP client.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import DryRunError, HfHubHTTPError, HFValidationError

    prefix = "" if place.folder == Path() else f"{place.folder.as_posix()}/"
    wanted = [prefix + pattern for pattern in patterns]
    try:
        with suppress(DryRunError):  # Then the hub is away, and the cache alone will answer.
            plan = snapshot_download(
                place.repo, revision=place.revision, allow_patterns=wanted, dry_run=True
            )
            _check_sizes(plan, source, max_file_bytes)
        return Path(snapshot_download(place.repo, revision=place.revision, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise SourceError(f"{source}: {_reason(error)}") from error


def _check_sizes(plan: Iterable[DryRunFileInfo], source: str, max_file_bytes: int) -> None:
    for file in plan:
        if (file.file_size or 0) > max_file_bytes:
            raise SourceError(
                f"{source}: {file.filename} has {file.file_size} bytes, the limit is "
                f"{max_file_bytes}; raise max_file_bytes to accept it."
            )


def _reason(error: Exception) -> str:
    from huggingface_hub import errors

    # Most specific first: a gated repository's error is also a missing repository's.
    table: tuple[tuple[type[Exception], str], ...] = (
        (errors.GatedRepoError, "it is gated; accept its terms on the hub and set HF_TOKEN."),
        (errors.RevisionNotFoundError, "there is no such revision; check what follows the @."),
        (errors.RepositoryNotFoundError, "no such repository, or a private one; set HF_TOKEN."),
        (
            errors.LocalEntryNotFoundError,
            "the hub does not answer and its cache here does not hold the files; check the "
            "network, HF_ENDPOINT and HF_HUB_OFFLINE.",
        ),
    )
    for kind, sentence in table:
        if isinstance(error, kind):
            return sentence
    return f"the files cannot be fetched ({str(error).splitlines()[0]})."
