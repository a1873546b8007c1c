"""What can run the server: this process, or an engine whose launcher another package brings."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from adapter_runtime import SettingsError
from serving.settings import Settings

Launcher = Callable[[Settings], None]
"""Serves until it is told to stop; raises PolyheadErrors when nothing could start."""
GROUP = "polyhead.launchers"
LOCAL = "local"


def launch(settings: Settings) -> None:
    """Serve with the engine that the settings name until told to stop. Blocks.

    Raises:
        SettingsError: there is no such engine, or what it needs is not installed.
        PolyheadError: nothing could start.
    """
    find_launcher(settings.engine)(settings)


def find_launcher(name: str) -> Launcher:
    """The launcher of that name.

    Raises:
        SettingsError: there is none, or what it needs is not installed.
    """
    if name == LOCAL:
        from serving.serve import serve

        return serve
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join((LOCAL, *sorted(found)))
        raise SettingsError(f"--engine {name} is not known; choose one of {known}.")
    return _load(found[name])


def _load(entry: EntryPoint) -> Launcher:
    try:
        launcher: Launcher = entry.load()
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"--engine {entry.name} needs the package {error.name}; install it with "
            f"pip install 'polyhead[{entry.name}]'."
        ) from error
    return launcher
