"""A folder as the kubelet mounts a ConfigMap: links into `..data`, which is turned at once."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path


class ConfigMapMount:
    """Files behind two links; a change follows the kubelet's own order of steps.

    Args:
        folder: is made.
        data: the ConfigMap's, file names to texts.
    """

    def __init__(self, folder: Path, data: Mapping[str, str]) -> None:
        self.folder = folder
        self._number = 0
        folder.mkdir()
        self.change(data)

    def change(self, data: Mapping[str, str]) -> None:
        """Make the files those of `data`."""
        self._number += 1
        release = self.folder / f"..2026_11_22_12_00_{self._number:02}.123456"
        release.mkdir()
        for name, text in data.items():
            (release / name).write_text(text, encoding="utf-8")
        current = self.folder / "..data"
        old = current.resolve() if current.is_symlink() else None
        (self.folder / "..data_tmp").symlink_to(release.name)
        (self.folder / "..data_tmp").rename(current)
        for name in data:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        for link in self.folder.iterdir():
            if not link.name.startswith("..") and link.name not in data:
                link.unlink()
        if old is not None:
            shutil.rmtree(old)
