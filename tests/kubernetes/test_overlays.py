"""Each overlay renders, is valid, and names nothing that the code does not have."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from tests.kubernetes import schemas
from tests.kubernetes.checks.table import BY_NAME
from tests.kubernetes.manifests import KUBERNETES, OVERLAYS, overlay

PROMISED = {"cpu", "gpu", "ray", "keda", "monitoring", "kserve"}
needs_definitions = pytest.mark.skipif(
    not schemas.CRDS.is_dir(),
    reason="the custom kinds' definitions do not lie beside this checkout, in ../shared/crds",
)


def test_every_promised_overlay_is_there() -> None:
    """One per way to run it."""
    assert {PurePath(name).parts[0] for name in OVERLAYS} == PROMISED


@pytest.mark.parametrize("check", BY_NAME)
@pytest.mark.parametrize("name", OVERLAYS)
def test_manifests_hold(name: str, check: str) -> None:
    """Nothing is found by any check, in any overlay."""
    assert list(BY_NAME[check](overlay(name))) == []


@needs_definitions
@pytest.mark.parametrize("name", OVERLAYS)
def test_custom_kinds_are_as_their_projects_define_them(name: str) -> None:
    """Every field of theirs is known, and of the right type."""
    assert list(schemas.custom_problems(overlay(name))) == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_makes_pods_and_a_catalog_for_them(name: str) -> None:
    """The checks above have something to look at."""
    manifests = overlay(name)
    assert manifests.pods()
    assert "polyhead-tasks" in manifests.names("ConfigMap")
    assert all("namespace" not in each["metadata"] for each in manifests.objects)


def test_no_file_is_left_out() -> None:
    """Every manifest is used by a kustomization beside it."""
    orphans = [
        str(path.relative_to(KUBERNETES))
        for path in sorted(KUBERNETES.rglob("*.yaml"))
        if path.name != "kustomization.yaml" and not _is_named(path)
    ]
    assert orphans == []


def _is_named(path: Path) -> bool:
    """Whether the nearest kustomization above it speaks of a file."""
    for folder in path.parents:
        text = folder / "kustomization.yaml"
        if text.is_file():
            return str(path.relative_to(folder)) in text.read_text(encoding="utf-8")
    return False
