"""Who may ask: API keys from a file that holds their hashes, and how often each may.

A line of the file is ``NAME:HASH``, the hash being SHA-256 in hexadecimal of the key; blank lines
and lines that begin with ``#`` are skipped. Keys are random and long, so that a plain hash keeps
them. The file is read again when it changes: a key is rotated by adding the next one, moving the
callers, and taking the former one away.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

from scoring.protocol.protocol import ScoringError

logger = logging.getLogger("kedge.scoring.keys")

#: How often the file is looked at for a change.
LOOK_S: Final = 1.0
KEYS_MAX: Final = 10_000
#: What is beyond does not end with a whole line, and is refused as such.
_FILE_CHARACTERS_MAX: Final = 4 * 1024 * 1024
_LINE: Final = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-f]{64})")
_BEARER: Final = "bearer "


class KeyFileError(ValueError):
    """The file of API keys cannot be used; the message says which line and why."""


def parse_keys(text: str) -> dict[bytes, str]:
    """Return the name of each key by the key's hash.

    Raises
    ------
    KeyFileError
        A line is not ``NAME:HASH``, or there is no key at all.

    Examples
    --------
    >>> list(parse_keys("billing:" + "ab" * 32).values())
    ['billing']
    """
    keys: dict[bytes, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise KeyFileError(f"line {number} is not NAME:HASH, the hash of 64 hexadecimal digits")
        keys[bytes.fromhex(found[2])] = found[1]
    if not keys or len(keys) > KEYS_MAX:
        raise KeyFileError(f"it holds {len(keys)} keys; it must hold 1 to {KEYS_MAX}")
    return keys


class Keys:
    """The keys of a file, as it is now.

    Raises
    ------
    KeyFileError
        At the start only: later, a file that is no good leaves the keys as they were.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._stamp: tuple[int, int, int] | None = None
        self._keys: Mapping[bytes, str] = {}
        self._looked = clock()
        self._read()

    def name_of(self, key: str) -> str | None:
        """Return the name of a key; None for one that is not in the file.

        What is compared are hashes, so that the time it takes tells nothing of the keys.
        """
        now = self._clock()
        if now - self._looked >= LOOK_S:
            self._looked = now
            try:
                self._read()
            except KeyFileError as error:
                logger.warning("%s; the keys stay as they were", error)
        return self._keys.get(hashlib.sha256(key.encode()).digest())

    def _read(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            # Noted before it is read: a file that is no good is told once.
            self._stamp = stamp
            with self._path.open(encoding="utf-8") as file:
                self._keys = parse_keys(file.read(_FILE_CHARACTERS_MAX))
        except (OSError, UnicodeDecodeError, KeyFileError) as error:
            raise KeyFileError(f"cannot use the API keys in {self._path}: {error}") from error


class Bucket:
    """A budget of requests that fills up steadily.

    Parameters
    ----------
    rate
        Requests a second; a second's worth may come at once.
    """

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._burst = max(rate, 1.0)
        self._left = self._burst
        self._at = now

    def takes(self, now: float) -> bool:
        """Take one request out of the budget; False when it is spent."""
        self._left = min(self._left + (now - self._at) * self._rate, self._burst)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Gate:
    """Lets requests in, or says why not.

    Parameters
    ----------
    keys
        None: everybody may ask.
    rate
        Requests a second of each key, or of all callers together where there are no keys; None:
        no limit.
    """

    def __init__(
        self,
        keys: Keys | None = None,
        rate: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._rate = rate
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def refuses(self, authorization: str, api_key: str) -> ScoringError | None:
        """Return the error for a request that is not let in; None for one that is."""
        name = ""
        if self._keys is not None:
            given = api_key
            if not given and authorization[: len(_BEARER)].lower() == _BEARER:
                given = authorization[len(_BEARER) :].strip()
            known = self._keys.name_of(given) if given else None
            if known is None:
                return ScoringError(
                    "send a valid API key: Authorization: Bearer KEY, or X-API-Key: KEY",
                    status=HTTPStatus.UNAUTHORIZED,
                )
            name = known
        if self._rate is None:
            return None
        now = self._clock()
        # Names come from the file alone, so there are as many buckets as it ever named.
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(self._rate, now)
        if bucket.takes(now):
            return None
        return ScoringError(
            f"over {self._rate:g} requests a second: slow down",
            status=HTTPStatus.TOO_MANY_REQUESTS,
        )
