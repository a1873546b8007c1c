"""Bad data costs `polyhead batch` its own line and no other, and never ends in a traceback."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapter_runtime import SettingsError
from serving.batch import command, reading
from tests.serving.fake_engine import open_fake
from tests.serving.test_commands import settings

GOOD = [{"label": "a", "score": 1.0}]


def score(source: Path, target: str = "out.jsonl") -> tuple[int, Path]:
    """How many lines failed, and the output."""
    path = source.with_name(target)
    return command.batch(source, path, settings(source.parent), opener=open_fake), path


def score_lines(folder: Path, name: str, content: bytes) -> list[dict[str, Any]]:
    """The output lines of an input file."""
    source = folder / name
    source.write_bytes(content)
    num_failed, path = score(source)
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert num_failed == sum("error" in line for line in lines)
    return lines


def outcomes(lines: list[dict[str, Any]]) -> list[Any]:
    """Each line's outputs or error code."""
    return [line.get("outputs") or line["error"]["code"] for line in lines]


def test_a_csv_byte_that_is_no_utf8_spoils_its_line(tmp_path: Path) -> None:
    """Also in a column that is only kept."""
    content = b"task,text,id\na,one,1\na,one,\xff\na,\xff,3\na,one,4\n"
    lines = score_lines(tmp_path, "in.csv", content)
    assert outcomes(lines) == [GOOD, "invalid_input", "invalid_input", GOOD]
    assert lines[3]["id"] == "4"


def test_a_csv_cell_may_be_a_long_document(tmp_path: Path) -> None:
    """Longer than Python's csv reads by default."""
    content = f"task,text\na,{'x' * 300_000}\n".encode()
    assert outcomes(score_lines(tmp_path, "in.csv", content)) == [GOOD]


def test_a_line_says_that_its_input_was_cut(tmp_path: Path) -> None:
    """Any of a list; the others say nothing, and no field of the input passes for it."""
    content = b'{"task":"a","inputs":"long"}\n{"task":"a","inputs":["one","long"]}\n'
    content += b'{"task":"a","inputs":"one","truncated":true}\n'
    lines = score_lines(tmp_path, "in.jsonl", content)
    assert [line.get("truncated") for line in lines] == [True, True, None]


def test_a_csv_row_that_cannot_be_read_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader goes on behind it; a header that cannot be read starts nothing."""
    monkeypatch.setattr(reading, "_MAX_CELL_CHARS", 10)
    content = f"task,text\na,{'x' * 11}\na,one\n".encode()
    lines = score_lines(tmp_path, "in.csv", content)
    assert outcomes(lines) == ["invalid_input", GOOD]
    assert "CSV" in lines[0]["error"]["message"]
    with pytest.raises(SettingsError, match="header"):
        score_lines(tmp_path, "in.csv", b"task,text_of_the_line\na,one\n")


def test_json_that_cannot_be_read_or_written_back_is_a_line(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, half characters, depth."""
    deep = b"[" * 400 + b"]" * 400
    content = b'{"task":"a","inputs":"\xff"}\n{"task":"a","inputs":"\\ud800"}\n'
    content += b'{"task":"a","inputs":"one","kept":' + deep + b"}\n"
    content += b'{"task":' + deep + b',"inputs":"one"}\n{"task":"a","inputs":"one"}\n'
    lines = score_lines(tmp_path, "in.jsonl", content)
    assert outcomes(lines) == ["invalid_input"] * 4 + [GOOD]


@pytest.mark.parametrize("name", ("out.csv", "out.parquet"))
def test_a_task_that_is_no_name_is_written_as_json(tmp_path: Path, name: str) -> None:
    """Columns hold text only."""
    parquet = pytest.importorskip("pyarrow.parquet")
    source = tmp_path / "in.jsonl"
    source.write_bytes(b'{"task": 5, "inputs": "x"}\n{"task": "a", "inputs": "x"}\n')
    num_failed, path = score(source, name)
    assert num_failed == 1
    if name.endswith("parquet"):
        assert parquet.read_table(path)["task"].to_pylist() == ["5", "a"]
    else:
        assert path.read_text("utf-8").splitlines()[1].startswith("5,,invalid_input")


def test_parquet_values_that_json_lacks_are_kept_as_text(tmp_path: Path) -> None:
    """Bytes, decimals and dates."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    kept = {"raw": b"ab", "price": Decimal("1.50"), "day": date(2024, 2, 29)}
    row = {"task": "a", "text": "one", **kept}
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "in.parquet")
    _, path = score(tmp_path / "in.parquet")
    assert orjson.loads(path.read_bytes()) == {
        "task": "a",
        "outputs": GOOD,
        "raw": "ab",
        "price": "1.50",
        "day": "2024-02-29",
    }


def test_a_parquet_string_that_is_no_utf8_spoils_its_line(tmp_path: Path) -> None:
    """Its neighbours in the same batch are read."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    text = pyarrow.array([b"one", b"\xff", b"one"]).cast(pyarrow.binary())
    text = pyarrow.Array.from_buffers(pyarrow.string(), 3, text.buffers())
    table = pyarrow.table({"task": ["a"] * 3, "text": text})
    parquet.write_table(table, tmp_path / "in.parquet")
    num_failed, path = score(tmp_path / "in.parquet")
    assert num_failed == 1
    assert len(path.read_bytes().splitlines()) == 3


@pytest.mark.parametrize("content", (b"", b"PAR1 and nothing else"))
def test_a_file_that_is_no_parquet_starts_nothing(tmp_path: Path, content: bytes) -> None:
    """One line that names the file, and no output."""
    pytest.importorskip("pyarrow")
    (tmp_path / "in.parquet").write_bytes(content)
    with pytest.raises(SettingsError, match=r"in\.parquet: no readable Parquet"):
        score(tmp_path / "in.parquet")
    assert not (tmp_path / "out.jsonl").exists()


def test_an_output_that_is_the_input_starts_nothing(tmp_path: Path) -> None:
    """The inputs would be lost; also by another of its names."""
    source = tmp_path / "in.jsonl"
    source.write_text("{}")
    (tmp_path / "same.jsonl").symlink_to(source)
    for name in ("in.jsonl", "same.jsonl"):
        with pytest.raises(SettingsError, match="replace their inputs"):
            score(source, name)
    assert source.read_text() == "{}"


def test_an_output_that_is_a_folder_starts_nothing(tmp_path: Path) -> None:
    """Known before the work, not after it."""
    (tmp_path / "in.jsonl").write_bytes(b'{"task": "a", "inputs": "x"}')
    (tmp_path / "out.jsonl").mkdir()
    with pytest.raises(SettingsError, match="is a folder"):
        score(tmp_path / "in.jsonl")


def test_parquet_damage_inside_costs_the_rest_only(tmp_path: Path) -> None:
    """What was read before is answered."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.Table.from_pylist([{"task": "a", "text": "one"}] * 2048)
    path = tmp_path / "in.parquet"
    parquet.write_table(table, path, row_group_size=1024, use_dictionary=False)
    start = parquet.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    damaged = bytearray(path.read_bytes())
    damaged[start : start + 20] = b"\xff" * 20
    path.write_bytes(bytes(damaged))
    num_failed, out = score(path)
    assert (num_failed, len(out.read_bytes().splitlines())) == (1, 1025)
