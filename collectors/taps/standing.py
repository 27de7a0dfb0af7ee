"""What a tap's process is told, and what it tells: a file beside its spool."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from collectors.taps.settings import (
    CloudEventsSettings,
    MirrorSettings,
    ProxySettings,
    TapSettings,
)

#: Changes with what the process does, so that one of an earlier Kedge is not taken over.
PROTOCOL = 1
FILE = "tap.json"
#: The limits that cut a caller off, as its counts name them.
CUT_OFF: Final = ("tap_connections", "tap_slow_head", "tap_slow_reader")


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to do.

    Parameters
    ----------
    name
        Of the source, for the log.
    proxy, mirror, cloudevents
        The settings of the one that it is.
    after
        Up to where the spool was read by the last commit, as a stored position.
    """

    name: str
    proxy: ProxySettings | None = None
    mirror: MirrorSettings | None = None
    cloudevents: CloudEventsSettings | None = None
    after: Mapping[str, int] | None = None

    @property
    def settings(self) -> TapSettings:
        """The settings of the one that it is."""
        settings = self.proxy or self.mirror or self.cloudevents
        if settings is None:
            raise ValueError("an errand is for a proxy, a mirror or a listener for CloudEvents")
        return settings


class Standing(msgspec.Struct, frozen=True):
    """How a process stands.

    Parameters
    ----------
    pid
        Its number.
    errand
        A digest of its settings.
    address
        Where it listens.
    counts
        What its limits have cost, by name, since it began.
    """

    pid: int
    errand: str
    address: str
    counts: Mapping[str, int]


def digest(errand: Errand) -> str:
    """Return what is equal for equal settings."""
    settings: tuple[object, ...] = (PROTOCOL, errand.proxy, errand.mirror)
    if errand.cloudevents is not None:
        settings = (*settings, errand.cloudevents)
    told = msgspec.json.encode(settings)
    return hashlib.sha256(told).hexdigest()


def write_standing(folder: Path, standing: Standing) -> None:
    """Replace the file; a disk that does not take it is left for next time."""
    new = folder / f"{FILE}.new"
    with contextlib.suppress(OSError):
        new.write_bytes(msgspec.json.encode(standing))
        new.replace(folder / FILE)


def read_standing(folder: Path) -> Standing | None:
    """Return what the last process told; None if nothing."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Standing)
    except (OSError, msgspec.DecodeError):
        return None


def is_taken(folder: Path) -> bool:
    """Whether a living process holds the spool."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def is_tap(pid: int) -> bool:
    """Whether a process is a tap's: numbers of processes are used again."""
    try:
        return b"collectors.taps.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
