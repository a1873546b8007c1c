"""What was measured of a backbone and its tasks, as values that can be saved and read elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapter_runtime import SettingsError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=0)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Machine(_Value):
    """Where it was measured.

    Args:
        backbone, model_type, device, dtype: the engine's.
        lanes: forwards side by side.
        max_row_tokens: the longest row.
        cores: that the process may use.
    """

    backbone: str
    model_type: str
    device: str
    dtype: str
    lanes: int = Field(ge=1)
    max_row_tokens: int = Field(ge=1)
    cores: int = Field(ge=1)


class TaskFigures(_Value):
    """What one task takes.

    Args:
        name, kind: of the task.
        slots: distinct adapters.
        host_bytes: its own tensors as they were read.
        adapter_bytes, head_bytes: on the device.
        shared_bytes: of these, those that are the host's own tensors, as on a CPU.
        admit_s: the first read, with all checks.
        load_s: from files to the device when it had been evicted; the system may cache the files.
    """

    name: str
    kind: str
    slots: int = Field(ge=0)
    host_bytes: Bytes
    adapter_bytes: Bytes
    head_bytes: Bytes
    shared_bytes: Bytes = 0
    admit_s: Amount
    load_s: Amount

    @property
    def device_bytes(self) -> int:
        """Of adapters and head together."""
        return self.adapter_bytes + self.head_bytes


class BatchFigures(_Value):
    """What a batch takes on one lane while all lanes are busy.

    Args:
        tokens: of the batch.
        requests: in it.
        tasks: different ones in it; 0 is the bare backbone.
        seconds: median over `rounds`; on CPU of processor time, as a machine of its own would take.
        wall_s: as it was on this machine, beside whatever else ran.
    """

    tokens: Positive
    requests: int = Field(ge=1)
    tasks: int = Field(ge=0)
    seconds: Positive
    wall_s: Positive
    rounds: int = Field(ge=1)


class HttpFigures(_Value):
    """What a real server on loopback gave, client on the same machine.

    Args:
        connections: clients without a pause.
        tasks: that they asked in turn.
        tokens: of a request.
        requests_per_s: answered, beside the client and whatever else ran.
        processor_s: of the server for a request; None where the system does not tell.
        loaded_bytes: resident bytes of the server after it.
    """

    connections: int = Field(ge=1)
    tasks: int = Field(ge=1)
    tokens: Positive
    requests_per_s: Positive
    processor_s: Positive | None
    loaded_bytes: Bytes


class LeftOut(_Value):
    """A task that is in no figure, and why."""

    name: str
    reason: str


class Figures(_Value):
    """All that was measured.

    Args:
        format: of this file.
        version: of the software that measured.
        bare_bytes: resident in the process with the backbone alone.
        loaded_bytes: resident after the largest batches on all lanes; tasks are not in it.
        growth: resident bytes that tasks really took for each counted byte; None where the tasks
            are too small to tell.
        cpu_share: of the lanes' time in which this process ran while batches were timed; below 1
            where others used the machine.
        num_tasks: sound tasks of the catalog, those that were not loaded counted by their outline.
        tasks: those that were loaded, all or a sample.
        kinds: tasks of the catalog by kind.
        http: None where no server was measured.
    """

    format: Literal[1] = 1
    version: str
    machine: Machine
    bare_bytes: Bytes
    loaded_bytes: Bytes
    growth: Positive | None
    cpu_share: Amount
    num_tasks: int = Field(ge=1)
    tasks: tuple[TaskFigures, ...] = Field(min_length=1)
    kinds: dict[str, int]
    batches: tuple[BatchFigures, ...] = Field(min_length=2)
    http: HttpFigures | None
    left_out: tuple[LeftOut, ...] = ()
    took_s: Amount


def save(figures: Figures, place: Path) -> None:
    """Write the figures as JSON.

    Raises:
        SettingsError: the file cannot be written.
    """
    try:
        place.write_text(figures.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{place}: the figures cannot be written: {error.strerror}.") from error


def load(place: Path) -> Figures:
    """Read what `save` wrote.

    Raises:
        SettingsError: it cannot be read, or holds no figures.
    """
    try:
        return Figures.model_validate_json(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{place}: the figures cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{place}: holds no figures: not UTF-8 text.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SettingsError(
            f"{place}: holds no figures that this version reads: {where}: {first['msg']}. "
            "Make them with `polyhead plan --save-figures`."
        ) from error
