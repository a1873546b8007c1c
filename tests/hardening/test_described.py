"""Every route of the OpenAPI document, asked as it allows, for tasks that there are and others.

The server has keys and a default task, so that every route there can be is there; most requests
bring the key.

What comes back is what the document says: a status that it names, a body of that shape, and never
an error of the server itself. Tasks are changed and deleted, in a catalog of this test's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from serving.admission.keys import hashed, new_secret
from serving.app import create_app
from serving.metrics import PrometheusRecorder
from serving.settings import load_settings
from tests.running import ROOT, running_server

ENTRIES = yaml.safe_load((ROOT / "examples" / "tasks.yaml").read_text())
NAMES = ("sentiment", "qa", "embed", "pos")
KEY = new_secret()
ENTERS = {"authorization": f"Bearer {KEY}"}
ACTIONS = ("promote", "rollback", "pin", "unpin", "preload", "evict", "none")
INPUTS: tuple[Any, ...] = (
    "a text",
    ["a", "b"],
    {"text": "a", "text_pair": "b"},
    {"question": "who?", "context": "me"},
    {"source_sentence": "a", "sentences": ["b"]},
    {"words": ["a", "b"]},
)
NOT_OURS = {500, 501, 502}
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
FEW = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def write_keys(path: Path) -> None:
    """A file with one key that may do everything."""
    entry = {"name": "all", "hash": hashed(KEY), "actions": ["predict", "admin", "metrics"]}
    path.write_text(yaml.safe_dump({"keys": [entry]}))


def described() -> Any:
    """The document of the application, as tools read it."""
    with TemporaryDirectory() as place:
        write_keys(keys := Path(place) / "keys.yaml")
        given = load_settings(default_task=NAMES[0], keys=str(keys))
        app = create_app(object(), given, PrometheusRecorder())  # type: ignore[arg-type]
        document = TestClient(app).get("/openapi.json", headers=ENTERS).json()
    return schemathesis.openapi.from_dict(document)


OPERATIONS = sorted(
    (each.ok() for each in described().get_all_operations()),
    key=lambda operation: operation.method == "delete",
)
"""What deletes tasks comes last."""


class Live(NamedTuple):
    """A server, and the versions that its tasks began with."""

    url: str
    versions: Mapping[str, str]
    log: Path


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose tasks may be changed."""
    place = tmp_path_factory.mktemp("described")
    (place / "tasks").mkdir()
    for entry in ENTRIES["tasks"]:
        name = entry.pop("name")
        if name in NAMES:
            if entry.get("adapter"):
                entry["adapter"] = str(ROOT / "examples" / entry["adapter"])
            (place / "tasks" / f"{name}.yaml").write_text(yaml.safe_dump(entry))
    write_keys(place / "keys.yaml")
    options = ["--backbone", ENTRIES["backbone"], "--default-task", NAMES[0]]
    options += ["--keys", str(place / "keys.yaml")]
    with running_server(place / "tasks", place / "log", options) as server:
        versions = {}
        for name in NAMES:
            httpx.post(f"{server.url}/models/{name}", json={"inputs": "a"}, headers=ENTERS)
            shown = httpx.get(f"{server.url}/models/{name}", headers=ENTERS).json()
            versions[name] = shown["versions"][0]["id"]
        yield Live(server.url, versions, place / "log")


def aim(case: Any, name: str, live: Live, data: st.DataObject) -> None:
    """Turn a case on a task that there is."""
    for parameter in case.path_parameters or ():
        if parameter in ("task", "model", "name"):
            case.path_parameters[parameter] = name
        elif parameter == "version":
            case.path_parameters[parameter] = live.versions[name]
        elif parameter == "action":
            case.path_parameters[parameter] = data.draw(st.sampled_from(ACTIONS))
    if not isinstance(case.body, dict):
        return
    if "model" in case.body:
        case.body["model"] = name
    if "tasks" in case.body:
        case.body["tasks"] = data.draw(st.lists(st.sampled_from(NAMES), max_size=3))
    for key in {"inputs", "input", "text"} & case.body.keys():
        if data.draw(st.booleans()):
            case.body[key] = data.draw(st.sampled_from(INPUTS))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.label)
def test_answers_are_as_the_document_says(operation: Any, live: Live) -> None:
    """For whatever it allows to be asked."""

    @FEW
    @given(operation.as_strategy(), st.sampled_from((None, *NAMES)), st.data())
    def ask(case: Any, name: str | None, data: st.DataObject) -> None:
        if name is not None:
            aim(case, name, live, data)
        case.headers.pop("x-api-key", None)  # one that is made up would contradict ours
        headers = data.draw(st.sampled_from((ENTERS, ENTERS, ENTERS, None)))
        answer = case.call(base_url=live.url, headers=headers)
        assert answer.status_code not in NOT_OURS, answer.text
        case.validate_response(answer, checks=CHECKS)
        assert str(answer.status_code) in operation.definition.raw["responses"], answer.text

    ask()


def test_nothing_of_this_was_an_error_of_the_server(live: Live) -> None:
    """Its log knows no traceback."""
    assert "Traceback" not in live.log.read_text()
