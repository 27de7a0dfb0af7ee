"""Which events are the same one sent twice."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import msgspec

#: Values that stand for no value.
_NOTHING = (b"", b"null")


class _Event(msgspec.Struct):
    """The parts of a line that say which event it is, as they are written."""

    id: msgspec.Raw = msgspec.Raw()
    ts: msgspec.Raw = msgspec.Raw()
    role: msgspec.Raw = msgspec.Raw()
    version: msgspec.Raw = msgspec.Raw()
    features: msgspec.Raw = msgspec.Raw()
    prediction: msgspec.Raw = msgspec.Raw()
    label: msgspec.Raw = msgspec.Raw()
    ce: msgspec.Raw = msgspec.Raw()


class _Attributes(msgspec.Struct):
    """What a CloudEvent is told by: request and response share one id, and differ in type."""

    id: str
    source: str = ""
    type: str = ""


class NotAnObjectError(ValueError):
    """A line that is not one JSON object."""


_event = msgspec.json.Decoder(_Event)
_attributes = msgspec.json.Decoder(_Attributes)


def event_key(line: bytes) -> int | None:
    """Return what is equal for the same event sent twice; None for an event without an id.

    Only the id is asked for most events. A request's features, its prediction, its label and
    the answers of further versions are events of their own under one id. A label is the same
    only with the same value and time: of two, the later one wins.

    Keys are Python's hashes: 64 bits, salted anew in each process. Among 100,000 remembered
    keys a new event is taken for one of them once in 10^14 events.

    Raises
    ------
    NotAnObjectError
        The line is not one JSON object, or is nested too deep to be looked at.
    """
    try:
        event = _event.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnObjectError(str(error)) from error
    if bytes(event.ce) not in _NOTHING:
        return _cloud_event_key(bytes(event.ce))
    identity = bytes(event.id)
    if identity in _NOTHING:
        return None
    features, prediction, label = (
        bytes(value) not in _NOTHING for value in (event.features, event.prediction, event.label)
    )
    key: tuple[Hashable, ...] = (identity, bytes(event.role), bytes(event.version))
    if features or prediction:
        return hash((*key, features, prediction))
    return hash((*key, label, bytes(event.label), bytes(event.ts)))


def _cloud_event_key(attributes: bytes) -> int | None:
    try:
        found = _attributes.decode(attributes)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return hash((found.source, found.id, found.type))


class RecentKeys:
    """The keys of the last events, a bounded number of them.

    Parameters
    ----------
    limit
        Keys remembered; about 100 bytes each.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._keys: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: int) -> bool:
        """Remember a key; False when it was known."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self._limit:
            del self._keys[next(iter(self._keys))]
        return True

    def forget(self, keys: Iterable[int]) -> None:
        """Forget keys of events that did not reach the disk."""
        for key in keys:
            self._keys.pop(key, None)
