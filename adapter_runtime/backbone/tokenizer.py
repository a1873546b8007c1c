"""Text to token rows: a thread-safe view of one fast tokenizer.

Truncation and windows are made on each text's own encoding, so that no call changes the shared
tokenizer. How a folder becomes a tokenizer is `tokenizer_files`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tokenizers import Encoding, models
from tokenizers import Tokenizer as Backend

from adapter_runtime.backbone.tokenizer_files import TokenizerFiles, read_tokenizer
from adapter_runtime.backbone.tokenizer_rows import Tokens as Tokens
from adapter_runtime.backbone.tokenizer_rows import (
    cut,
    longest_first,
    pair_type,
    word_starts,
)
from adapter_runtime.backbone.tokenizer_texts import Vocabulary
from adapter_runtime.backbone.tokenizer_windows import Check, Stride, cut_windows
from adapter_runtime.errors import InvalidInput
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Row


class Tokenizer(Vocabulary):
    """A backbone's tokenizer. Every method may run on any thread.

    Args:
        files: the tokenizer as read from its folder.
        max_tokens: the most tokens that the backbone takes in one row.
        has_types: whether the architecture reads token type ids.
        vocab_size: tokens that the backbone has an embedding for; None trusts the tokenizer.
    """

    def __init__(
        self,
        files: TokenizerFiles,
        max_tokens: int,
        has_types: bool,
        vocab_size: int | None = None,
    ) -> None:
        super().__init__(files)
        self.max_tokens = min(max_tokens, files.max_tokens or max_tokens)
        self.has_types = has_types
        self._vocab_size = vocab_size or files.backend.get_vocab_size()
        # A post-processor that trims offsets would trim twice if `encode` ran it as well.
        self._template = Backend(models.WordLevel({}, unk_token=""))
        if files.backend.post_processor is not None:
            self._template.post_processor = files.backend.post_processor
            self._backend.post_processor = None
        self._side = files.truncation_side
        self._spaces_words = "ByteLevel" in _parts(self._backend.pre_tokenizer)

    @classmethod
    def from_folder(
        cls,
        folder: Folder,
        model_type: str,
        max_tokens: int,
        has_types: bool,
        vocab_size: int | None = None,
    ) -> Tokenizer:
        """Read a backbone's tokenizer; no network, no remote code.

        Args:
            folder: the backbone's files.
            model_type: `config.model_type`, which names the tokenizer family by default.
            max_tokens: the most tokens that the backbone takes in one row.
            has_types: whether the architecture reads token type ids.
            vocab_size: tokens that the backbone has an embedding for.

        Raises:
            BackboneError: the folder holds no readable tokenizer.
        """
        return cls(read_tokenizer(folder, model_type), max_tokens, has_types, vocab_size)

    def num_specials(self, is_pair: bool) -> int:
        """How many special tokens a row gets."""
        return int(self._template.num_special_tokens_to_add(is_pair))

    def encode(
        self,
        text: str,
        pair: str | None = None,
        max_tokens: int | None = None,
        side: str | None = None,
        *,
        with_offsets: bool = True,
    ) -> tuple[Tokens, int]:
        """One row, cut to `max_tokens` by the longest-first rule, and its uncut number of tokens.

        Args:
            text, pair: the text and, for pairs, the second text.
            max_tokens: most tokens of the row, special tokens included; None cuts nothing.
            side: `left` or `right`, where to cut; None is the tokenizer's own.
            with_offsets: whether anybody reads the tokens' characters or words, which take time.
        """
        read = self._content if with_offsets else self._bare_content
        first, second = read(text), None if pair is None else read(pair)
        specials = self.num_specials(second is not None)
        total = len(first) + (0 if second is None else len(second)) + specials
        if max_tokens is not None and total > max_tokens:
            room = max(max_tokens - specials, 0)
            sizes = longest_first(len(first), None if second is None else len(second), room)
            cut(first, sizes[0], side or self._side)
            if second is not None:
                cut(second, sizes[1], side or self._side)
        return Tokens(self._template.post_process(first, second, True)), total

    def pairs(
        self, text: str, pairs: Sequence[str], max_tokens: int, *, keeps_pairs: bool = False
    ) -> list[tuple[Tokens, int]]:
        """What `encode` gives for the text with each of many pairs, without offsets.

        The text is read only once.

        Args:
            text, pairs: the text and the second texts.
            max_tokens: most tokens of each row, special tokens included.
            keeps_pairs: only the text is cut; a row may be longer where that is not enough.
        """
        first = self._bare_content(text)
        length, specials = len(first), self.num_specials(True)
        room = max(max_tokens - specials, 0)
        cut(first, room, self._side)
        found = []
        for pair in pairs:
            own, second = first, self._bare_content(pair)
            total = length + len(second) + specials
            if total > max_tokens:
                sizes = longest_first(length, len(second), room)
                if keeps_pairs:
                    sizes = max(0, room - len(second)), len(second)
                own = Encoding.merge([first], False)  # a copy, as cutting changes it
                cut(own, sizes[0], self._side)
                cut(second, sizes[1], self._side)
            found.append((Tokens(self._template.post_process(own, second, True)), total))
        return found

    def windows(
        self,
        text: str,
        pair: str | None,
        max_tokens: int,
        stride: Stride,
        check: Check | None = None,
        *,
        longer: bool = False,
        with_offsets: bool = True,
    ) -> list[Tokens]:
        """Rows of at most `max_tokens` that together cover the last text given, `text` or `pair`.

        Args:
            text, pair: with a pair, every row repeats the one and shows a window of the other.
            max_tokens: most tokens of a row; must leave room for more than `stride` tokens.
            stride: tokens that neighbouring windows share.
            check: hears how many rows there will be, and may raise, before they are made.
            longer: it is the longer text that is covered, be it the first.
            with_offsets: as for `encode`.
        """
        read = self._content if with_offsets else self._bare_content
        first, second = read(text), None if pair is None else read(pair)
        target, repeated = first, 0
        if second is not None:
            is_first = longer and len(first) > len(second)
            target, repeated = (first, len(second)) if is_first else (second, len(first))
        room = max_tokens - self.num_specials(pair is not None) - repeated
        windows = cut_windows(target, room, stride, self._side, check)
        whole = self._template.post_process(first, second, True)
        return windows.rows(whole, max_tokens, has_pair=target is second)

    def windows_of_pairs(
        self,
        text: str,
        pairs: Sequence[str],
        max_tokens: int,
        stride: Stride,
        check: Check | None = None,
    ) -> list[list[Tokens]]:
        """The same windows of the text with each of many pairs, without offsets.

        The longest pair says how much of the text a window shows.

        Args:
            text, pairs: the text, which is read only once, and the second texts.
            max_tokens, stride, check: as for `windows`.
        """
        first, others = self._bare_content(text), [self._bare_content(pair) for pair in pairs]
        longest = max(map(len, others))
        room = max_tokens - self.num_specials(True) - longest
        windows = cut_windows(first, room, stride, self._side, check, len(others))
        return [
            windows.rows(
                self._template.post_process(first, second, True),
                max_tokens - longest + len(second),
                has_pair=False,
            )
            for second in others
        ]

    def first_window(self, text: str, pair: str, max_tokens: int) -> tuple[Tokens, int]:
        """The first of `windows`, and the tokens of the whole row that it was cut from.

        Args:
            text, pair: the text, and the second text, which alone is cut.
            max_tokens: most tokens of the row.
        """
        first, second = self._content(text), self._content(pair)
        total = len(first) + len(second) + self.num_specials(True)
        surplus = max(0, total - max_tokens)
        cut(second, len(second) - surplus, self._side)
        whole = self._template.post_process(first, second, True)
        kind = pair_type(whole) if surplus else None
        return Tokens(whole, surplus if self._side == "left" else 0, kind), total

    def encode_words(
        self, words: Sequence[str], max_tokens: int
    ) -> tuple[Tokens, tuple[int, ...], int]:
        """One row of given words, where each begins and the last ends, and its uncut length.

        Args:
            words: without blanks.
            max_tokens: most tokens of the row, special tokens included; later words are cut off.

        Raises:
            InvalidInput: a word makes no token; names it.
        """
        content = self._words(words)
        specials = self.num_specials(False)
        total = len(content) + specials
        cut(content, min(len(content), max(max_tokens - specials, 0)), "right")
        tokens = Tokens(self._template.post_process(content, None, True))
        return tokens, word_starts(tokens), total

    def word_lengths(self, words: Sequence[str]) -> list[int]:
        """Tokens of each given word.

        Raises:
            InvalidInput: a word makes none; names it.
        """
        counts = Counter(self._words(words).word_ids)
        return [counts[number] for number in range(len(words))]

    def _words(self, words: Sequence[str]) -> Encoding:
        spaced = [f" {word}" for word in words] if self._spaces_words else list(words)
        content = self._backend.encode_batch(
            [spaced], is_pretokenized=True, add_special_tokens=False
        )[0]
        lost = sorted(set(range(len(words))) - set(content.word_ids))
        if lost:
            raise InvalidInput("the tokenizer reads nothing in it.", f"inputs.words[{lost[0]}]")
        return content

    def length(self, text: str) -> int:
        """Tokens of a text alone, without special tokens."""
        return len(self._content(text))

    def row(self, tokens: Tokens, *, with_types: bool = True) -> Row:
        """What the backbone reads of a row; type ids only where they say something.

        Raises:
            InvalidInput: there are no tokens, or one that the backbone does not know.
        """
        if not tokens.ids:
            raise InvalidInput("the tokenizer reads nothing in the text; send other words.")
        if max(tokens.ids, default=0) >= self._vocab_size:
            raise InvalidInput(
                "the text holds a token that the backbone has no embedding for; the tokenizer "
                "belongs to another backbone."
            )
        types = tokens.types if with_types and self.has_types else ()
        return Row(tokens.ids, types if any(types) else None)


def _parts(component: Any) -> frozenset[str]:
    """The kinds of a tokenizer component and of those inside it."""
    if component is None:
        return frozenset()
    state = json.loads(component.__getstate__())
    inner = state.get("pretokenizers", ())
    return frozenset({state.get("type"), *(part.get("type") for part in inner)})
