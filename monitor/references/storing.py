"""Stores a reference with a version of a model in the registry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from collectors.registry.artifacts import RegistryArtifacts, artifact_place
from collectors.registry.client import MlflowRegistry
from collectors.registry.model_uri import ModelUri
from monitor.references.fetching import TAG

_NAME_DIGITS: Final = 16


class StoringError(ValueError):
    """A version that no reference can be stored with; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """The version that a reference is stored with, and the folder of its artifacts."""

    model: str
    version: str
    folder: str


async def place_of(uri: ModelUri, registry: MlflowRegistry, *, force: bool) -> Place:
    """Find the version that a URI names, and see that it has no reference yet.

    Raises
    ------
    StoringError
        There is no such version or alias, or it has a reference and `force` is not set.
    RegistryError
        The registry does not answer.
    """
    version = uri.version
    if uri.alias is not None:
        version = await registry.version_by_alias(uri.name, uri.alias)
    if version is None:
        raise StoringError(f"the registered model {uri.name} has no alias {uri.alias}")
    found = await registry.version(uri.name, version)
    if found is None:
        raise StoringError(f"the registry has no version {version} of {uri.name}")
    if TAG in found.tags and not force:
        raise StoringError(
            f"version {version} of {uri.name} has a reference, {found.tags[TAG]}; "
            "--force stores another one in its place"
        )
    return Place(uri.name, version, await registry.download_uri(uri.name, version))


async def store_reference(place: Place, data: bytes, registry: MlflowRegistry) -> str:
    """Upload a reference file, read it back, and only then name it in the version's tag.

    Its name holds its checksum, so no file is ever written over: whoever fetches meanwhile gets
    the old one or the new one, whole. The old file stays.

    Returns
    -------
    str
        Its address.
    """
    name = f"reference-{hashlib.sha256(data).hexdigest()[:_NAME_DIGITS]}.kedge"
    where = artifact_place(place.folder, place.model, place.version, name)
    address = str(await RegistryArtifacts(registry).store(where, data))
    await registry.set_version_tag(place.model, place.version, TAG, address)
    return address
