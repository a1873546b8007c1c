"""Which engine runs the server: by name, and what to do when it is not there."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from adapter_runtime import SettingsError
from deploy.ray_serve.launcher import launch
from serving import launchers
from serving.serve import serve


def test_each_engine_is_found_by_its_name() -> None:
    """This process, and Ray through its entry point."""
    assert serve is launchers.find_launcher("local")
    assert launch is launchers.find_launcher("ray")


def test_an_unknown_engine_names_the_known_ones() -> None:
    """What was misspelt can be mended without looking anything up."""
    with pytest.raises(SettingsError) as raised:
        launchers.find_launcher("rai")
    assert "--engine rai is not known; choose one of local, ray." == str(raised.value)


def test_a_missing_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine whose libraries are not installed says how to get them."""
    entry = EntryPoint("far", "no_such_package_of_ours.launcher:launch", launchers.GROUP)
    monkeypatch.setattr(launchers, "entry_points", lambda group: [entry])
    with pytest.raises(SettingsError) as raised:
        launchers.find_launcher("far")
    assert "needs the package no_such_package_of_ours" in str(raised.value)
    assert "pip install 'polyhead[far]'" in str(raised.value)
