"""Running a golden set through our engine, from the checkpoint's files to the raw answer."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import numpy as np
from transformers import AutoConfig, AutoModel

from adapter_runtime import Encoded, EngineConfig, TaskVersion, WorkItem, open_engine
from adapter_runtime.engine.engine import LocalEngine
from adapter_runtime.engine.reference import ReferenceRouter
from adapter_runtime.methods.table import METHODS
from adapter_runtime.types import Row
from serving.catalog.entries import read_spec
from tests.goldens.filling import fill_backbone
from tests.goldens.models import MODELS, rows

SETS = Path(__file__).parent / "sets"


class Case(NamedTuple):
    """One golden: `group` is its set's folder, the rest is an entry of its `cases.json`."""

    group: str
    entry: Mapping[str, Any]

    @property
    def backbone(self) -> str:
        """A key of `MODELS`."""
        return str(self.entry["backbone"])

    @property
    def name(self) -> str:
        """Unique among all cases."""
        return f"{self.group}-{self.backbone}-{self.entry['name']}"

    def rows(self) -> list[Row]:
        """The input rows."""
        found = self.entry.get("rows") or rows(self.backbone)
        return [Row(tuple(row[0]), row[1] and tuple(row[1]), *_words(row)) for row in found]

    def expected(self, member: str) -> list[np.ndarray]:
        """The library's numbers for each row."""
        stored = _stored(self.group, self.backbone)
        name = self.entry["name"]
        return [stored[f"{name}/{member}{number}"] for number in range(len(self.rows()))]


def _words(row: Sequence[Any]) -> tuple[tuple[int, ...], ...]:
    return (tuple(row[2]),) if len(row) > 2 and row[2] is not None else ()


def all_cases() -> list[Case]:
    """Every case of every set."""
    return [
        Case(path.parent.name, entry)
        for path in sorted(SETS.glob("*/cases.json"))
        for entry in json.loads(path.read_text())
    ]


@cache
def _stored(group: str, backbone: str) -> Mapping[str, np.ndarray]:
    with np.load(SETS / group / f"{backbone}.npz") as stored:
        return dict(stored)


@cache
def checkpoints(group: str, backbone: str) -> Path:
    """The folder with a set's checkpoints for one backbone, as the library saved them."""
    root = Path(mkdtemp(prefix=f"{group}-{backbone}-"))
    archive = SETS / group / f"{backbone}.zip"
    if archive.exists():
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(root)
    return root


@cache
def saved_backbone(name: str) -> Path:
    """The filled backbone, saved as a user's would be."""
    model = MODELS[name]
    config = AutoConfig.for_model(model.model_type, **model.config)
    folder = Path(mkdtemp(prefix=f"golden-{name}-"))
    fill_backbone(AutoModel.from_config(config)).save_pretrained(folder)
    return folder


@cache
def engine(backbone: str, *, is_fast: bool = True) -> LocalEngine:
    """An engine over a golden's backbone, with the fast path or the reference path."""
    opened = open_engine(str(saved_backbone(backbone)), EngineConfig(streams=1))
    assert isinstance(opened, LocalEngine)
    if not is_fast:
        opened.runner.router = ReferenceRouter(opened.library.item, METHODS)
    return opened


@cache
def _version(group: str, name: str, entry: str, backbone: str, is_fast: bool) -> TaskVersion:
    task = {"name": name.replace("/", "-"), **json.loads(entry)}
    return engine(backbone, is_fast=is_fast).prepare(read_spec(task, checkpoints(group, backbone)))


def version_of(case: Case, *, is_fast: bool = True) -> TaskVersion:
    """The case's task, admitted."""
    entry = json.dumps(case.entry["task"])
    return _version(case.group, str(case.entry["name"]), entry, case.backbone, is_fast)


def answers(
    cases: Sequence[Case], *, is_fast: bool = True
) -> list[tuple[Case, int, dict[str, Any]]]:
    """Every row of every case in one batch, rows of the cases interleaved; all on one backbone."""
    opened = engine(cases[0].backbone, is_fast=is_fast)
    most = max(len(case.rows()) for case in cases)
    places = [(case, row) for row in range(most) for case in cases if row < len(case.rows())]
    items = [
        WorkItem(version_of(case, is_fast=is_fast), case.rows()[row], raw=True)
        for case, row in places
    ]
    found = []
    for (case, row), item, outcome in zip(places, items, opened.run(items).outcomes, strict=True):
        if isinstance(outcome, Exception):
            raise outcome
        raw = opened.raw(item.version, Encoded((item.row,)), [outcome])
        found.append((case, row, raw))
    return found


def members(raw: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The raw members as arrays; those inside `logits` by their own names."""
    logits = raw.get("logits")
    flat = dict(logits) if isinstance(logits, Mapping) else dict(raw)
    return {name: np.asarray(value, dtype=np.float32) for name, value in flat.items()}


def gap(case: Case, row: int, raw: Mapping[str, Any]) -> float:
    """The largest difference from the library in any number of a row's answer."""
    found, worst = members(raw), 0.0
    for member in case.entry["members"]:
        expected = case.expected(member)[row]
        assert found[member].shape == expected.shape, (member, found[member].shape, expected.shape)
        difference = np.abs(found[member] - expected)
        assert not np.isnan(difference).any(), member
        worst = max(worst, float(difference.max(initial=0.0)))
    return worst
