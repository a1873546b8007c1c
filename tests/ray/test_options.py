"""Options for Ray: from a configuration and from variables; what is wrong is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapter_runtime import SettingsError
from deploy.ray_serve.options import (
    PREFIX,
    RayOptions,
    load_options,
    options_of_environment,
)
from serving.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "ray.md"


@pytest.mark.parametrize(
    ("given", "said"),
    (
        ({"topolgy": "whole"}, "topolgy is not known; did you mean topology?"),
        ({"topology": "star"}, "topology is 'star': Input should be 'whole' or 'affine'"),
        ({"settings": {"max_slot": 3}}, "settings.max_slot is not known; did you mean max_slots?"),
        ({"settings": {"max_slots": 0}}, "POLYHEAD_MAX_SLOTS is 0"),
        ({"settings": {"port": 80}}, "settings.port means nothing on Ray"),
        ({"settings": {"device": "cuda"}}, "device cuda needs num_gpus"),
        ({"min_replicas": 3}, "must ascend"),
        ({"min_replicas": 2, "max_replicas": 4, "initial_replicas": 1}, "must ascend"),
        ({"max_replicas": 4, "scale_on": "none"}, "scale_on none needs"),
        ({"max_queued_requests": -1}, "max_queued_requests is -1"),
        ({"target_tokens": float("inf")}, "target_tokens is inf"),
    ),
)
def test_a_wrong_option_is_named_with_the_remedy(given: dict[str, Any], said: str) -> None:
    """Bad input is refused in one sentence that names the key."""
    with pytest.raises(SettingsError) as raised:
        load_options(given)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_variables_fill_the_options_and_the_rest_is_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`polyhead serve --engine ray` needs no file."""
    monkeypatch.setenv(f"{PREFIX}TOPOLOGY", "affine")
    monkeypatch.setenv(f"{PREFIX}MAX_REPLICAS", "3")
    options = options_of_environment(Settings(tasks="/somewhere", drain_timeout_s=7))
    assert ("affine", 3, 7.0) == (options.topology, options.max_replicas, options.drain_s)
    assert "/somewhere" == options.service_settings().tasks


@pytest.mark.parametrize(
    ("name", "value", "said"),
    (
        ("TOPOLGY", "whole", "POLYHEAD_RAY_TOPOLGY is not known; did you mean"),
        ("SETTINGS", "{}", "POLYHEAD_RAY_SETTINGS is not known"),
        ("NUM_CPUS", "many", "POLYHEAD_RAY_NUM_CPUS is 'many'"),
    ),
)
def test_a_wrong_variable_is_named(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt variable must not leave a default in place without a word."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError, match=said):
        options_of_environment(Settings())


@pytest.mark.parametrize(("num_cpus", "threads"), ((0.5, 1), (1, 1), (1.8, 2), (4, 4)))
def test_the_cores_of_a_replica_say_how_many_threads_it_has(num_cpus: float, threads: int) -> None:
    """Replicas on one machine do not fight for its cores."""
    settings = RayOptions(num_cpus=num_cpus).service_settings()
    assert (threads, threads) == (settings.streams, settings.encode_threads)
    own = RayOptions(num_cpus=num_cpus, settings={"streams": 7}).service_settings()
    assert 7 == own.streams


def test_what_a_configuration_leaves_out_comes_from_the_nodes_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One file serves several clusters; what it does say wins."""
    monkeypatch.setenv("POLYHEAD_TASKS", "/of/the/node")
    monkeypatch.setenv("POLYHEAD_MAX_SLOTS", "5")
    settings = load_options({"settings": {"max_slots": 9}}).service_settings()
    assert ("/of/the/node", 9) == (settings.tasks, settings.max_slots)


def test_the_page_tells_every_option_and_its_default() -> None:
    """The table in docs/ray.md is the code's."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line.split("|") for line in lines if line.startswith("| `")]
    told = {row[1].strip().strip("`"): row[2].strip().strip("`") for row in rows}
    fields = RayOptions.model_fields
    defaults = {
        name: field.get_default(call_default_factory=True) for name, field in fields.items()
    }
    shown = {
        name: "none" if value in (None, {}) else str(value) for name, value in defaults.items()
    }
    assert shown == {name: value for name, value in told.items() if name in shown}
    assert set(shown) == set(told)
