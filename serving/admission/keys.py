"""Who may do what: the keys file, read and checked."""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from adapter_runtime import SettingsError
from serving.admission.scopes import Action
from serving.unreadable import UNREADABLE

PRIORITIES = {"high": 1, "normal": 0, "low": -1}
SECRET_PREFIX = "ph_"  # noqa: S105 - what secret scanners look for, no secret
_SECRET_BYTES = 32
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_FILE_BYTES = 16 << 20


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Quota(_Checked):
    """What a key may ask for in a minute; None is without end."""

    requests_per_minute: float | None = Field(None, gt=0, allow_inf_nan=False)
    tokens_per_minute: float | None = Field(None, gt=0, allow_inf_nan=False)


class Key(_Checked):
    """One key as the file states it.

    Args:
        name: shown in metrics, logs and usage.
        hash: `sha256:` and the secret's digest in hexadecimal digits.
        tasks: patterns of the tasks that it may name.
        actions: what it may do.
        priority: the highest that its requests may ask for.
        weight: its share where callers wait for each other.
        quota: per minute.
        concurrency: requests that may be inside at once; None is without end.
        expires: end of its life in Unix time, in seconds; in the file a date or time of UTC.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    hash: Annotated[str, Field(repr=False)]
    tasks: tuple[Annotated[str, Field(min_length=1)], ...] = ("*",)
    actions: frozenset[Literal["predict", "admin", "metrics"]] = frozenset({"predict"})
    priority: Literal["high", "normal", "low"] = "normal"
    weight: float = Field(1.0, ge=0.001, le=1000, allow_inf_nan=False)
    quota: Quota = Field(default_factory=lambda: Quota.model_validate({}))
    concurrency: int | None = Field(None, ge=1)
    expires: float | None = None

    @field_validator("hash")
    @classmethod
    def _is_hash(cls, value: str) -> str:
        if not _HASH.fullmatch(value):
            raise ValueError("expected sha256: and 64 hexadecimal digits; see polyhead keys new")
        return value

    @field_validator("expires", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if value is not None:
            raise ValueError("expected a date such as 2030-01-31")
        return None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(fnmatch.translate, self.tasks)) or r"(?!)")

    def may_name(self, task: str) -> bool:
        """Whether its patterns cover a task."""
        return self._pattern.match(task) is not None

    @property
    def sees_all(self) -> bool:
        """Whether its patterns cover every task."""
        return "*" in self.tasks

    def may(self, actions: Iterable[Action]) -> bool:
        """Whether it may do one of these."""
        return not self.actions.isdisjoint(actions)

    @property
    def has_expired(self) -> bool:
        """Whether its life has ended."""
        return self.expires is not None and time.time() >= self.expires


class KeyRing:
    """All keys of a file; never changes.

    Args:
        keys: distinct in name and hash.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self.by_name = {key.name: key for key in keys}
        self._by_hash = {key.hash: key for key in self.by_name.values()}

    def find(self, secret: bytes) -> Key | None:
        """The key of a secret, if it is one and lives."""
        digest = f"sha256:{hashlib.sha256(secret).hexdigest()}"
        # The index is over digests, which nobody can steer; the last word has no timing at all.
        key = self._by_hash.get(digest)
        if key is None or not hmac.compare_digest(key.hash, digest) or key.has_expired:
            return None
        return key


class _Loader(yaml.SafeLoader):
    """Refuses what is said twice: of two `actions` the last one would win unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            raise ValueError("a mapping has a key twice")
        return super().construct_mapping(node, deep)


def read_keys(path: Path) -> KeyRing:
    """The keys of a file.

    Raises:
        SettingsError: it cannot be read, or is wrong; says where, and never what stands there.
    """
    try:
        with path.open("rb") as file:
            content = yaml.load(file.read(_MAX_FILE_BYTES), _Loader)  # noqa: S506, it is a safe one
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from error
    except UNREADABLE:
        raise SettingsError(f"{path} is not valid YAML.") from None  # its error quotes the file
    listed = content.get("keys") if isinstance(content, dict) and len(content) == 1 else None
    if not isinstance(listed, list):
        raise SettingsError(f"{path} must hold `keys:` and a list, and nothing else.")
    keys = [parse_key(each, f"{path}: keys[{at}]") for at, each in enumerate(listed)]
    return KeyRing(_distinct(path, keys))


def parse_key(entry: Any, place: str) -> Key:
    """One entry.

    Args:
        entry: as YAML gives it.
        place: where it stands, for messages.

    Raises:
        SettingsError: it is wrong; says where.
    """
    try:
        return Key.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False)[0]
        where = ".".join([place, *(str(part) for part in first["loc"])])
    raise SettingsError(f"{where}: {first['msg']}.")


def _distinct(path: Path, keys: list[Key]) -> list[Key]:
    for field in ("name", "hash"):
        values = [getattr(key, field) for key in keys]
        at = next((at for at, value in enumerate(values) if value in values[:at]), None)
        if at is not None:
            raise SettingsError(f"{path}: keys[{at}].{field} stands there twice; make another key.")
    return keys


def new_secret() -> str:
    """A secret of 256 random bits: too many to guess, so that a plain hash hides it."""
    return SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def hashed(secret: str) -> str:
    """A secret as the file holds it."""
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"
