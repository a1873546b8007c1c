"""`polyhead plan`: measure, or read what was measured; compute; print."""

from __future__ import annotations

import time
from pathlib import Path

import orjson
from rich.console import Console
from rich.text import Text

from adapter_runtime import SettingsError
from serving.logs import set_up_logs
from serving.opening import Opener, open_backbone, open_catalog
from serving.planning import figures as files
from serving.planning.figures import Figures
from serving.planning.measuring import measure
from serving.planning.showing import plan_json, print_plan
from serving.planning.sizing import make_plan
from serving.planning.wishes import Wishes
from serving.settings import Settings

LEAST_S, MOST_S = 1.0, 3600.0


def plan(
    settings: Settings,
    wishes: Wishes,
    *,
    seconds: float = 60.0,
    saved: Path | None = None,
    save_to: Path | None = None,
    as_json: bool = False,
    opener: Opener = open_backbone,
) -> None:
    """Plan replicas for a load. Blocks.

    Args:
        settings: name the tasks and the backbone; the limits of a batch count too.
        seconds: to measure for, once the backbone is open.
        saved: figures to work from in place of measuring.
        save_to: where to write the figures.

    Raises:
        PolyheadError: nothing could be measured, or the load cannot be carried so.
    """
    set_up_logs(settings.log_format, "ERROR")
    if saved is not None and save_to is not None:
        raise SettingsError("Give --figures to read figures or --save-figures to make them.")
    figures = files.load(saved) if saved else _measured(settings, wishes, seconds, opener)
    if save_to is not None:
        files.save(figures, save_to)
    found = make_plan(figures, wishes, settings)
    if as_json:
        content = orjson.dumps(plan_json(figures, wishes, found), option=orjson.OPT_INDENT_2)
        print(content.decode())  # noqa: T201 - a command's own output
    else:
        print_plan(figures, wishes, found)


def _measured(settings: Settings, wishes: Wishes, seconds: float, opener: Opener) -> Figures:
    if not LEAST_S <= seconds <= MOST_S:
        raise SettingsError(f"--seconds must be from {LEAST_S:g} to {MOST_S:g}.")
    console, began_s = Console(stderr=True), time.monotonic()

    def say(what: str) -> None:
        console.print(Text(f"{time.monotonic() - began_s:5.1f} s  {what}"), soft_wrap=True)

    found = measure(settings, open_catalog(settings), wishes.tokens, seconds, opener, say)
    say("done")
    return found
