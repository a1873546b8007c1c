"""The environment of what is measured in processes of its own."""

from __future__ import annotations

import os

from serving.opening import THREAD_PLAN


def plain_environment() -> dict[str, str]:
    """This process's own, without the thread plan that it took for itself.

    The plan suits our engine; a peer that inherited it would run with one thread, or wait for its
    threads as ours do, and take half as long again.
    """
    return {name: value for name, value in os.environ.items() if name not in THREAD_PLAN}
