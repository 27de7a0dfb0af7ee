"""``kedge reference build --model``: stores what was built with a version in the registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from monitor.references.storing import Place


def shelf_of(model: str, tracking_uri: str | None, *, force: bool) -> Callable[[bytes], str]:
    """Look whether a reference may be stored with a version; return what does so."""
    import asyncio  # noqa: PLC0415 - not to print help

    from collectors.registry.model_uri import parse_model_uri  # noqa: PLC0415 - not to print help
    from monitor.references.storing import place_of, store_reference  # noqa: PLC0415 - the same
    from scoring.artifacts.tracking import Tracking  # noqa: PLC0415 - the same

    uri = parse_model_uri(model)
    tracking = Tracking.of(tracking_uri)
    if tracking is None:
        raise click.UsageError("--model needs --tracking-uri, or MLFLOW_TRACKING_URI")

    async def look() -> Place:
        async with tracking.registry() as registry:
            return await place_of(uri, registry, force=force)

    place = asyncio.run(look())

    async def store(data: bytes) -> str:
        async with tracking.registry() as registry:
            return await store_reference(place, data, registry)

    return lambda data: f"{asyncio.run(store(data))} with version {place.version} of {place.model}"
