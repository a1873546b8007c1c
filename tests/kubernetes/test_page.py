"""What docs/kubernetes.md shows can be applied."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.checks.table import BY_NAME
from tests.kubernetes.manifests import KUBERNETES, OVERLAYS, Manifests, render
from tests.running import ROOT

PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
SHOWN = tuple(re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
OTHER_IMAGE = {"wrong_images"}
"""One of the kustomizations names a registry."""


def manifests_of(shown: str, folder: Path) -> Manifests:
    """A kustomization of the page, rendered beside files of the names that it gives."""
    here = os.path.relpath(KUBERNETES, folder)
    text = shown.replace("../polyhead/deploy/kubernetes", here)
    (folder / "kustomization.yaml").write_text(text, encoding="utf-8")
    for each in yaml.safe_load(shown).get("configMapGenerator", ()):
        for file in map(folder.joinpath, each["files"]):
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"name: {file.stem}", encoding="utf-8")
    return Manifests("cpu", render(folder))


@pytest.mark.parametrize("shown", SHOWN)
def test_kustomization_of_the_page_holds(shown: str, tmp_path: Path) -> None:
    """It renders, and all checks hold for it as for ours."""
    manifests = manifests_of(shown, tmp_path)
    found = {name: list(check(manifests)) for name, check in BY_NAME.items()}
    assert {name: each for name, each in found.items() if each and name not in OTHER_IMAGE} == {}


def test_own_tasks_replace_ours_under_the_same_name(tmp_path: Path) -> None:
    """Pods mount the ConfigMap by its name, without a hash, and follow it."""
    (shown,) = (each for each in SHOWN if "behavior: replace" in each)
    manifests = manifests_of(shown, tmp_path)
    assert manifests.names("ConfigMap") == {"polyhead-tasks"}
    assert manifests.one("ConfigMap")["data"].keys() == {"mood.yaml", "spam.yaml"}


def test_every_overlay_is_explained() -> None:
    """Under the path that it has."""
    assert [] == [name for name in OVERLAYS if f"`overlays/{name}`" not in PAGE]
