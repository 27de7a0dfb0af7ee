"""Which model a URI names: resolved once at the start, and what there is to follow from then on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from collectors.registry.client import MlflowRegistry
from collectors.registry.model_uri import ModelUri, ModelUriError, parse_model_uri
from scoring.artifacts.artifact import local_path

#: The version of a model that no registry knows, as the event format has it.
UNKNOWN_VERSION: Final = "unknown"
_RUNS: Final = "runs"


class TargetError(ValueError):
    """A model URI that names nothing that can be served."""


@dataclass(frozen=True, slots=True)
class Target:
    """A version to serve.

    Parameters
    ----------
    name, version
        For a registered model its own; for ``runs:/`` the last part of the path and the run; for
        anything else the last part of the path and ``unknown``.
    source
        Where its files are.
    alias
        To be followed; None: the version stays.
    """

    name: str
    version: str
    source: str
    alias: str | None = None


def registered(uri: str) -> ModelUri | None:
    """Return the registered model that a URI names; None where it names something else.

    Raises
    ------
    TargetError
        It begins like a registered model's and is none.
    """
    if not uri.startswith("models:"):
        return None
    try:
        return parse_model_uri(uri)
    except ModelUriError as error:
        raise TargetError(str(error)) from error


def unregistered(uri: str) -> Target:
    """Return the target of a URI that no registry is asked about.

    Examples
    --------
    >>> unregistered("runs:/8f3e/model")
    Target(name='model', version='8f3e', source='runs:/8f3e/model', alias=None)
    >>> unregistered("/srv/models/flight-delay").name
    'flight-delay'
    """
    path = local_path(uri)
    if path is not None:
        path = path.resolve()
        return Target(path.name, UNKNOWN_VERSION, str(path))
    parts = [part for part in urlsplit(uri).path.split("/") if part]
    if not parts:
        raise TargetError(f"{uri!r} names no model")
    version = parts[0] if urlsplit(uri).scheme == _RUNS and len(parts) > 1 else UNKNOWN_VERSION
    return Target(parts[-1], version, uri)


async def resolve(model: ModelUri, registry: MlflowRegistry) -> Target:
    """Ask the registry where a registered model's version is.

    Raises
    ------
    TargetError
        The model has no such alias.
    RegistryError
        There is no such model or version, or the registry does not answer.
    """
    version = model.version
    if model.alias is not None:
        version = await registry.version_by_alias(model.name, model.alias)
    if version is None:
        raise TargetError(
            f"the registered model {model.name} has no alias {model.alias}: set it first"
        )
    source = await registry.download_uri(model.name, version)
    return Target(model.name, version, source, model.alias)
