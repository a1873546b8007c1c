"""Servers that the tests of faults share, because each takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.server import BACKBONE
from benchmarks.variants import expected_answers, write_variants
from tests.faults.site import Scores, Site, site, until

NUM_VARIANTS = 13


class Variant(NamedTuple):
    """An adapter with a head, and what it answers to each of `TEXTS` when it is alone."""

    folder: Path
    answers: Sequence[Scores]


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Variant]:
    """Adapters whose answers tell them apart; nobody writes to their folders."""
    folders = write_variants(tmp_path_factory.mktemp("variants"), NUM_VARIANTS)
    answers = expected_answers(BACKBONE, folders)
    return [Variant(*each) for each in zip(folders, answers, strict=True)]


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalog of both shared servers."""
    return tmp_path_factory.mktemp("catalog")


@pytest.fixture(scope="session")
def _shared(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    place = tmp_path_factory.mktemp("shared")
    with site(catalog, place, quarantine_s=1) as running:
        yield running


@pytest.fixture
def server(_shared: Site) -> Iterator[Site]:
    """A server without tasks, which every test leaves alive; nothing stays of what it made."""
    yield _shared
    assert _shared.process.poll() is None
    for task in _shared.tasks():
        assert _shared.client.delete(f"/tasks/{task}").status_code == 204
    until(lambda: _shared.count("polyhead_resident_bytes") == 0, _shared.metrics)


@pytest.fixture(scope="session")
def other(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Another server on the same catalog."""
    with site(catalog, tmp_path_factory.mktemp("other")) as running:
        yield running
