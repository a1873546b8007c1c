"""The checks themselves: each finds a manifest that was spoilt for it, and says where."""

from __future__ import annotations

import os

import pytest

from tests.kubernetes import schemas
from tests.kubernetes.checks.table import BY_NAME, CHECKS
from tests.kubernetes.manifests import KUBERNETES, Manifests, overlay, render
from tests.kubernetes.parts import Spoil, container
from tests.kubernetes.spoilt import SPOILT, UNKNOWN
from tests.kubernetes.spoilt_further import FURTHER
from tests.kubernetes.test_overlays import needs_definitions

ALL = (*SPOILT, *FURTHER)
NAMED = [f"{check}-{name}-{index}" for index, (check, name, _, _) in enumerate(ALL)]


@pytest.mark.parametrize(("check", "name", "spoil", "said"), ALL, ids=NAMED)
def test_spoilt_manifest_is_found(check: str, name: str, spoil: Spoil, said: str) -> None:
    """The check that it was spoilt for says what is wrong."""
    manifests = overlay(name).copied()
    spoil(manifests)
    found = list(BY_NAME[check](manifests))
    assert found
    assert said in " ".join(found)


def test_every_check_is_seen_to_find_something() -> None:
    """A check that nothing fails is none."""
    assert {check.__name__ for check in CHECKS} == {row[0] for row in ALL}


@needs_definitions
@pytest.mark.parametrize(("name", "spoil"), UNKNOWN)
def test_unknown_field_of_a_custom_kind_is_found(name: str, spoil: Spoil) -> None:
    """The API server would drop it without a word."""
    manifests = overlay(name).copied()
    spoil(manifests)
    assert len(list(schemas.custom_problems(manifests))) == 1


@pytest.fixture(scope="module")
def with_volume(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """The overlay for CPUs with the catalog on a volume, as docs/kubernetes.md says."""
    folder = tmp_path_factory.mktemp("own")
    here = os.path.relpath(KUBERNETES, folder)
    (folder / "kustomization.yaml").write_text(
        f"resources: [{here}/overlays/cpu]\ncomponents: [{here}/components/volume-catalog]\n",
        encoding="utf-8",
    )
    return Manifests("cpu", render(folder))


@pytest.mark.parametrize("check", BY_NAME)
def test_catalog_on_a_volume_holds_too(with_volume: Manifests, check: str) -> None:
    """The component leaves nothing behind that the checks would find."""
    assert list(BY_NAME[check](with_volume)) == []


def test_catalog_on_a_volume_can_be_written(with_volume: Manifests) -> None:
    """The folder lies on a claim that is mounted to be written; no ConfigMap is left."""
    (pod,) = with_volume.pods()
    (volume,) = [each for each in pod.spec["volumes"] if each["name"] == "tasks"]
    (mount,) = [each for each in container(with_volume)["volumeMounts"] if each["name"] == "tasks"]
    assert volume == {"name": "tasks", "persistentVolumeClaim": {"claimName": "polyhead-tasks"}}
    assert mount == {"name": "tasks", "mountPath": "/var/lib/polyhead/tasks"}
    assert with_volume.of("ConfigMap") == []
