"""`polyhead serve --engine ray`: the same server on Ray Serve, here or on a running cluster."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from adapter_runtime import SettingsError, SourceRules, absolute, resolve
from deploy.ray_serve.options import RayOptions, options_of_environment
from serving.admission.keys import read_keys
from serving.listeners import listen
from serving.logs import set_up_logs
from serving.opening import backbone_of, open_catalog
from serving.settings import Settings

if importlib.util.find_spec("ray") is None:  # found out here, before anything is started
    raise ModuleNotFoundError("No module named 'ray'", name="ray")

log = logging.getLogger(__name__)
_ADDRESS = "RAY_ADDRESS"


class Told:
    """Whether this process was told to stop: the first signal asks, the second one insists."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.is_patient = True
        self.is_set = self._event.is_set

    def listen(self) -> None:
        """Take the signals."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self._event.is_set():
            os._exit(1)  # what Ray started here ends with this process
        self.is_patient = number != signal.SIGINT  # somebody sits at the terminal and waits
        self._event.set()

    def wait(self) -> None:
        """Return when told. Blocks."""
        while not self._event.wait(1.0):  # without end it would not hear signals everywhere
            pass


def launch(settings: Settings) -> None:
    """Serve on Ray until told to stop. Blocks.

    Where RAY_ADDRESS is set, on that cluster; otherwise on one that is started here, listens on
    loopback only and ends with this process.

    Raises:
        PolyheadError: nothing could start; the message is one line.
    """
    set_up_logs(settings.log_format, settings.log_level)
    settings = _anywhere(settings)
    options = options_of_environment(settings)
    options.service_settings()
    _check_sources(settings)
    with listen(settings.host, settings.port) as listener:
        port: int = listener.getsockname()[1]
    with told_to_stop() as told:
        _serve(options, settings.model_copy(update={"port": port}), told)


def _serve(options: RayOptions, settings: Settings, told: Told) -> None:
    from deploy.ray_serve.running import Running, joined_ray, local_ray

    address = os.environ.get(_ADDRESS)
    cluster = joined_ray(address, settings) if address else local_ray(options, settings)
    with cluster as url:
        told.listen()  # Ray has taken the signals meanwhile
        running = Running(options, settings, url)
        try:
            if running.start(told.is_set) and not told.is_set():
                print(running.banner(), flush=True)  # noqa: T201 - a command's own output
                told.wait()
                running.drain(told.is_patient)
                if not address:
                    running.end_with_ray()
        finally:
            if address:
                running.take_down()


@contextmanager
def told_to_stop() -> Iterator[Told]:
    """Listens for SIGTERM and SIGINT for the block."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    told = Told()
    told.listen()
    try:
        yield told
    finally:
        for number, handle in before.items():
            signal.signal(number, handle)


def _anywhere(settings: Settings) -> Settings:
    """The settings with paths that replicas find from wherever they are started."""
    here = Path.cwd()
    update = {
        name: absolute(path, here)
        for name in ("tasks", "keys", "cache_dir", "state_dir")
        if (path := getattr(settings, name))
    }
    backbone = settings.backbone
    if backbone and (here / backbone).is_dir():
        update["backbone"] = absolute(backbone, here)
    return settings.model_copy(update=update)


def _check_sources(settings: Settings) -> None:
    """What is wrong with the tasks or the backbone is known before a replica starts.

    Raises:
        PolyheadError: they cannot be read.
    """
    if settings.admin_port is not None:
        raise SettingsError("--admin-port needs --engine local: on Ray its own proxies listen.")
    if settings.grpc_port is not None:
        raise SettingsError("--grpc-port needs --engine local: on Ray its own proxies listen.")
    if settings.ssl_certfile is not None:
        raise SettingsError("--ssl-certfile needs --engine local: on Ray its own proxies listen.")
    if settings.keys is not None:
        read_keys(Path(settings.keys))
    _, file = open_catalog(settings)
    config = settings.engine_config()
    rules = SourceRules(
        config.allowed_sources, config.max_file_bytes, config.max_source_bytes, config.cache_dir
    )
    source = backbone_of(settings, file)
    if not resolve(source, rules=rules).has("config.json"):
        raise SettingsError(f"Backbone {source}: there is no config.json; give a model's folder.")
