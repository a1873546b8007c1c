"""A backbone folder's tokenizer files as one fast tokenizer with truncation and padding off.

`tokenizer.json` is what a tokenizer was trained as, so it is read as it stands, with the few
corrections from `tokenizer_config.json` that the fast tokenizer classes of transformers 4 make.
The automatic classes of transformers 5 rebuild a tokenizer from its vocabulary and lose the rest
of the file; only folders without `tokenizer.json` go through them.

Source: transformers 4.57 `PreTrainedTokenizerFast.__init__` and its subclasses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend
from tokenizers.processors import TemplateProcessing

from adapter_runtime.backbone.objects import read_object
from adapter_runtime.backbone.tokenizer_families import (
    BY_MODEL_TYPE,
    FAMILIES,
    LANGUAGE,
    PLAIN,
    SPECIAL_KEYS,
    Family,
)
from adapter_runtime.backbone.tokenizer_pieces import PIECE_FILES, can_convert, from_pieces
from adapter_runtime.backbone.tokenizer_vocabulary import from_vocabulary, unreadable
from adapter_runtime.errors import BackboneError
from adapter_runtime.sources.folder import Folder

TOKENIZER_FILE, CONFIG_FILE = "tokenizer.json", "tokenizer_config.json"
SPECIALS_FILE = "special_tokens_map.json"

_LARGEST = 1 << 30


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer as read: the fast backend and what its configuration adds.

    Args:
        backend: the fast tokenizer, owned by the caller, without truncation and padding.
        specials: special tokens by role, such as `unk_token`.
        max_tokens: the configured `model_max_length`, if it is a real limit.
        truncation_side: `left` or `right`.
        cleans_up: token ids as text lose the blanks before punctuation marks.
    """

    backend: Backend
    specials: Mapping[str, str]
    max_tokens: int | None
    truncation_side: str
    cleans_up: bool = False

    def token_id(self, role: str) -> int | None:
        """The id of a special token by its role, or None where the tokenizer has none."""
        token = self.specials.get(role)
        return None if token is None else self.backend.token_to_id(token)


def read_tokenizer(folder: Folder, model_type: str) -> TokenizerFiles:
    """Read a folder's tokenizer; blocks on the file system only.

    Raises:
        BackboneError: there is no readable tokenizer in the folder.
    """
    config = read_object(folder, CONFIG_FILE) if folder.has(CONFIG_FILE) else {}
    name = _family_name(config, model_type)
    family = FAMILIES.get(name, PLAIN)
    specials = _specials(folder, config, family)
    if folder.has(TOKENIZER_FILE):
        backend = _corrected_backend(_from_json(folder), folder, config, family, specials)
    elif can_convert(name) and (file := find_pieces(folder)) is not None:
        backend = _from_pieces(folder, file, name, config, specials)
        backend = _corrected_backend(backend, folder, config, family, specials)
    else:
        backend = from_vocabulary(folder, model_type)
        _strip_mask(backend, family, specials)
    backend.no_truncation()
    backend.no_padding()
    side = str(config.get("truncation_side", "right"))
    most = _max_tokens(config.get("model_max_length"))
    # As transformers 5: it would eat blanks that byte-level texts really have.
    cleans_up = bool(config.get("clean_up_tokenization_spaces")) and not _is_bpe(backend)
    return TokenizerFiles(backend, specials, most, side, cleans_up)


def _is_bpe(backend: Backend) -> bool:
    return type(backend.model).__name__ == "BPE"


def _max_tokens(configured: Any) -> int | None:
    """The configured length; a huge number is how a missing one is written."""
    if isinstance(configured, int | float) and 0 < configured < _LARGEST:
        return int(configured)
    return None


def _family_name(config: Mapping[str, Any], model_type: str) -> str:
    name = config.get("tokenizer_class")
    if name is None:
        return BY_MODEL_TYPE.get(model_type, "")
    return str(name).removesuffix("Fast").removesuffix("Tokenizer")


def _specials(folder: Folder, config: Mapping[str, Any], family: Family) -> dict[str, str]:
    named = dict(family.specials)
    stored = read_object(folder, SPECIALS_FILE) if folder.has(SPECIALS_FILE) else {}
    for source in (stored, config):
        for key in SPECIAL_KEYS:
            value = source.get(key)
            if value is not None:
                named[key] = value["content"] if isinstance(value, dict) else str(value)
    return named


def _from_json(folder: Folder) -> Backend:
    try:
        return Backend.from_file(str(folder.path(TOKENIZER_FILE)))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise BackboneError(
            f"{folder.source}: {TOKENIZER_FILE} cannot be read ({error})."
        ) from error


def find_pieces(folder: Folder) -> str | None:
    """The sentencepiece model of a folder, if it has one."""
    return next((name for name in PIECE_FILES if folder.has(name)), None)


