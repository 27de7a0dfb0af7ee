"""Which input columns a version's predictions depend on, as far as its reference tells."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.formats.event_types import is_prediction
from detectors.reference.reference import Reference
from monitor.references.references import References


def columns_read(references: References, versions: Sequence[str]) -> dict[str, frozenset[str]]:
    """Return the columns that versions depend on; a version without a reference is left out."""
    known = {version: references.of(version) for version in versions}
    return {
        version: _columns(reference)
        for version, reference in known.items()
        if reference is not None
    }


def _columns(reference: Reference) -> frozenset[str]:
    """Every input of the reference.

    Also those that have no effect there: out of its range they may have one.
    """
    return frozenset(name for name in reference.columns if not is_prediction(name))
