"""What Polyhead saves as a head, the `adapters` library loads with equal numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from adapter_runtime.checkpoint.heads.reading import embedding_head, new_head, read_head, write_head
from adapter_runtime.errors import SettingsError
from tests.goldens.heads.write import HEADS, cases, written
from tests.heads.plain import facts, plain_model, run_head, states_of, write_case
from tests.heads.test_golden_logits import GOLDENS, check_logits, load, rows_of

WRITTEN: dict[str, dict[str, Any]] = load(GOLDENS / "written.json")


def test_every_written_head_has_a_golden() -> None:
    """A head type that can be written is one that `adapters` was asked about."""
    assert set(WRITTEN) == set(cases())


@pytest.mark.parametrize("name", WRITTEN)
def test_files_are_those_that_adapters_loaded(name: str) -> None:
    """Configuration, tensor names and shapes are as they were when the golden was made."""
    stored = {key: WRITTEN[name][key] for key in ("model_type", "config", "tensors")}
    assert stored == written(*cases()[name])


@pytest.mark.parametrize("name", WRITTEN)
def test_logits_equal_what_adapters_computed_from_the_files(name: str, tmp_path: Path) -> None:
    """Reading our own files back gives the library's numbers and labels."""
    case = WRITTEN[name]
    head = read_head(write_case(case, tmp_path), facts(case["model_type"]))
    assert head is not None
    rows = rows_of(case, reads_types=True)
    outcomes = run_head(head, states_of(plain_model(case["model_type"]), rows))
    check_logits(case, head, outcomes)
    if case["head_type"] not in ("question_answering", "multiple_choice"):
        assert tuple(case["labels"]) == head.spec.labels


@pytest.mark.parametrize("name", HEADS)
def test_a_saved_head_reads_back_equal(name: str, tmp_path: Path) -> None:
    """Writing loses neither weights, nor labels, nor settings."""
    head_type, settings, labels = HEADS[name]
    random = torch.Generator().manual_seed(1)
    head = new_head("task", head_type, settings, labels, facts("bert"), random)
    write_head(head, tmp_path, facts("bert"), "other")
    again = read_head(_folder(tmp_path), facts("bert"))
    assert again is not None
    assert (head.spec.settings, head.spec.labels) == (again.spec.settings, again.spec.labels)
    assert set(head.tensors) == set(again.tensors)
    assert all(torch.equal(head.tensors[key], again.tensors[key]) for key in head.tensors)


def test_heads_that_adapters_has_no_form_for_are_refused(tmp_path: Path) -> None:
    """An embedding head and a head on MPNet raise before anything is written."""
    tagging = new_head("task", "tagging", {}, None, facts("mpnet"))
    for head, backbone in ((embedding_head(None, {}), "bert"), (tagging, "mpnet")):
        with pytest.raises(SettingsError, match="has no"):
            write_head(head, tmp_path, facts(backbone), "task")
    assert [] == list(tmp_path.iterdir())


def _folder(path: Path) -> Any:
    from adapter_runtime.sources.folder import Folder

    return Folder(path, path.name)
