"""The list of allowed Sources: judged by what a Source comes to, never by how it is written."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter_runtime.config import EngineConfig
from adapter_runtime.errors import SettingsError, SourceError, SourceRefused
from adapter_runtime.sources.places import find_place
from adapter_runtime.sources.resolve import at_hand, resolve
from adapter_runtime.sources.rules import SourceRules

COMMIT = "0" * 40


def is_allowed(source: str, *entries: str) -> bool:
    try:
        SourceRules(entries).check(find_place(source))
    except SourceRefused:
        return False
    return True


@pytest.mark.parametrize(
    ("entry", "source"),
    (
        ("hf://org", "hf://org/name"),
        ("hf://org", f"hf://org/name@{COMMIT}/a/b"),
        ("hf://org", "hf://org/name@refs%2Fpr%2F1"),
        ("hf://org/", "hf://org/name"),
        ("hf://org", "org/name"),
        ("hf://org/name", "hf://org/name@v1/a"),
        ("hf://org/name/a", "hf://org/name@v1/a/b"),
        ("hf://gpt2", "hf://gpt2@main"),
        ("hf://AdapterHub", "@ukp/some-adapter@v1"),
        ("hf://*", "hf://any/thing"),
        ("pkg://module", "pkg://module/a"),
        ("pkg://module/a", "pkg://module/a/b"),
        ("pkg://*", "pkg://any/thing"),
        ("s3://bucket", "s3://bucket/a/b"),
        ("s3://bucket/prefix", "s3://bucket/prefix/a"),
        ("s3://bucket/prefix/", "s3://bucket/prefix"),
        ("s3://bucket", "s3a://bucket/a"),
        ("s3://*", "s3://any/thing"),
        ("file:///srv", "/srv/a"),
        ("/srv", "file:///srv/a"),
        ("/srv", "/srv/a/../b"),
        ("/", "/anything"),
    ),
)
def test_what_lies_in_an_entry_is_allowed(entry: str, source: str) -> None:
    """Organisations, repositories, folders, buckets, packages, whole schemes."""
    assert is_allowed(source, "pkg://other", entry)


@pytest.mark.parametrize(
    ("entry", "source"),
    (
        ("hf://org", "hf://organised/x"),
        ("hf://org", "hf://other/org"),
        ("hf://org", "hf://Org/x"),
        ("hf://org/name", "hf://org/names"),
        ("hf://org/name", "hf://org/nam"),
        ("hf://org/name/a", "hf://org/name/ab"),
        ("hf://org/name/a", "hf://org/name"),
        ("hf://org/name/a", "hf://org/name@a/b"),
        ("hf://org", "organised/x"),
        ("hf://org", "@org/x"),
        ("hf://org", "/srv/org/name"),
        ("hf://*", "s3://hf/x"),
        ("pkg://module", "pkg://modules/a"),
        ("pkg://hf", "hf://hf/a"),
        ("s3://bucket/prefix", "s3://bucket/prefixed/a"),
        ("s3://bucket/prefix", "s3://bucket"),
        ("s3://bucket", "s3://bucket-of-another/a"),
        ("s3://bucket", "gs://bucket/a"),
        ("http://host/a", "http://host:81/a"),
        ("http://host/a", "http://host@evil/a"),
        ("http://host/a", "https://host/a"),
        ("/srv/a", "/srv/ab"),
        ("/srv/a", "/srv/a/../b"),
        ("/srv/a", "file:///srv/a/../../etc"),
        ("/srv/a", "/srv"),
    ),
)
def test_what_only_looks_like_an_entry_is_refused(entry: str, source: str) -> None:
    """Entries end where names end; spelling, `..` and old names change nothing."""
    assert not is_allowed(source, entry)


@pytest.mark.parametrize(
    "source",
    (
        "s3://bucket/prefix/../other",
        "s3://bucket/prefix/%2e%2e/other",
        "s3://bucket/prefix/%252e%252e/other",
        "s3://bucket/prefix/..%2Fother",
        "s3://bucket//prefix",
        "s3://bucket/./prefix",
        "s3://bucket/prefix?versionId=1",
        "s3://bucket/prefix#x",
        "s3://bucket/prefix\\..\\other",
        "simplecache::s3://bucket/prefix",
        "s3://bucket/prefix::s3://other/x",
        "hf://org/../evil/x",
        "hf://org/name/../../x",
        "hf://org/name@../x",
        "hf://org/name@..%2F..%2Fx",
        "file://srv/a",
        "~nobody-of-that-name/x",
    ),
)
def test_tricks_are_no_sources_at_all(source: str) -> None:
    """With a list or without one."""
    for rules in (SourceRules(), SourceRules(("s3://bucket/prefix", "hf://org", "/srv"))):
        with pytest.raises(SourceError):
            resolve(source, rules=rules)


def test_links_are_followed_before_a_path_is_judged(tmp_path: Path) -> None:
    """A link out of an allowed folder is refused; one into it, and an allowed link, are fine."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside / "a", outside / "b"):
        folder.mkdir(parents=True)
    (inside / "link").symlink_to(outside / "b")
    (outside / "link").symlink_to(inside / "a")
    (tmp_path / "name").symlink_to(inside)
    for entry in (str(inside), str(tmp_path / "name")):
        assert is_allowed(str(inside / "a"), entry)
        assert is_allowed(str(outside / "link"), entry)
        assert not is_allowed(str(inside / "link"), entry)
    assert resolve(str(outside / "link"), rules=SourceRules((str(inside),))).root == inside / "a"


