"""Ray's own modules warn while they load; that says nothing of ours."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ray.serve  # noqa: F401 - loaded here, so that no test meets its warnings
