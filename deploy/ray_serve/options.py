"""What can be chosen about running on Ray, checked once; knows neither Ray nor torch."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from adapter_runtime import SettingsError
from serving.settings import Settings, load_settings

PREFIX = "POLYHEAD_RAY_"
_NOT_OURS = ("engine", "host", "port", "drain_notice_s")
"""Settings that mean nothing inside a replica: Ray listens, and says who gets requests."""


class RayOptions(BaseModel):
    """How many replicas, of what, and when there are more; the arguments of `application:build`.

    Args:
        topology: `whole`: each replica is a full server; `affine`: a thin ingress asks engine
            replicas, each task its best one.
        settings: of the service, by the names of `Settings`; what is not given comes from the
            POLYHEAD_* variables of the node where the application is built.
        min_replicas, max_replicas: of the engine; equal ones fix the number.
        initial_replicas: at first; by default `min_replicas`.
        scale_on: what asks for more replicas: `tokens` that wait for the devices, `requests`
            inside, or `none`.
        target_tokens: tokens that may wait for one replica's device before there are more.
        target_requests: requests that one replica may have inside before there are more.
        upscale_delay_s, downscale_delay_s: how long the load must ask for more, or less.
        ingress_replicas: of the ingress, in `affine`.
        num_cpus: cores that Ray sets aside for one replica; rounded up, so many streams compute
            there and so many threads encode, unless the settings say otherwise.
        num_gpus: GPUs of one replica; 0 computes on CPU.
        retries: how often a prediction is sent again, in `affine`, when its replica is lost.
        max_ongoing_requests: requests that one replica takes at once.
        max_queued_requests: requests that may wait for a replica in each proxy, and in each
            ingress; more get 429.
        surge_percent: replicas beyond their number while they are updated, so that new ones
            start before old ones stop; needs the room for them.
        drain_s: longest wait for requests inside a replica that is told to stop.
        health_period_s, health_timeout_s: how often a replica must show that its device
            computes, and how long it may take; three failures replace it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    topology: Literal["whole", "affine"] = "whole"
    settings: Mapping[str, Any] = Field(default_factory=dict)
    min_replicas: int = Field(1, ge=1, le=10_000)
    max_replicas: int = Field(1, ge=1, le=10_000)
    initial_replicas: int | None = Field(None, ge=1)
    scale_on: Literal["none", "requests", "tokens"] = "tokens"
    target_tokens: float = Field(8192, gt=0, allow_inf_nan=False)
    target_requests: float = Field(32, gt=0, allow_inf_nan=False)
    upscale_delay_s: float = Field(5, ge=0, allow_inf_nan=False)
    downscale_delay_s: float = Field(300, ge=0, allow_inf_nan=False)
    ingress_replicas: int = Field(1, ge=1, le=1000)
    num_cpus: float = Field(1, gt=0, le=1024)
    num_gpus: float = Field(0, ge=0, le=64)
    retries: int = Field(2, ge=0, le=10)
    max_ongoing_requests: int = Field(256, ge=1)
    max_queued_requests: int = Field(512, ge=0)
    surge_percent: int = Field(0, ge=0, le=100)
    drain_s: float = Field(30, gt=0, le=3600)
    health_period_s: float = Field(10, gt=0, le=3600)
    health_timeout_s: float = Field(30, gt=0, le=3600)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        first = self.min_replicas if self.initial_replicas is None else self.initial_replicas
        if not self.min_replicas <= first <= self.max_replicas:
            raise ValueError(
                f"min_replicas {self.min_replicas}, initial_replicas {first} and max_replicas "
                f"{self.max_replicas} must ascend"
            )
        if self.scale_on == "none" and not self.is_fixed:
            raise ValueError(
                "scale_on none needs min_replicas and max_replicas to be equal; make them so, or "
                "scale on requests or tokens"
            )
        if self.settings.get("device") == "cuda" and not self.num_gpus:
            raise ValueError("device cuda needs num_gpus: without it Ray hides the GPUs")
        return self

    @property
    def is_fixed(self) -> bool:
        """Whether the number of replicas never changes by itself."""
        return self.min_replicas == self.max_replicas

    @property
    def num_threads(self) -> int:
        """Threads that one replica may keep busy."""
        return math.ceil(self.num_cpus)

    def service_settings(self) -> Settings:
        """The Settings of a replica: those given, and the variables of this environment.

        Raises:
            SettingsError: one is unknown or wrong.
        """
        for name in self.settings:
            if name in _NOT_OURS:
                raise SettingsError(
                    f"settings.{name} means nothing on Ray; leave it out "
                    "(http_options say where Ray listens)."
                )
            if name not in Settings.model_fields:
                raise SettingsError(_unknown(f"settings.{name}", name, list(Settings.model_fields)))
        found = load_settings(**self.settings)
        threads = self.num_threads
        return found.model_copy(
            update={
                "streams": found.streams or (0 if self.num_gpus else threads),
                "encode_threads": found.encode_threads or threads,
                "drain_timeout_s": self.drain_s,
            }
        )


def load_options(given: Mapping[str, Any]) -> RayOptions:
    """Options from a mapping, such as a configuration's `args`.

    Raises:
        SettingsError: one is unknown or wrong; names it.
    """
    _refuse_unknown(given, "")
    try:
        options = RayOptions.model_validate(dict(given))
    except ValidationError as error:
        raise SettingsError(_sentence(error, lambda name: name)) from error
    options.service_settings()
    return options


def options_of_environment(settings: Settings) -> RayOptions:
    """Options from POLYHEAD_RAY_* variables, around the settings of this process.

    Raises:
        SettingsError: a variable is unknown or wrong; names it.
    """
    given: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in os.environ.items()
        if name.startswith(PREFIX)
    }
    _refuse_unknown(given, PREFIX)
    own = {name: value for name, value in settings.model_dump().items() if name not in _NOT_OURS}
    given.setdefault("drain_s", settings.drain_timeout_s)
    try:
        return RayOptions.model_validate({**given, "settings": own})
    except ValidationError as error:
        raise SettingsError(_sentence(error, lambda name: PREFIX + name.upper())) from error


def _refuse_unknown(given: Mapping[str, Any], prefix: str) -> None:
    known = [name for name in RayOptions.model_fields if not (prefix and name == "settings")]
    for name in given:
        if name not in known:
            shown = [prefix + each.upper() for each in known] if prefix else known
            own = prefix + name.upper() if prefix else str(name)
            raise SettingsError(_unknown(own, own, shown))


def _unknown(path: str, name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    rest = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}."
    return f"{path} is not known; {rest}"


def _sentence(error: ValidationError, shown: Any) -> str:
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return f"The options for Ray do not fit together: {message}."
    name = shown(".".join(str(part) for part in first["loc"]))
    return f"{name} is {first['input']!r}: {message}."
