"""`polyhead plan`: what a load needs, from measurements on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from serving.commands.options import Backbone, DeviceOption, DtypeOption, JsonOption, Tasks, option


def plan(
    requests_per_second: Annotated[
        float,
        option("Load of all tasks together.", "--requests-per-second", variable="LOAD"),
    ],
    tokens: Annotated[
        float | None, option("Tokens of a request; ordinary text by default.", variable="TOKENS")
    ] = None,
    tasks_total: Annotated[
        int | None, option("Tasks there will be; those of --tasks by default.", variable="TOTAL")
    ] = None,
    utilisation: Annotated[
        float, option("Share of a replica to plan with.", variable="UTILISATION")
    ] = 0.6,
    resident: Annotated[
        str | None, option("Tasks in memory: a number, or all.", variable="RESIDENT")
    ] = None,
    spare: Annotated[int, option("Replicas that may be lost.", variable="SPARE")] = 1,
    zipf: Annotated[
        float, option("How unevenly tasks are asked; 0 is evenly.", variable="ZIPF")
    ] = 1.0,
    memory: Annotated[
        str | None, option("Memory of a replica, such as 4Gi.", variable="MEMORY")
    ] = None,
    seconds: Annotated[float, option("Seconds to measure for.", variable="SECONDS")] = 60.0,
    figures: Annotated[Path | None, option("Work from saved figures.", variable="FIGURES")] = None,
    save_figures: Annotated[
        Path | None, option("Save what was measured.", variable="SAVE_FIGURES")
    ] = None,
    tasks: Tasks = None,
    backbone: Backbone = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure this machine, and compute memory, throughput and replicas for a load."""
    from serving.planning.command import plan as run
    from serving.planning.wishes import ORDINARY_TOKENS, Wishes, read_resident, read_size
    from serving.settings import load_settings

    wishes = Wishes(
        requests_per_s=requests_per_second,
        tokens=ORDINARY_TOKENS if tokens is None else tokens,
        tasks_total=tasks_total,
        utilisation=utilisation,
        resident=read_resident(resident),
        spare=spare,
        zipf=zipf,
        memory=None if memory is None else read_size(memory),
    )
    settings = load_settings(tasks=tasks, backbone=backbone, device=device, dtype=dtype)
    run(
        settings,
        wishes,
        seconds=seconds,
        saved=figures,
        save_to=save_figures,
        as_json=as_json,
    )
