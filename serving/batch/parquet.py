"""pyarrow, which is an extra."""

from __future__ import annotations

from typing import Any

from adapter_runtime import SettingsError


def pyarrow_parquet() -> Any:
    """The module `pyarrow.parquet`.

    Raises:
        SettingsError: pyarrow is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise SettingsError("Parquet needs pyarrow: pip install 'polyhead[parquet]'.") from error
    return parquet
