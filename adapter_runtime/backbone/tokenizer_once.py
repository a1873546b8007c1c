"""A tokenizer for several tasks on the same texts: it reads each text once."""

from __future__ import annotations

from tokenizers import Encoding

from adapter_runtime.backbone.tokenizer import Tokenizer


class ReadingOnce(Tokenizer):
    """A view of a tokenizer that remembers what it has read; for one thread and a few inputs.

    Args:
        tokenizer: does the reading.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.__dict__.update(tokenizer.__dict__)
        self._read: dict[str, Encoding] = {}

    def _content(self, text: str) -> Encoding:
        found = self._read.get(text)
        if found is None:
            found = self._read[text] = super()._content(text)
        return Encoding.merge([found], False)  # a copy, as whoever gets it may cut it

    def _bare_content(self, text: str) -> Encoding:
        return self._content(text)
