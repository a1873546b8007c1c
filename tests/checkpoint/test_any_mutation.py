"""Whatever becomes of a checkpoint of any method, form and head, the doctor has an answer."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from adapter_runtime import Encoded, Report, TaskVersion, WorkItem
from serving.catalog.entries import read_spec
from tests.goldens import replay

LIMITS = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
BACKBONE = "bert"
CASES = [
    case
    for case in replay.all_cases()
    if case.backbone == BACKBONE and any(replay.checkpoints(case.group, BACKBONE).iterdir())
]
KEYS = (
    *("r", "alpha", "scaling", "use_gating", "leave_out", "reduction_factor", "architecture"),
    *("configs", "phm_dim", "prefix_length", "prompt_length", "inv_adapter", "non_linearity"),
    *("rank_pattern", "modules_to_save", "layers_to_transform", "task_type", "peft_type"),
    *("head_type", "layers", "num_labels", "label2id", "id2label", "vocab_size", "temperature"),
    *("target_modules", "num_virtual_tokens", "model_class", "model_type", "name", "version"),
)
WORDS = ("", "x", "gelu", "glow", "all-linear", "(a+)+$", "../x", "\0", "٣", "learned", "lora")
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.sampled_from(WORDS), st.floats(), st.integers()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(WORDS), inner, max_size=2)
    ),
    max_leaves=4,
) | st.sampled_from((10**9, -1, 0, 10**400, [10**9], {"0": 10**9}))
CHANGES = {
    "empty": lambda tensor: torch.zeros(0),
    "flat": lambda tensor: tensor.reshape(-1),
    "wrapped": lambda tensor: tensor[None],
    "integers": lambda tensor: tensor.to(torch.int64),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "nan": lambda tensor: torch.full_like(tensor, torch.nan),
    "huge": lambda tensor: torch.full_like(tensor, 1e38),
    "scalar": lambda tensor: torch.tensor(1.0),
    "shorter": lambda tensor: tensor[1:] if tensor.dim() else tensor,
}


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from nodes(value)


def names_in(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    for value in (
        tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    ):
        yield from names_in(value)


class Mutant:
    """A task of a golden in a folder of its own, of which one thing is about to change."""

    def __init__(self, case: replay.Case, root: Path, data: st.DataObject) -> None:
        self.case, self.root, self.data = case, root, data
        self.task = {"name": "t", **copy.deepcopy(dict(case.entry["task"]))}
        origin = replay.checkpoints(case.group, BACKBONE)
        named = {name for key in ("adapter", "head") for name in names_in(self.task.get(key))}
        folders = sorted(name for name in named if (origin / name).is_dir())
        for name in folders:
            shutil.copytree(origin / name, root / name)
        self.files = sorted(path for name in folders for path in (root / name).iterdir())

    def pick(self, values: Any) -> Any:
        return self.data.draw(st.sampled_from(sorted(values, key=str)))

    def inspect(self) -> tuple[Report, TaskVersion | None]:
        engine = replay.engine(BACKBONE, is_fast=True)
        spec = read_spec(self.task, self.root)
        report = engine.inspect(spec)
        assert report.accepted == (not report.problems)
        for problem in report.problems:
            assert problem.code != "internal_error", problem
            assert problem.message.rstrip().endswith((".", "?")), problem
        return report, engine.prepare(spec) if report.accepted else None

    def answers(self, version: TaskVersion) -> list[dict[str, np.ndarray]]:
        """The raw answers of all rows that did not clearly fail."""
        engine = replay.engine(BACKBONE, is_fast=True)
        items = [WorkItem(version, row, raw=True) for row in self.case.rows()]
        outcomes = zip(items, engine.run(items).outcomes, strict=True)
        return [
            replay.members(engine.raw(version, Encoded((item.row,)), [outcome]))
            for item, outcome in outcomes
            if not isinstance(outcome, Exception)
        ]


def load(path: Path) -> dict[str, Any]:
    is_safe = path.suffix == ".safetensors"
    return load_file(path) if is_safe else torch.load(path, weights_only=True)


def save(path: Path, tensors: dict[str, Any]) -> None:
    if path.suffix == ".safetensors":
        own = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
        save_file(own, path, metadata={"format": "pt"})
    else:
        torch.save(tensors, path)


def weights(mutant: Mutant) -> Path:
    return mutant.pick(path for path in mutant.files if path.suffix in (".bin", ".safetensors"))


@LIMITS
@given(st.sampled_from(CASES), st.data())
def test_any_value_of_any_key_has_an_answer(case, data):
    """Refused with a reason, or served with numbers; never an error that nobody meant."""
    with TemporaryDirectory() as root:
        mutant = Mutant(case, Path(root), data)
        path = mutant.pick(path for path in mutant.files if path.suffix == ".json")
        config = json.loads(path.read_text())
        node = data.draw(st.sampled_from(list(nodes(config))))
        key = data.draw(st.sampled_from((*node, *KEYS)))
        node[key] = data.draw(VALUES)
        path.write_text(json.dumps(config))
        _, version = mutant.inspect()
        for answer in mutant.answers(version) if version else ():
            assert all(np.isfinite(values).all() for values in answer.values())


@LIMITS
@given(st.sampled_from(CASES), st.data())
def test_any_tensor_may_be_of_any_form(case, data):
    """Likewise."""
    with TemporaryDirectory() as root:
        mutant = Mutant(case, Path(root), data)
        path = weights(mutant)
        tensors = load(path)
        name = mutant.pick(tensors)
        tensors[name] = CHANGES[mutant.pick(CHANGES)](tensors[name])
        save(path, tensors)
        _, version = mutant.inspect()
        for answer in mutant.answers(version) if version else ():
            assert all(np.isfinite(values).all() for values in answer.values())


@LIMITS
@given(st.sampled_from(CASES), st.data())
def test_no_tensor_is_lost_in_silence(case, data):
    """Without one of its tensors a checkpoint is refused, or that tensor changed no number."""
    with TemporaryDirectory() as root:
        mutant = Mutant(case, Path(root), data)
        path = weights(mutant)
        tensors = load(path)
        del tensors[mutant.pick(tensors)]
        save(path, tensors)
        _, version = mutant.inspect()
        if version is None:
            return
        before = mutant.answers(replay.version_of(case))
        for old, new in zip(before, mutant.answers(version), strict=True):
            assert all(np.allclose(old[member], new[member], atol=1e-5) for member in old)


@LIMITS
@given(st.sampled_from(CASES), st.data())
def test_any_damage_to_any_file_has_an_answer(case, data):
    """Cut off anywhere, or with any byte changed."""
    with TemporaryDirectory() as root:
        mutant = Mutant(case, Path(root), data)
        path = mutant.pick(mutant.files)
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            del content[place:]
        else:
            content[place] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        report, version = mutant.inspect()
        assert report.accepted == (version is not None)