def _from_pieces(
    folder: Folder,
    file: str,
    family: str,
    config: Mapping[str, Any],
    specials: Mapping[str, str],
) -> Backend:
    try:
        backend = from_pieces(folder.path(file), family, config, specials)
    except Exception as error:  # a damaged model surfaces as any error of any reader below
        raise unreadable(folder, error) from error
    _strip_mask(backend, FAMILIES[family], specials)
    return backend


def _strip_mask(backend: Backend, family: Family, specials: Mapping[str, str]) -> None:
    mask = specials.get("mask_token")
    if mask is not None and family.strips_mask:
        # A mask swallows the blank before it, which no vocabulary says.
        backend.add_special_tokens([AddedToken(mask, lstrip=True, special=True)])


def _corrected_backend(
    backend: Backend,
    folder: Folder,
    config: Mapping[str, Any],
    family: Family,
    specials: Mapping[str, str],
) -> Backend:
    try:
        _add_tokens(backend, config, specials)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise BackboneError(
            f"{folder.source}: added_tokens_decoder in {CONFIG_FILE} is malformed ({error})."
        ) from error
    _correct_prefix_space(backend, config)
    _correct_normalizer(backend, config, family)
    if family.trims_offsets:
        _correct_offsets(backend, config)
    if family.around is not None:
        language = {LANGUAGE: str(config.get(LANGUAGE) or "en_XX")}
        backend.post_processor = _around(backend, family.around, {**specials, **language}, folder)
    if family.opens:
        backend.post_processor = _opening(backend, config, specials, folder)
    return backend


def _opening(
    backend: Backend, config: Mapping[str, Any], specials: Mapping[str, str], folder: Folder
) -> TemplateProcessing:
    """Llama's template: the begin and end tokens around each text, as far as they are wanted."""
    first = [specials["bos_token"]] if config.get("add_bos_token", True) else []
    last = [specials["eos_token"]] if config.get("add_eos_token", False) else []
    ids = _ids((*first, *last), backend, folder)
    return TemplateProcessing(
        single=[*first, "$A", *last],
        pair=[*first, "$A", *last, *first, "$B", *last],
        special_tokens=list(ids.items()),
    )


def _around(
    backend: Backend,
    roles: tuple[tuple[str, ...], tuple[str, ...]],
    specials: Mapping[str, str],
    folder: Folder,
) -> TemplateProcessing:
    """The tokens before and after every text and every pair, which nothing separates."""
    before, after = ([specials[role] for role in part] for part in roles)
    ids = _ids((*before, *after), backend, folder)
    return TemplateProcessing(
        single=[*before, "$A", *after],
        pair=[*before, "$A", "$B", *after],
        special_tokens=list(ids.items()),
    )


def _ids(tokens: Sequence[str], backend: Backend, folder: Folder) -> dict[str, int]:
    ids = {token: backend.token_to_id(token) for token in tokens}
    lost = [token for token, number in ids.items() if number is None]
    if lost:
        raise BackboneError(
            f"{folder.source}: the tokenizer has no token {lost[0]!r}, which {CONFIG_FILE} puts "
            "around every text; fetch the files again."
        )
    return {token: number for token, number in ids.items() if number is not None}


def _add_tokens(backend: Backend, config: Mapping[str, Any], specials: Mapping[str, str]) -> None:
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    declared = config.get("added_tokens_decoder") or {}
    fresh = [
        AddedToken(**{key: value for key, value in token.items() if key != "special"}, special=True)
        if token.get("special")
        else AddedToken(**token)
        for _, token in sorted(declared.items(), key=lambda item: int(item[0]))
        if token["content"] not in known
    ]
    names = known | {token.content for token in fresh}
    fresh += [
        AddedToken(text, special=True)
        for text in dict.fromkeys(specials.values())
        if text not in names
    ]
    for token in fresh:
        (backend.add_special_tokens if token.special else backend.add_tokens)([token])


def _correct_prefix_space(backend: Backend, config: Mapping[str, Any]) -> None:
    wanted = {"add_prefix_space": bool(config.get("add_prefix_space", False))}
    backend.pre_tokenizer = _corrected(backend.pre_tokenizer, wanted)


def _correct_normalizer(backend: Backend, config: Mapping[str, Any], family: Family) -> None:
    settings = family.normalizer.items()
    wanted = {key: config.get(setting, default) for key, (setting, default) in settings}
    backend.normalizer = _corrected(backend.normalizer, wanted)


def _correct_offsets(backend: Backend, config: Mapping[str, Any]) -> None:
    wanted = {
        "add_prefix_space": bool(config.get("add_prefix_space", False)),
        "trim_offsets": bool(config.get("trim_offsets", True)),
    }
    backend.post_processor = _corrected(backend.post_processor, wanted)


def _corrected(component: Any, wanted: Mapping[str, Any]) -> Any:
    """The component with these settings, as far as its kind knows them."""
    if component is None:
        return None
    state = json.loads(component.__getstate__())
    known = {key: value for key, value in wanted.items() if key in state}
    if any(state[key] != value for key, value in known.items()):
        component.__setstate__(json.dumps(state | known).encode())
    return component
