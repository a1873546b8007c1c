"""Tokenizer folders are read as transformers 4 reads them, and never changed by a call."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from adapter_runtime.backbone.tokenizer import Tokenizer
from adapter_runtime.errors import BackboneError
from adapter_runtime.sources.folder import Folder
from tests.goldens.heads.texts import LONG, SENTENCES
from tests.heads.test_pipeline_answers import GOLDENS, tokenizer_of


def changed(name: str, path: Path, file: str = "tokenizer_config.json", **values: Any) -> Tokenizer:
    """A copy of a golden tokenizer with some settings changed."""
    shutil.copytree(GOLDENS / name, path, dirs_exist_ok=True)
    content = json.loads((path / file).read_text("utf-8")) | values
    (path / file).write_text(json.dumps(content), "utf-8")
    return Tokenizer.from_folder(Folder(path, name), "bert", 512, has_types=True)


def tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    """The vocabulary texts of a row."""
    return [tokenizer.token(token_id) for token_id in tokenizer.encode(text)[0].ids]


def test_truncation_and_padding_in_the_file_are_switched_off(tmp_path: Path) -> None:
    """all-MiniLM's file cuts at 128 tokens and pads to as many; neither is wanted."""
    truncation = {"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    padding = {"strategy": {"Fixed": 128}, "direction": "Right", "pad_id": 0, "pad_type_id": 0}
    padding |= {"pad_token": "[PAD]", "pad_to_multiple_of": None}
    odd = changed("wordpiece", tmp_path, "tokenizer.json", truncation=truncation, padding=padding)
    assert tokens(tokenizer_of("wordpiece"), SENTENCES[0]) == tokens(odd, SENTENCES[0])


def test_the_configuration_corrects_the_file(tmp_path: Path) -> None:
    """Casing of BERT's classes comes from the configuration; a generic class keeps the file's."""
    cased = changed("wordpiece", tmp_path / "cased", do_lower_case=False)
    generic = changed(
        "wordpiece",
        tmp_path / "generic",
        do_lower_case=False,
        tokenizer_class="PreTrainedTokenizerFast",
    )
    assert "[UNK]" in tokens(cased, "Walter")
    assert tokens(tokenizer_of("wordpiece"), "Walter") == tokens(generic, "Walter")


@pytest.mark.parametrize("name", ("wordpiece", "bpe"))
@pytest.mark.parametrize("max_tokens", (None, 9))
def test_a_row_is_the_same_without_its_offsets(name: str, max_tokens: int | None) -> None:
    """Whole and cut, alone and as a pair; only characters and words are not told."""
    tokenizer = tokenizer_of(name)
    for text, pair in ((SENTENCES[0], None), (SENTENCES[0], SENTENCES[1]), (LONG, SENTENCES[1])):
        whole, total = tokenizer.encode(text, pair, max_tokens)
        bare, bare_total = tokenizer.encode(text, pair, max_tokens, with_offsets=False)
        assert (bare.ids, bare.types, bare.specials, bare_total) == (
            whole.ids,
            whole.types,
            whole.specials,
            total,
        )


def test_a_prefix_space_is_added_when_configured(tmp_path: Path) -> None:
    """RoBERTa's first word then looks like any other."""
    spaced = changed("bpe", tmp_path, add_prefix_space=True)
    assert tokens(spaced, "bridge") == tokens(tokenizer_of("bpe"), " bridge")


def test_a_vocabulary_alone_is_enough(tmp_path: Path) -> None:
    """A folder from before tokenizer.json gives the same tokens."""
    for name in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(GOLDENS / "wordpiece" / name, tmp_path / name)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    old = Tokenizer.from_folder(Folder(tmp_path, "old"), "bert", 512, has_types=True)
    assert all(tokens(old, text) == tokens(tokenizer_of("wordpiece"), text) for text in SENTENCES)


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    """The error names the file that is expected."""
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BackboneError, match=r"tokenizer\.json"):
        Tokenizer.from_folder(Folder(tmp_path, "empty"), "bert", 512, has_types=True)


def test_the_shorter_of_both_limits_holds(tmp_path: Path) -> None:
    """`model_max_length` is 64 here; a huge one means none."""
    assert 64 == tokenizer_of("wordpiece").max_tokens
    assert 512 == changed("wordpiece", tmp_path, model_max_length=int(1e30)).max_tokens


def test_threads_may_share_a_tokenizer() -> None:
    """Calls with different limits at once do not see each other's truncation."""
    tokenizer = tokenizer_of("wordpiece")
    limits = [8, 16, 24, 64] * 50
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda most: tokenizer.encode(LONG, None, most)[0], limits))
    assert limits == [len(row) for row in rows]


def test_windows_cover_the_text_and_know_their_place() -> None:
    """Every token is in a window, and `first` says where each window begins."""
    tokenizer = tokenizer_of("wordpiece")
    whole = tokenizer.encode(LONG)[0].ids[1:-1]
    for window in tokenizer.windows(LONG, None, 20, 5):
        content = window.ids[1:-1]
        assert whole[window.first : window.first + len(content)] == content
    assert whole[-1] == content[-1]
