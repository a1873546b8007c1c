"""The production file is generated, and a file that would not mean what it says is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter_runtime import SettingsError
from deploy.ray_serve import config

FILE = Path(config.__file__).with_name("config.yaml")


def changed(path: tuple[Any, ...], value: Any) -> str:
    """The production file with one value set."""
    content = yaml.safe_load(config.production())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return yaml.safe_dump(content)


def test_the_committed_file_is_what_is_generated() -> None:
    """Nobody edits it by hand."""
    assert config.production() == FILE.read_text(encoding="utf-8")


APPLICATION = ("applications", 0)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    (
        (("proxylocation",), "HeadOnly", "proxylocation is not known; did you mean proxy_location"),
        (("http_options", "prot"), 1, "http_options.prot is not known; did you mean port?"),
        ((*APPLICATION, "arg"), {}, "applications[0].arg is not known; did you mean args?"),
        (
            (*APPLICATION, "deployments"),
            [{"name": "Replica", "autoscaling_config": {"max_replica": 3}}],
            "applications[0].deployments[0].autoscaling_config.max_replica is not known; did you "
            "mean max_replicas?",
        ),
        (
            (*APPLICATION, "deployments"),
            [{"name": "Replica", "ray_actor_options": {"num_cpu": 3}}],
            "applications[0].deployments[0].ray_actor_options.num_cpu is not known",
        ),
        ((*APPLICATION, "args", "drain"), 3, "applications[0].args: drain is not known; did"),
        (
            (*APPLICATION, "args", "settings"),
            {"task": "/x"},
            "applications[0].args: settings.task is not known; did you mean tasks?",
        ),
        (("proxy_location",), "Nowhere", "proxy_location: "),
    ),
)
def test_what_ray_would_pass_over_is_refused_with_its_path(
    path: tuple[Any, ...], value: Any, said: str
) -> None:
    """Ray's own schema takes unknown keys without a word."""
    with pytest.raises(SettingsError) as raised:
        config.check(changed(path, value))
    assert said in str(raised.value)


@pytest.mark.parametrize("text", ("a: [", "- a", "", "applications: 3"))
def test_what_is_no_configuration_at_all_is_refused(text: str) -> None:
    """A broken file is one sentence, not a traceback."""
    with pytest.raises(SettingsError):
        config.check(text)


def test_the_command_prints_the_file_and_checks_one(tmp_path: Path) -> None:
    """As an operator uses it."""
    command = [sys.executable, "-m", "deploy.ray_serve.config", "--check"]
    fine = subprocess.run([*command, str(FILE)], capture_output=True, text=True)
    assert (0, f"{FILE}: fine\n") == (fine.returncode, fine.stdout)
    broken = tmp_path / "broken.yaml"
    broken.write_text(changed(("http_options", "prot"), 1), encoding="utf-8")
    bad = subprocess.run([*command, str(broken)], capture_output=True, text=True)
    assert 2 == bad.returncode
    assert f"{broken}: http_options.prot is not known; did you mean port?\n" == bad.stderr
