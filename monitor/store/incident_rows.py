"""Incidents as rows of the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from monitor.store import tables


def write_incidents(
    connection: sa.Connection, incidents: Sequence[dict[str, Any]], stored: float
) -> None:
    """Write incidents, and add to each the ``id`` that the API knows it by."""
    for incident in incidents:
        # A transaction that is tried again gives another one.
        incident.pop("id", None)
        row = {**incident, "stored": stored}
        key = connection.execute(sa.insert(tables.incidents), row).inserted_primary_key
        if key is not None:
            incident["id"] = key[0]
