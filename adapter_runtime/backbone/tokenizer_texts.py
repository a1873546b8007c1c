"""Texts to token ids and back: a fast tokenizer without rows."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Encoding

from adapter_runtime.backbone.tokenizer_files import TokenizerFiles
from adapter_runtime.backbone.tokenizer_rows import clean_up


class Vocabulary:
    """What a tokenizer knows of texts and tokens. Every method may run on any thread.

    Args:
        files: the tokenizer as read from its folder.
    """

    def __init__(self, files: TokenizerFiles) -> None:
        self._backend = files.backend
        self.unk_id = files.token_id("unk_token")
        self.cls_id = files.token_id("cls_token")
        self.mask_id = files.token_id("mask_token")
        self.pad_id = files.token_id("pad_token")
        self._cleans_up = files.cleans_up
        self.marks_subwords = bool(getattr(self._backend.model, "continuing_subword_prefix", None))

    def token(self, token_id: int) -> str:
        """The vocabulary's text of a token."""
        return str(self._backend.id_to_token(token_id))

    def first_id(self, text: str) -> int | None:
        """The id of a text that is a token, else of its first token; None where it has none."""
        found: int | None = self._backend.token_to_id(text)
        if found is not None:
            return found
        return next(iter(self._content(text).ids), None)

    def text(self, ids: Sequence[int], *, skip_specials: bool = False) -> str:
        """Token ids as running text."""
        found = str(self._backend.decode(list(ids), skip_special_tokens=skip_specials))
        return clean_up(found) if self._cleans_up else found

    def join(self, tokens: Sequence[str]) -> str:
        """Vocabulary texts as running text, by the tokenizer's own decoder."""
        decoder = self._backend.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(list(tokens)))

    def _content(self, text: str) -> Encoding:
        # Unlike `encode`, the batch call lets go of the interpreter's lock while it works.
        return self._backend.encode_batch([text], add_special_tokens=False)[0]

    def _bare_content(self, text: str) -> Encoding:
        """Without offsets and words, which are a quarter of the work."""
        return self._backend.encode_batch_fast([text], add_special_tokens=False)[0]
