"""The keys file, what routes need, and quotas: plain values, no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_runtime import InvalidInput, SettingsError
from serving.admission.estimates import fewest_tokens, rough_tokens
from serving.admission.keys import hashed, new_secret, read_keys
from serving.admission.quotas import Allowances
from serving.admission.scopes import ADMIN, PREDICT, PUBLIC, needed_actions
from serving.errors import QuotaExceeded
from serving.service import Call

SECRET = new_secret()
ONE = Call("topic", ["x"])
NONE = Call("topic", [])


def write(folder: Path, fields: str = "") -> Path:
    """A keys file with one key."""
    path = folder / "keys.yaml"
    path.write_text(f'keys: [{{name: a, hash: "{hashed(SECRET)}"{fields}}}]')
    return path


def test_secret_finds_its_key_and_no_other_does(tmp_path: Path) -> None:
    """By the hash alone."""
    ring = read_keys(write(tmp_path, ', tasks: ["team-a-*"]'))
    key = ring.find(SECRET.encode())
    assert key is not None
    assert key.may_name("team-a-x")
    assert not key.may_name("x-team-a-x")
    assert ring.find(SECRET.encode() + b"x") is None


def test_expired_key_is_none(tmp_path: Path) -> None:
    """From its date on."""
    assert read_keys(write(tmp_path, ", expires: 2020-01-01")).find(SECRET.encode()) is None


@pytest.mark.parametrize(
    "wrong",
    (", actions: [public]", ", task: [x]", ", concurrency: 0", ", tasks: x", ", expires: soon"),
)
def test_broken_file_is_refused_without_its_hash(tmp_path: Path, wrong: str) -> None:
    """The message says where, and quotes nothing."""
    with pytest.raises(SettingsError, match=r"keys\[0\]") as caught:
        read_keys(write(tmp_path, wrong))
    assert hashed(SECRET) not in str(caught.value)


def test_what_is_said_twice_is_refused(tmp_path: Path) -> None:
    """The last of two would win unseen."""
    path = write(tmp_path, ", actions: [predict], actions: [admin]")
    with pytest.raises(SettingsError):
        read_keys(path)


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    (
        ("GET", "/health/live", PUBLIC),
        ("POST", "/health/live", ADMIN),
        ("GET", "/ui/../metrics", ADMIN),
        ("GET", "//health", ADMIN),
        ("POST", "/models/x", PREDICT),
        ("POST", "/models/x/", ADMIN),
        ("GET", "/nobody/knows", ADMIN),
        ("PUT", "/tasks/x", ADMIN),
    ),
)
def test_what_the_table_does_not_know_needs_admin(
    method: str, path: str, needed: frozenset[str]
) -> None:
    """Default deny."""
    assert needed_actions(method, path) == needed


def test_quota_says_when_to_come_again(tmp_path: Path) -> None:
    """And then it is true."""
    now = 0.0
    key = read_keys(write(tmp_path, ", quota: {requests_per_minute: 2}")).by_name["a"]
    allowances = Allowances(lambda: now)
    allowances.enter(key, 1, ONE)
    allowances.enter(key, 1, ONE)
    with pytest.raises(QuotaExceeded) as caught:
        allowances.enter(key, 1, ONE)
    assert caught.value.retry_after_s == pytest.approx(30)
    now = 30.0
    assert allowances.enter(key, 1, ONE) == 0


def test_estimate_counts_a_text_for_each_row_that_repeats_it() -> None:
    """So that a long context with many choices cannot be had for the price of one."""
    long, labels = "word " * 100, ["a", "b", "c", "d"]
    (one,) = (rough_tokens([long], {}),)
    for item, parameters in (
        ({"context": long, "choices": labels}, {}),
        ({"query": long, "texts": labels}, {}),
        ({"text": long, "candidate_labels": labels}, {}),
        (long, {"candidate_labels": labels}),
        (long, {"candidate_labels": "a,b,c,d"}),
    ):
        assert 4 * one <= rough_tokens([item], parameters) <= 4 * one + 10
        assert fewest_tokens([item], parameters) == 4 * 100 + 4
    alike = {"source_sentence": long, "sentences": [long, long]}
    assert rough_tokens([alike, long], {}) == 4 * one
    assert rough_tokens(["\u65e5\u672c" * 50], {}) > 70  # a token a letter or nearly so


def test_request_larger_than_a_quota_is_wrong_not_early(tmp_path: Path) -> None:
    """Waiting would not help."""
    key = read_keys(write(tmp_path, ", quota: {tokens_per_minute: 5}")).by_name["a"]
    with pytest.raises(InvalidInput, match="at least 9 tokens"):
        Allowances().enter(key, 1, Call("topic", ["a b c d e f g h i"]))


def test_concurrency_ends_with_the_answer(tmp_path: Path) -> None:
    """One request inside, whatever it asks at once; the next when it has left."""
    key = read_keys(write(tmp_path, ", concurrency: 1")).by_name["a"]
    allowances = Allowances()
    assert [allowances.enter(key, 1, NONE), allowances.enter(key, 1, NONE)] == [0, 0]
    allowances.leave(key, 1, 0, 0)
    with pytest.raises(QuotaExceeded):
        allowances.enter(key, 2, NONE)
    allowances.leave(key, 1, 0, 0)
    assert allowances.enter(key, 2, NONE) == 0


def test_quota_that_changes_keeps_what_is_gone(tmp_path: Path) -> None:
    """Writing the file does not fill it up."""
    allowances = Allowances(lambda: 0.0)
    for quota, num_more in ((10, 6), (8, 2), (20, 12)):
        key = read_keys(write(tmp_path, f", quota: {{requests_per_minute: {quota}}}")).by_name["a"]
        for _ in range(num_more):
            allowances.enter(key, 1, NONE)
    with pytest.raises(QuotaExceeded):
        allowances.enter(key, 1, NONE)
