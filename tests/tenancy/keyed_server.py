"""The fake server, with the logs of `polyhead serve`; takes the same arguments."""

from __future__ import annotations

from serving.logs import set_up_logs
from serving.settings import load_settings
from tests.serving import fake_server

if __name__ == "__main__":
    settings = load_settings()
    set_up_logs(settings.log_format, settings.log_level)
    fake_server.main()
