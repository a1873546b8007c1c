"""Pickles and safetensors that would take the process with them: refused before they are built."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from adapter_runtime.checkpoint.files import read_tensors
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.sources.folder import Folder

NAME = "pytorch_adapter.bin"
START = b"\x80\x02}X\x01\0\0\0aq\x00"
END = b"K\x01s."
DOUBLED = START + b"".join(b"h%c\x86q%c" % (n, n + 1) for n in range(60)) + END
DEEP = b"\x80\x02})" + b"\x85" * 1_000_000 + END


def archive(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as opened:
        opened.writestr("archive/data.pkl", data)
        opened.writestr("archive/version", "3\n")


def legacy(path: Path, data: bytes) -> None:
    path.write_bytes(b"".join(pickle.dumps(1, 2) for _ in range(3)) + data)


def legacy_keys(path: Path, data: bytes) -> None:
    legacy(path, pickle.dumps({}, 2) + data)


def reduced(module: str, name: str, *arguments: int) -> bytes:
    called = f"c{module}\n{name}\n".encode() + pickle.dumps(arguments, 2)[2:-1]
    return START + called + b"Rs."


def code(folder: Path, name: str = NAME) -> str:
    with pytest.raises(RejectedAdapter) as caught:
        read_tensors(Folder(folder, "here"), name)
    (problem,) = caught.value.problems
    assert problem.message.endswith("it again.")
    return problem.code


@pytest.mark.parametrize("write", (archive, legacy, legacy_keys))
@pytest.mark.parametrize("data", (DOUBLED, DEEP), ids=("doubled", "deep"))
def test_tuples_without_end_are_never_hashed(write, data, tmp_path):
    """One takes for ever as a key, the other ends the process."""
    write(tmp_path / NAME, data)
    assert code(tmp_path) == "unsafe_file"


@pytest.mark.parametrize("module", ("builtins", "__builtin__"))
def test_types_that_take_memory_by_number_are_refused(module, tmp_path):
    """Torch would fill all memory with zeros."""
    archive(tmp_path / NAME, reduced(module, "bytearray", 10**11))
    assert code(tmp_path) == "unsafe_pickle"


def test_damaged_archives_are_unreadable(tmp_path):
    """A single wrong byte in the directory of the archive."""
    torch.save({"a": torch.zeros(3)}, tmp_path / NAME)
    whole = (tmp_path / NAME).read_bytes()
    place = whole.rindex(b"PK\x01\x02")
    (tmp_path / NAME).write_bytes(whole[:place] + b"X" + whole[place + 1 :])
    assert code(tmp_path) == "unreadable_file"


def test_whatever_torch_does_with_damage_it_is_the_files_fault(tmp_path):
    """A storage of less than nothing is a TypeError of torch's own."""
    archive(tmp_path / NAME, reduced("torch._utils", "_rebuild_tensor_v2", 1, 2, 3))
    assert code(tmp_path) == "unreadable_file"


def test_more_names_than_any_adapter_has_are_not_read(tmp_path):
    """Each would become an object, of no bytes in the file."""
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"a{number}": empty for number in range(150_000)}).encode()
    content = len(header).to_bytes(8, "little") + header
    (tmp_path / "adapter.safetensors").write_bytes(content)
    assert code(tmp_path, "adapter.safetensors") == "unsafe_file"


def test_honest_files_are_read(tmp_path):
    """Shared tensors, views and both formats of torch."""
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {"a": base, "b": base, "c": base.t(), "d": torch.zeros(0)}
    for is_archive in (True, False):
        torch.save(tensors, tmp_path / NAME, _use_new_zipfile_serialization=is_archive)
        found = read_tensors(Folder(tmp_path, "here"), NAME)
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)
