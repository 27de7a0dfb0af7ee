"""What a drift rule remembers of one version, as it is kept with the rule's state."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from detectors.rules.e_detector import MEMORIES, Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collectors.batch import Floats
    from detectors.rules.e_detector import Null

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class DriftMemory:
    """Evidence against one reference.

    Parameters
    ----------
    digest
        Of the reference that it was gathered against.
    evidence
        What was gathered.
    seen
        Windows that the rule has judged.
    """

    digest: str
    evidence: Evidence
    seen: int = 0

    def to_json(self) -> dict[str, Any]:
        """As a JSON-able dictionary; numbers are kept as 32-bit floats, which they are."""
        evidence = self.evidence
        _, columns, bins = evidence.past.shape
        return {
            "format": _FORMAT,
            "digest": self.digest,
            "seen": self.seen,
            "alarmed": evidence.alarmed,
            "columns": columns,
            "bins": bins,
            "log_m": _packed(evidence.log_m),
            "past": _packed(evidence.past),
            "past_squares": _packed(evidence.past_squares),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> DriftMemory:
        """Go on from what `to_json` gave.

        Raises
        ------
        ValueError
            If it is no such thing, or of a program that gathered otherwise.
        """
        try:
            kept = msgspec.convert(stored, _Stored)
        except msgspec.ValidationError as error:
            raise ValueError(f"the stored evidence of drift is damaged: {error}") from error
        if kept.format != _FORMAT:
            raise ValueError(f"the stored evidence of drift has format {kept.format}")
        shape = len(MEMORIES), kept.columns
        evidence = Evidence(
            _unpacked(kept.log_m, shape),
            _unpacked(kept.past, (*shape, kept.bins)),
            _unpacked(kept.past_squares, shape),
            kept.alarmed,
        )
        return cls(kept.digest, evidence, kept.seen)

    def fits(self, digest: str, null: Null) -> bool:
        """Whether it was gathered against this reference, over columns cut like these."""
        return self.digest == digest and self.evidence.past.shape[1:] == null.shares.shape


class _Stored(msgspec.Struct, frozen=True):
    format: int
    digest: str
    seen: int
    alarmed: bool
    columns: Annotated[int, msgspec.Meta(ge=0)]
    bins: Annotated[int, msgspec.Meta(ge=0)]
    log_m: str
    past: str
    past_squares: str


def _packed(values: Floats) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


def _unpacked(packed: str, shape: tuple[int, ...]) -> Floats:
    try:
        values = np.frombuffer(base64.b64decode(packed, validate=True), "<f4")
        return values.reshape(shape).astype(np.float64)
    except (ValueError, binascii.Error) as error:
        raise ValueError(f"the stored evidence of drift is damaged: {error}") from error
