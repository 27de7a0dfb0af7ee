"""Decoding in other processes, ahead of the one that counts.

Counting goes on in order, in one process, because what is late and when a window closes depend
on the order. Decoding does not, as long as a format starts from the same point: from the columns
that it knows by then, and from what it keeps back. So a chunk is decoded elsewhere from the point
that is known when it is read, and what came of it is used only if that is the point at which its
turn has come, and if it left nothing behind. Everything else (columns being learnt, halves of
events that wait for each other) is decoded here, in order. The result is the same either way.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

from collectors.batch import ColumnKind, Decoded, Schema
from collectors.format import Format, Holding
from collectors.labels import JoinsLabels
from monitor.replay.old_logs import Piece, Reading, lines_of

#: So many chunks in a row that were decoded for nothing: this log is decoded in one process.
VAIN_MAX: Final = 24


@dataclass(frozen=True, slots=True)
class Standing:
    """All that decoding depends on, beside the lines.

    Parameters
    ----------
    format
        Name of the format.
    fixed
        Whether exactly these columns are decoded; otherwise more are learnt.
    columns
        Columns known, in their order.
    kept
        What the format keeps back.
    dimensions
        Length of the arrays of columns of vectors.
    """

    format: str
    fixed: bool
    columns: tuple[tuple[str, ColumnKind], ...]
    kept: bytes | None
    dimensions: tuple[tuple[str, int], ...] = ()

    def after(self, format_: Format) -> Standing:
        """Return where the format stands that started from here."""
        kept = format_.encode() if isinstance(format_, Holding) else None
        if self.fixed:
            return replace(self, kept=kept)
        schema = format_.schema
        return replace(
            self,
            columns=tuple(schema.columns.items()),
            kept=kept,
            dimensions=tuple(schema.dimensions.items()),
        )

    def put_into(self, format_: Format) -> None:
        """Bring a new format to this point."""
        schema = Schema(dict(self.columns), dict(self.dimensions))
        (format_.fix if self.fixed else format_.learn)(schema)
        if self.kept is not None and isinstance(format_, Holding):
            format_.restore(self.kept)


@dataclass(frozen=True, slots=True)
class Answer:
    """What another process made of a piece.

    Parameters
    ----------
    lines
        The lines, where they were made of rows.
    overflow
        Columns that were refused.
    """

    before: Standing
    after: Standing
    lines: bytes | None
    decoded: Decoded
    overflow: int


#: Makes a format by its name.
Make: TypeAlias = Callable[[str], Format]


class _Worker:
    """The other side: one in each process."""

    def __init__(self, reading: Reading, *, joins_labels: bool) -> None:
        self._reading = reading
        self._joins_labels = joins_labels
        self._format: Format | None = None
        self._stands: Standing | None = None

    def decode(self, piece: Piece, before: Standing) -> Answer:
        """Decode a piece from a point."""
        format_ = self._format
        if format_ is None or self._stands != before:
            format_ = self._format = self._reading.make(before.format)
            before.put_into(format_)
            if self._joins_labels and isinstance(format_, JoinsLabels):
                format_.join_labels()
        overflow = format_.columns_overflow
        lines = lines_of(piece, self._reading.options)
        decoded = format_.decode(lines)
        self._stands = before.after(format_)
        return Answer(
            before,
            self._stands,
            lines if piece.rows is not None else None,
            decoded,
            format_.columns_overflow - overflow,
        )


_worker: _Worker | None = None


def _begin(reading: Reading, *, joins_labels: bool) -> None:
    global _worker  # noqa: PLW0603 - what a process of the pool is made with
    # Ctrl-C goes to the whole group; who asked for the work ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = _Worker(reading, joins_labels=joins_labels)


def _decode(piece: Piece, before: Standing) -> Answer:
    if _worker is None:
        raise RuntimeError("the process was not begun")
    return _worker.decode(piece, before)


class Pool:
    """Processes that decode.

    Parameters
    ----------
    processes
        How many.
    """

    def __init__(self, reading: Reading, processes: int, *, joins_labels: bool) -> None:
        self.pieces_max = 2 * processes + 4
        # Not forked: a library may have started threads by now, which a fork would lose.
        self._executor = ProcessPoolExecutor(
            processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=partial(_begin, reading, joins_labels=joins_labels),
        )

    def decode(self, piece: Piece, before: Standing) -> Future[Answer]:
        """Have a piece decoded."""
        return self._executor.submit(_decode, piece, before)

    def close(self) -> None:
        """End the processes, and drop what they have not begun."""
        self._executor.shutdown(wait=True, cancel_futures=True)


@dataclass(slots=True)
class Expected:
    """Lines that were handed out and are about to be decoded.

    Parameters
    ----------
    answer
        What was made of them elsewhere, if anything was.
    heard
        Told of the largest event time in them.
    """

    lines: bytes
    format: str
    answer: Answer | None
    heard: Callable[[float], None]
    left: int = 0


class FormatAhead:
    """A format that takes what was decoded elsewhere where that is the same.

    Parameters
    ----------
    make
        Makes a format by its name; a log may have files of several.

    Attributes
    ----------
    unread
        Tells the oldest event time that may still come out of lines not yet read.
    heard
        Told the newest event time of what was kept back, when it is given up.
    vain
        So many pieces in a row were decoded elsewhere for nothing.
    """

    def __init__(self, make: Make) -> None:
        self._make = make
        self._formats: dict[str, Format] = {}
        self._schema = Schema({})
        self._fixed = self._joins_labels = False
        self._behind: set[str] = set()  # formats that have not heard of the latest columns
        self._expected: deque[Expected] = deque()
        self._overflow = 0
        self.unread: Callable[[], float] = lambda: math.inf
        self.heard: Callable[[float], None] = lambda _ts: None
        self.vain = 0

    @property
    def schema(self) -> Schema:
        """The columns decoded now."""
        return self._schema

    @property
    def columns_overflow(self) -> int:
        """How many new columns were refused because there were too many."""
        return self._overflow

    def fix(self, schema: Schema) -> None:
        """From now on decode exactly the columns of `schema`."""
        self._schema, self._fixed = schema, True
        self._behind = set(self._formats)

    def learn(self, schema: Schema) -> None:
        """Start from the columns of `schema`, and go on learning."""
        self._schema, self._fixed = schema, False
        self._behind = set(self._formats)

    def join_labels(self) -> None:
        """From now on hand out what labels join on."""
        self._joins_labels = True

    @property
    def joins_labels(self) -> bool:
        """Whether what labels join on is handed out."""
        return self._joins_labels

    def standing(self, name: str) -> Standing:
        """Where decoding stands for lines of a format."""
        format_ = self._formats.get(name)
        kept = format_.encode() if isinstance(format_, Holding) else None
        columns, dimensions = self._schema.columns.items(), self._schema.dimensions.items()
        return Standing(name, self._fixed, tuple(columns), kept, tuple(dimensions))

    def expect(self, expected: Expected) -> None:
        """Hear of lines that come next."""
        expected.left = len(expected.lines)
        if expected.left:
            self._expected.append(expected)

    def decode(self, lines: bytes) -> Decoded:
        """Make columns of lines that were expected, or of a part of them."""
        expected = self._expected[0]
        expected.left -= len(lines)
        if expected.left <= 0:
            self._expected.popleft()
        decoded = None
        if lines is expected.lines and expected.answer is not None:
            decoded = self._accepted(expected.answer)
        if decoded is None:
            name = expected.format
            decoded = self._in_order(name, partial(self._own(name).decode, lines))
        newest = max((float(one.ts.max()) for one in decoded.batches), default=None)
        if newest is not None:
            expected.heard(newest)
        return decoded

    def expire(self, wall: float, silent_s: float) -> Decoded:
        """Give up what was kept back for too long, in any format."""
        given_up = [
            self._in_order(name, partial(self._holding(name).expire, wall, silent_s))
            for name, format_ in self._formats.items()
            if isinstance(format_, Holding)
        ]
        batches = [batch for one in given_up for batch in one.batches]
        if batches:
            self.heard(max(float(batch.ts.max()) for batch in batches))
        return Decoded(
            batches,
            [rejection for one in given_up for rejection in one.rejections],
            joined=sum(one.joined for one in given_up),
            alone=sum(one.alone for one in given_up),
        )

    def held_since(self) -> float:
        """Return the oldest event time that is kept back, or may be unread; ``inf`` of nothing."""
        holding = [one for one in self._formats.values() if isinstance(one, Holding)]
        return min((self.unread(), *(one.held_since() for one in holding)))

    def encode(self) -> bytes | None:
        """Return None: a replay keeps nothing."""
        return None

    def restore(self, state: bytes) -> None:
        """Do nothing: there is nothing to go on from."""

    def _accepted(self, answer: Answer) -> Decoded | None:
        """Return what was decoded elsewhere, if it would have come out the same here."""
        name = answer.before.format
        if answer.before != self.standing(name) or answer.after.kept != answer.before.kept:
            self.vain += 1
            return None
        self.vain = 0
        self._overflow += answer.overflow
        if answer.after.columns != answer.before.columns:
            self._schema = Schema(dict(answer.after.columns), dict(answer.after.dimensions))
            self._behind = set(self._formats)
        return answer.decoded

    def _own(self, name: str) -> Format:
        """Return the format of this process, which knows all columns."""
        if name not in self._formats:
            self._formats[name] = self._make(name)
            self._behind.add(name)
        format_ = self._formats[name]
        if name in self._behind:
            (format_.fix if self._fixed else format_.learn)(self.schema)
            self._behind.discard(name)
            if self._joins_labels and isinstance(format_, JoinsLabels):
                format_.join_labels()
        return format_

    def _holding(self, name: str) -> Holding:
        format_ = self._own(name)
        assert isinstance(format_, Holding)  # noqa: S101 - who asks has looked
        return format_

    def _in_order(self, name: str, decode: Callable[[], Decoded]) -> Decoded:
        """Decode here, and let the other formats know what columns this one has learnt."""
        format_ = self._own(name)
        overflow = format_.columns_overflow
        decoded = decode()
        self._overflow += format_.columns_overflow - overflow
        schema = format_.schema
        if not self._fixed and list(schema.columns.items()) != list(self._schema.columns.items()):
            self._schema = schema
            self._behind = set(self._formats) - {name}
        return decoded
