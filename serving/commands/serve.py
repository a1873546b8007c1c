"""`polyhead serve`: its options, in groups."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from serving.commands.options import Device, Dtype, option

_what = partial(option, panel="What is served")
_where = partial(option, panel="Where it listens")
_who = partial(option, panel="Who may come in")
_how = partial(option, panel="How it computes")

Tasks = Annotated[
    str | None,
    _what("Task file, or folder (or URL) of task files or adapters.", variable="TASKS"),
]
Backbone = Annotated[
    str | None,
    _what("Backbone: folder, pkg://… or hf://…; wins over the task file.", variable="BACKBONE"),
]
Strict = Annotated[
    bool, _what("Refuse to start when a task is broken.", "--strict", variable="STRICT")
]
DefaultTask = Annotated[
    str | None,
    _what(
        "Task that answers where a protocol names none: /embed, /predict, /rerank at the root.",
        variable="DEFAULT_TASK",
    ),
]
StateDir = Annotated[
    Path | None, _what("Folder for what a restart is faster with.", variable="STATE_DIR")
]
Host = Annotated[
    str | None, _where("Address; 127.0.0.1 by default, 0.0.0.0 is everywhere.", variable="HOST")
]
Port = Annotated[int | None, _where("Port; 8080 by default, 0 takes a free one.", variable="PORT")]
AdminPort = Annotated[
    int | None, _where("Port that operators' routes move to.", variable="ADMIN_PORT")
]
GrpcPort = Annotated[
    int | None,
    _where("Port for gRPC (Open Inference Protocol); none by default.", variable="GRPC_PORT"),
]
Keys = Annotated[
    str | None, _who("File of those who may come in; see `polyhead keys`.", variable="KEYS")
]
Certificate = Annotated[
    str | None,
    _who("Certificate in PEM; with it all ports speak TLS.", variable="SSL_CERTFILE"),
]
PrivateKey = Annotated[
    str | None, _who("Its private key, if not in the same file.", variable="SSL_KEYFILE")
]
Password = Annotated[
    str | None,
    _who("That key's password; best in the variable.", variable="SSL_KEYFILE_PASSWORD"),
]
Authorities = Annotated[
    str | None,
    _who("Only clients with a certificate of these authorities.", variable="SSL_CA_CERTS"),
]
EngineName = Annotated[
    str | None,
    _how("What runs it: local (this process), or ray (Ray Serve).", variable="ENGINE"),
]
DeviceOption = Annotated[Device | None, _how("Where to compute.", variable="DEVICE")]
DtypeOption = Annotated[
    Dtype | None,
    _how(
        "Numbers: auto is bfloat16 on CUDA and on CPUs that multiply it natively, else float32.",
        variable="DTYPE",
    ),
]


def serve(
    tasks: Tasks = None,
    backbone: Backbone = None,
    strict: Strict = False,
    default_task: DefaultTask = None,
    state_dir: StateDir = None,
    host: Host = None,
    port: Port = None,
    admin_port: AdminPort = None,
    grpc_port: GrpcPort = None,
    keys: Keys = None,
    ssl_certfile: Certificate = None,
    ssl_keyfile: PrivateKey = None,
    ssl_keyfile_password: Password = None,
    ssl_ca_certs: Authorities = None,
    engine: EngineName = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> None:
    """Serve tasks over HTTP until stopped; a folder of task files can be changed meanwhile.

    Settings without an option are variables: docs/operations.md, docs/limits.md.
    """
    from serving.launchers import launch
    from serving.settings import load_settings

    settings = load_settings(
        tasks=tasks,
        backbone=backbone,
        strict=strict,
        default_task=default_task,
        state_dir=None if state_dir is None else str(state_dir),
        host=host,
        port=port,
        admin_port=admin_port,
        grpc_port=grpc_port,
        keys=keys,
        ssl_certfile=ssl_certfile,
        ssl_keyfile=ssl_keyfile,
        ssl_keyfile_password=ssl_keyfile_password,
        ssl_ca_certs=ssl_ca_certs,
        engine=engine,
        device=device,
        dtype=dtype,
    )
    launch(settings)
