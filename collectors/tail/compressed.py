"""The decompressed bytes of a compressed file, read forwards in bounded memory.

A rotated log is compressed by somebody else, some time after Kedge read a part of it. What
identifies it, and what offsets count, are its decompressed bytes, so that it is the same stream
before and after. Files are gzip, of one member or several one behind the other, or Zstandard,
of one frame or several.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from collectors.tail.stream_identity import HEAD_BYTES

#: Compressed bytes read at a time, and decompressed bytes made of them at most.
RAW_BYTES, STEP_BYTES = 1 << 16, 1 << 18
#: A file is given up when it has become so much larger than it was, times ...
RATIO_MAX = 500
#: ... counted from so many decompressed bytes on; smaller ones can do no harm.
RATIO_FROM_BYTES = 64 << 20
#: A file is given up behind so many decompressed bytes.
INFLATED_BYTES_MAX = 16 << 30
#: Memory that a Zstandard file may ask for: 2 to the power of this. The highest levels that
#: `zstd` has without `--ultra` ask for 8 MiB.
ZSTD_WINDOW_LOG_MAX = 25


class Decompressor(Protocol):
    """Decompresses one member of a file: the protocol of Python's own ones."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without more compressed bytes."""

    @property
    def unused_data(self) -> bytes:
        """What followed the end of the member."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return decompressed bytes, at most `max_length`."""


class GzipMember:
    """One member of a gzip file. Its checksum and length are checked at its end."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)
        self._rest = b""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without more compressed bytes."""
        return not self._rest

    @property
    def unused_data(self) -> bytes:
        """What followed the end of the member."""
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return decompressed bytes, at most `max_length`."""
        made = self._zlib.decompress(self._rest + data, max_length)
        self._rest = self._zlib.unconsumed_tail
        return made


def _zstd_frame() -> Decompressor:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - few logs are compressed with it
    else:
        from backports import zstd  # noqa: PLC0415 - few logs are compressed with it
    options = {int(zstd.DecompressionParameter.window_log_max): ZSTD_WINDOW_LOG_MAX}
    return zstd.ZstdDecompressor(options=options)


#: Ending of a file's name to what decompresses one member of it.
PACKINGS: Mapping[str, Callable[[], Decompressor]] = {".gz": GzipMember, ".zst": _zstd_frame}


class Inflated:
    """The decompressed bytes of an open file.

    Reading goes forwards; to read again what lies before the last reads means to begin anew. A
    file that ends in the middle is taken for one that is still being written. One that is
    damaged, or a bomb, ends where that was noticed: see `fault`.

    Parameters
    ----------
    descriptor
        The open file. It is not closed.
    packing
        How it is compressed: one of `PACKINGS`.
    ratio_max, inflated_bytes_max
        Limits, see `RATIO_MAX` and `INFLATED_BYTES_MAX`.
    """

    def __init__(
        self,
        descriptor: int,
        packing: str,
        *,
        ratio_max: int = RATIO_MAX,
        inflated_bytes_max: int = INFLATED_BYTES_MAX,
    ) -> None:
        self._descriptor = descriptor
        self._new_member = PACKINGS[packing]
        self._ratio_max = ratio_max
        self._inflated_bytes_max = inflated_bytes_max
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._member: Decompressor | None = None
        self._raw_at = 0
        self._unused = b""
        self._head = b""
        self._begins = 0
        self._buffer = bytearray()
        self.fault: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the file ends where a member ends; known once it was read to its end."""
        return self._member is None and self.fault is None and self._raw_at > 0

    @property
    def raw_at(self) -> int:
        """Compressed bytes that were used."""
        return self._raw_at

    @property
    def ends(self) -> int:
        """Decompressed bytes so far; once read to the end, all there are."""
        return self._begins + len(self._buffer)

    def head(self) -> bytes:
        """Return the first `HEAD_BYTES`, or as many as there are."""
        while len(self._head) < HEAD_BYTES and self._inflate():
            pass
        return self._head

    def pread(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on; fewer only at the end."""
        if offset + size <= len(self._head):
            return self._head[offset : offset + size]
        self.reach(offset)
        while self.ends < offset + size and self._inflate():
            pass
        return bytes(self._buffer[:size]) if self._begins == offset else b""

    def reach(self, offset: int, bytes_max: int | None = None) -> bool:
        """Go to an offset, or to the end if that comes before; False if there is more to do.

        Parameters
        ----------
        bytes_max
            Bytes to decompress by this call, about.
        """
        if offset < self._begins:
            self._begin_anew()
        stop = None if bytes_max is None else self.ends + bytes_max
        while self.ends < offset:
            if stop is not None and self.ends >= stop:
                return False
            self._drop(offset)
            if not self._inflate():
                break
        self._drop(offset)
        return True

    def _drop(self, offset: int) -> None:
        """Forget what lies before an offset."""
        surplus = min(offset - self._begins, len(self._buffer))
        del self._buffer[:surplus]
        self._begins += surplus

    def _inflate(self) -> bool:
        """Decompress a bit more; False if there is no more, for now or for good."""
        while self.fault is None:
            hungry = self._member is None or self._member.needs_input
            raw = self._raw()
            if self._member is None:
                if not raw:
                    return False
                raw = raw.lstrip(b"\0")  # the padding that gzip allows for
                if not raw:
                    continue
                self._member = self._new_member()
            try:
                made = self._member.decompress(raw, STEP_BYTES)
            except _damage() as error:
                self.fault = f"damaged behind {self.ends} decompressed bytes: {error}"
                return False
            if self._member.eof:
                self._unused, self._member = self._member.unused_data, None
            if made:
                self._keep(made)
                return True
            if hungry and not raw:
                return False
        return False

    def _raw(self) -> bytes:
        """Return compressed bytes for the next step."""
        if self._unused:
            raw, self._unused = self._unused, b""
            return raw
        if self._member is not None and not self._member.needs_input:
            return b""
        raw = os.pread(self._descriptor, RAW_BYTES, self._raw_at)
        self._raw_at += len(raw)
        return raw

    def _keep(self, made: bytes) -> None:
        if self.ends == len(self._head) < HEAD_BYTES:
            self._head += made[: HEAD_BYTES - len(self._head)]
        self._buffer += made
        if self.ends > max(RATIO_FROM_BYTES, self._ratio_max * self._raw_at):
            self.fault = f"given up: it becomes more than {self._ratio_max} times as large"
        elif self.ends > self._inflated_bytes_max:
            self.fault = f"given up: it becomes larger than {self._inflated_bytes_max} bytes"


def _damage() -> tuple[type[Exception], ...]:
    """Return the errors of damaged files; of Zstandard, if a file of that kind has been met."""
    modules = [sys.modules.get(name) for name in ("compression.zstd", "backports.zstd")]
    return (zlib.error, *(module.ZstdError for module in modules if module is not None))
