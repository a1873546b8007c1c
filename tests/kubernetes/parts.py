"""Parts of manifests that tests spoil."""

from __future__ import annotations

from collections.abc import Callable

from tests.kubernetes.manifests import Manifests, Object

Spoil = Callable[[Manifests], object]


def container(manifests: Manifests) -> Object:
    """The first container of the last pods: of a Deployment, of Ray's workers, of KServe's."""
    (found,) = manifests.pods()[-1].spec["containers"]
    return found  # type: ignore[no-any-return]


def variable(manifests: Manifests, name: str, value: str) -> None:
    """Give a container a variable."""
    given = container(manifests)["env"]
    given[:] = [each for each in given if each["name"] != name]
    given.append({"name": name, "value": value})


def limit(manifests: Manifests, **limits: str) -> None:
    """Give a container other limits."""
    container(manifests)["resources"]["limits"].update(limits)


def query(manifests: Manifests, text: str) -> None:
    """What the first trigger asks for."""
    manifests.one("ScaledObject")["spec"]["triggers"][0]["metadata"]["query"] = text


def cluster(manifests: Manifests) -> Object:
    """Ray's."""
    found: Object = manifests.one("RayService")["spec"]["rayClusterConfig"]
    return found


def template(manifests: Manifests) -> Object:
    """The Deployment's pods."""
    found: Object = manifests.one("Deployment")["spec"]["template"]
    return found


def predictor(manifests: Manifests) -> Object:
    """KServe's."""
    found: Object = manifests.one("InferenceService")["spec"]["predictor"]
    return found
