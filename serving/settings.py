"""Every setting of the server, checked once at start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from adapter_runtime import EngineConfig, SettingsError

PREFIX = "POLYHEAD_"


class Settings(BaseSettings):
    """Settings of one process; each is also the environment variable `POLYHEAD_<NAME>`.

    Args:
        tasks: task file or folder.
        backbone: Source of the backbone; wins over the task file's own.
        host, port: where the server listens; port 0 takes a free one.
        admin_port: another port, where alone administration, metrics, `/debug` and `/usage` are
            served; None: all on one.
        admin_host: where that one listens; by default where the other does.
        grpc_port: another port, where the Open Inference Protocol is spoken over gRPC; needs the
            extra `grpc`; None: nowhere.
        ssl_certfile, ssl_keyfile: certificate (with its chain) and private key in PEM; with them
            every port speaks TLS. The key may stand in the certificate's file.
        ssl_keyfile_password: of the private key, if it has one.
        ssl_ca_certs: authorities in PEM; then only clients with a certificate of theirs come in.
        strict: refuse to start when a task is broken.
        engine: what runs the server: `local`, this process; or a launcher that is installed.
        device, dtype, streams, max_slots, device_bytes, host_bytes, cuda_graphs: see
            `EngineConfig`.
        keys: file of those who may come in; without it everybody may do everything.
        max_requests: requests that may be inside at once; more get 429, and sooner for a task that
            holds more than its share of them; rows likewise.
        max_rows: rows that may wait or run at once; more get 429.
        max_queue_s: longest expected wait, in seconds; who would wait longer, or past the deadline,
            gets 429 at once; 0: only the deadline counts.
        max_items: longest list of inputs in one request; each counts for every task that it names.
        max_analyze_tasks: tasks that one request may name to `/v1/analyze`.
        default_task: answers routes of protocols that name no task, such as `/embed` at the root.
        max_body_bytes: largest request body.
        header_timeout_s: seconds until the head of a request must be there.
        transfer_timeout_s: seconds over which a body that comes, or an answer that is read, must
            keep the pace of `min_bytes_per_s`; else the connection is ended.
        min_bytes_per_s: that pace.
        max_header_bytes: longest head of a request.
        max_connections: connections that may be open at once, if the system allows as many files;
            beyond, who has waited for nothing longest makes room.
        max_held_bytes: bytes of bodies that may be held at once, of all connections together;
            likewise of answers that wait for their readers.
        max_batch_s: predicted time that one forward may take.
        min_batch_tokens: tokens that one forward may always hold, whatever the prediction.
        max_batch_tokens, max_batch_rows: hard limits of one forward.
        default_deadline_s: time to answer when the client names none.
        encode_threads: threads that turn text into rows and logits into answers; 0 chooses.
        load_threads: cold adapters that are brought in side by side, and versions that are read
            and checked so; as many again from each hub or store, so that one that hangs holds up
            its own tasks only.
        keep_versions: superseded versions of a task that stay for a rollback; older ones retire.
        state_dir: folder for what is good to know after a restart: verdicts and the warm set;
            default `polyhead` in `XDG_CACHE_HOME` or `~/.cache`.
        poll_s: seconds between looks at a catalog that cannot be watched.
        quarantine_s: seconds until a version that failed by itself is checked again; doubled each
            time, up to an hour.
        warm_tasks: recently used tasks that are brought in again after a restart; 0: none.
        max_task_labels: tasks that metrics tell apart; all others share one label.
        allowed_sources, max_file_bytes, max_source_bytes, cache_dir: see `EngineConfig`; in the
            environment the allowed Sources are separated by commas.
        keep_alive_s: how long an idle connection stays open; longer than load balancers keep
            theirs, so that none sends a request into a connection that is just being closed.
        drain_timeout_s: longest wait for requests in flight when told to stop.
        drain_notice_s: how long new requests are refused with 503 before the port closes.
        log_format: `text`, `json`, or `auto`: text on a terminal.
        access_log: write one line per request.
        otlp_endpoint: collector that traces are sent to, such as http://collector:4318; default
            `OTEL_EXPORTER_OTLP_ENDPOINT`. Needs the extra `otel`.
        keep_batches: the last batches that `/debug/batches` can show.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    tasks: str | None = None
    backbone: str | None = None
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    admin_port: int | None = Field(None, ge=0, le=65535)
    admin_host: str | None = None
    grpc_port: int | None = Field(None, ge=0, le=65535)
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_keyfile_password: str | None = Field(None, repr=False)
    ssl_ca_certs: str | None = None
    strict: bool = False
    engine: str = "local"
    device: str = "auto"
    dtype: str = "auto"
    streams: int = Field(0, ge=0, le=1024)
    max_slots: int = Field(1024, ge=1)
    device_bytes: int = Field(2 << 30, ge=1)
    host_bytes: int = Field(4 << 30, ge=1)
    cuda_graphs: bool = True
    keys: str | None = None
    max_requests: int = Field(512, ge=1)
    max_rows: int = Field(4096, ge=1)
    max_queue_s: float = Field(0.0, ge=0, le=86400, allow_inf_nan=False)
    max_items: int = Field(256, ge=1)
    max_analyze_tasks: int = Field(64, ge=1, le=100_000)
    default_task: str | None = None
    max_body_bytes: int = Field(2 << 20, ge=1)
    header_timeout_s: float = Field(20.0, gt=0, le=3600)
    transfer_timeout_s: float = Field(30.0, gt=0, le=3600)
    min_bytes_per_s: float = Field(4096.0, ge=0)
    max_header_bytes: int = Field(32 << 10, ge=1 << 10)
    max_connections: int = Field(4096, ge=1)
    max_held_bytes: int = Field(256 << 20, ge=1 << 20)
    max_batch_s: float = Field(0.1, gt=0, le=60)
    min_batch_tokens: int = Field(384, ge=1)
    max_batch_tokens: int = Field(16384, ge=1)
    max_batch_rows: int = Field(512, ge=1)
    default_deadline_s: float = Field(30.0, gt=0, le=86400)
    encode_threads: int = Field(0, ge=0, le=256)
    load_threads: int = Field(4, ge=1, le=64)
    keep_versions: int = Field(3, ge=1, le=100)
    state_dir: str | None = None
    poll_s: float = Field(5.0, ge=0.05, le=86400, allow_inf_nan=False)
    quarantine_s: float = Field(30.0, gt=0, le=3600, allow_inf_nan=False)
    warm_tasks: int = Field(64, ge=0, le=100_000)
    max_task_labels: int = Field(200, ge=1, le=100_000)
    allowed_sources: Annotated[tuple[str, ...], NoDecode] = ()
    max_file_bytes: int = Field(2 << 30, ge=1)
    max_source_bytes: int = Field(4 << 30, ge=1)
    cache_dir: str | None = None
    keep_alive_s: float = Field(75.0, gt=0, le=86400)
    drain_timeout_s: float = Field(30.0, ge=0, le=86400)
    drain_notice_s: float = Field(1.0, ge=0, le=3600)
    log_format: Literal["auto", "text", "json"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    access_log: bool = False
    otlp_endpoint: str | None = None
    keep_batches: int = Field(100, ge=0, le=10_000)

    @field_validator("allowed_sources", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @property
    def state_folder(self) -> Path | None:
        """Where to remember things for the next start; None where nobody has a home."""
        try:
            if self.state_dir:
                return Path(self.state_dir).expanduser()
            cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
            return cache / "polyhead"
        except RuntimeError:  # no home folder is known
            return None

    def engine_config(self, is_serving: bool = True) -> EngineConfig:
        """The engine's share of the settings.

        Args:
            is_serving: clients wait for the answers; else their numbers are kept or compared, and
                `dtype` auto prefers exact ones to soon ones.

        Raises:
            SettingsError: a value is out of range.
        """
        return EngineConfig(
            device=self.device,
            dtype=self.dtype,
            streams=self.streams,
            max_slots=self.max_slots,
            device_bytes=self.device_bytes,
            host_bytes=self.host_bytes,
            cuda_graphs=self.cuda_graphs,
            allowed_sources=self.allowed_sources,
            max_file_bytes=self.max_file_bytes,
            max_source_bytes=self.max_source_bytes,
            cache_dir=self.cache_dir,
            prefer_speed=is_serving,
        )


def load_settings(**given: Any) -> Settings:
    """Settings from the environment; values given here win, None means not given.

    Raises:
        SettingsError: a value is wrong; names the variable.
    """
    values = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from error


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    return f"{PREFIX}{name.upper()} is {first['input']!r}: {first['msg']}."
