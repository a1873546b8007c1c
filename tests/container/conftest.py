"""The image, built once for all tests that look at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.building import Image, built_image, missing


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image, mounted; its gigabytes are gone after the tests."""
    reason = missing()
    if reason:
        pytest.skip(f"Building the image {reason}.")
    with built_image(tmp_path_factory.mktemp("image")) as built:
        yield built


@pytest.fixture
def cache(tmp_path: Path, image: Image) -> Path:
    """An empty cache volume that belongs to the image's user."""
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    return folder
