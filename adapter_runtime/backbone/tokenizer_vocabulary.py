"""Tokenizers from vocabularies alone, where a folder has no `tokenizer.json`.

Source: transformers 5 `AutoTokenizer`; transformers 4.57 `EsmTokenizer`.
"""

from __future__ import annotations

from tokenizers import AddedToken, Regex, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from tokenizers.processors import TemplateProcessing

from adapter_runtime.backbone.tokenizer_pieces import PIECE_FILES
from adapter_runtime.errors import BackboneError
from adapter_runtime.sources.folder import Folder

VOCABULARY_FILES = ("vocab.txt", "vocab.json", *PIECE_FILES)
_ESM_SPECIALS = ("<cls>", "<pad>", "<eos>", "<unk>", "<mask>")


def from_vocabulary(folder: Folder, model_type: str) -> Backend:
    """The fast tokenizer of a folder's vocabulary files, but for what its configuration adds.

    Raises:
        BackboneError: there are none, or they cannot be read.
    """
    # Without a vocabulary the automatic class makes up one of five tokens and says nothing.
    if not any(folder.has(name) for name in VOCABULARY_FILES):
        raise BackboneError(f"{folder.source}: there is no tokenizer; tokenizer.json is expected.")
    if model_type == "esm":
        return _esm(folder)
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder.root), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # missing files surface as many kinds of errors
        raise unreadable(folder, error) from error
    backend: Backend | None = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise unreadable(folder, f"{type(tokenizer).__name__} has no fast form")
    return backend


def unreadable(folder: Folder, reason: object) -> BackboneError:
    """The error for a folder whose vocabulary makes no tokenizer."""
    return BackboneError(
        f"{folder.source}: no tokenizer can be read ({reason}); tokenizer.json is expected."
    )


def _esm(folder: Folder) -> Backend:
    """Proteins: every known token is cut out wherever it stands, the longest first."""
    lines = folder.path("vocab.txt").read_text("utf-8").splitlines()
    vocabulary = {line.strip(): number for number, line in enumerate(lines)}
    if not set(_ESM_SPECIALS) <= set(vocabulary):
        raise BackboneError(
            f"{folder.source}: vocab.txt is no vocabulary of ESM's; fetch it again."
        )
    backend = Backend(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106 - no password
    known = sorted(filter(None, vocabulary), key=len, reverse=True)
    pattern = Regex("|".join("".join(f"\\x{{{ord(one):x}}}" for one in token) for token in known))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern, "isolated"), pre_tokenizers.WhitespaceSplit()]
    )
    backend.add_special_tokens([AddedToken(token, special=True) for token in _ESM_SPECIALS])
    backend.post_processor = TemplateProcessing(
        single="<cls> $A <eos>",
        pair="<cls> $A <eos> $B <eos>",
        special_tokens=[(token, vocabulary[token]) for token in ("<cls>", "<eos>")],
    )
    return backend