def test_relative_entries_and_sources_start_at_their_bases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries at the working directory, Sources at their task file."""
    (tmp_path / "adapters" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    rules = SourceRules(("adapters",))
    assert resolve("a", tmp_path / "adapters", rules).root.name == "a"
    with pytest.raises(SourceRefused):
        resolve("../a", tmp_path / "adapters", rules)


def test_the_refusal_names_the_setting() -> None:
    """By a code of its own, with what is allowed."""
    with pytest.raises(SourceRefused, match=r"^hf://a/b: .*hf://org.*allowed_sources") as caught:
        resolve("hf://a/b", rules=SourceRules(("hf://org",)))
    assert caught.value.code == "source_not_allowed"


def test_a_refused_source_is_not_looked_at(tmp_path: Path) -> None:
    """Whether a folder exists is not told either."""
    for ask in (resolve, at_hand):
        with pytest.raises(SourceRefused):
            ask(str(tmp_path / "none"), rules=SourceRules(("hf://org",)))


@pytest.mark.parametrize(
    "entry", ("", "hf://", "hf://org/name@v1", "hf://a/b/../c", "s3://", "s3://b/../c", "pkg://a.b")
)
def test_entries_that_allow_nothing_are_settings_errors(entry: str) -> None:
    """A typing error shall not lock everything out, nor let everything in."""
    with pytest.raises(SettingsError, match="allowed_sources"):
        SourceRules((entry,))


@pytest.mark.parametrize(
    "values",
    ({"max_source_bytes": 0}, {"allowed_sources": ("",)}, {"cache_dir": ""}),
    ids=lambda values: next(iter(values)),
)
def test_settings_of_sources_are_checked(values: dict[str, object]) -> None:
    """As all settings of the engine."""
    with pytest.raises(SettingsError, match=next(iter(values))):
        EngineConfig(**values)


NAMES = st.text(st.sampled_from("ab.-_%2eE/@~"), min_size=1, max_size=12)


@given(NAMES, NAMES)
def test_nothing_but_the_organisation_gets_in(text: str, rest: str) -> None:
    """However a hub Source is written: allowed means that the client is sent to that very name."""
    for source in (f"hf://{text}", f"hf://{text}/{rest}", f"hf://ab/{text}"):
        try:
            place = find_place(source)
        except SourceError:
            continue
        if is_allowed(source, "hf://ab/a.b"):
            assert place.hub
            assert place.hub.repo == "ab/a.b"


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "%2e%2e", "c"]), max_size=6))
def test_nothing_but_the_prefix_gets_in(parts: list[str]) -> None:
    """However a URL is written: allowed means that it begins with those very parts."""
    source = "s3://" + "/".join(parts)
    try:
        place = find_place(source)
    except SourceError:
        return
    assert place.url
    assert is_allowed(source, "s3://a/b") == f"{place.url}/".startswith("s3://a/b/")


BEGINNINGS = ("", "hf://", "pkg://", "s3://", "file:///", "@", "~", "/", "./", "memory://")
ODD = st.text(st.one_of(st.characters(), st.sampled_from("/@.%2eE:~#?*\\\0 \n\ud800")), max_size=20)


@settings(deadline=None)
@given(
    st.sampled_from(BEGINNINGS), ODD, st.sampled_from((None, Path("/x"), "s3://b/t", "file:///x"))
)
def test_any_text_is_a_place_or_an_error(start: str, text: str, base: Path | str | None) -> None:
    """Bodies of requests and lists of operators hold anything."""
    with suppress(SourceError):
        assert find_place(start + text, base).said
    with suppress(SettingsError):
        assert SourceRules((start + text,)).allowed == (start + text,)
