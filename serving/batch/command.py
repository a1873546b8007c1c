"""`polyhead batch`: a file of inputs to a file of answers, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from adapter_runtime import SettingsError
from serving.batch.formats import format_of, written_whole
from serving.batch.reading import Record
from serving.batch.scoring import Scorer
from serving.logs import set_up_logs
from serving.opening import Opener, open_backbone, open_catalog, open_tasks
from serving.settings import Settings

CHUNK_LINES, RAW_CHUNK_LINES = 1024, 64
"""Lines whose answers are in memory together; a language model's raw answer to one is large."""


def batch(
    source: Path,
    target: Path,
    settings: Settings,
    task: str | None = None,
    raw: bool = False,
    opener: Opener = open_backbone,
) -> int:
    """Score a file; returns how many lines failed. Blocks.

    Args:
        source, target: input and output; their endings say the format.
        settings: names the tasks and the backbone.
        task: for lines that name none.
        raw: add what the heads computed before decoding.

    Raises:
        PolyheadError: nothing could start.
    """
    set_up_logs(settings.log_format, settings.log_level)
    if not source.is_file():
        raise SettingsError(f"{source}: no such input file.")
    if target.exists() and target.samefile(source):
        raise SettingsError(f"{target}: the answers would replace their inputs; name another file.")
    format_of(target)
    try:
        source.open("rb").close()
    except OSError as error:
        raise SettingsError(f"{source}: cannot be read: {error.strerror}.") from error
    reading = format_of(source).read(source)
    opened = open_tasks(settings, open_catalog(settings), opener, is_serving=False)
    scorer = Scorer(opened.engine, opened.at_once, task, raw)
    num_lines = num_failed = 0
    try:
        with written_whole(target) as writer, _progress() as progress:
            bar = progress.add_task("scoring", total=reading.total)
            for chunk in chunks(reading.records, RAW_CHUNK_LINES if raw else CHUNK_LINES):
                lines = scorer.score(chunk)
                writer.write(lines)
                num_lines += len(lines)
                num_failed += sum("error" in line for line in lines)
                shown = f"{num_lines} lines, {num_failed} failed"
                progress.update(bar, advance=sum(each.size for each in chunk), description=shown)
    finally:
        opened.engine.close()
    return num_failed


def chunks(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """The records in lists of at most `size`."""
    source = iter(records)
    while chunk := list(islice(source, size)):
        yield chunk


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
