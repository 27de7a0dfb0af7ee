"""``format = "auto"``: tells the format by the first lines, and then is that format."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from collectors.batch import Decoded, Schema
from collectors.format import Format, Holding
from collectors.formats.event_line import Unusable, parse_line, split_lines
from collectors.formats.line_format import LineFormat
from collectors.formats.options import FormatOptions
from collectors.labels import JoinsLabels
from collectors.segments import ReadsSegments

#: Lines that are looked at, and bytes; of a log that they do not tell, Kedge's own is assumed.
LINES_MAX = 20
BYTES_MAX = 1 << 20
#: What a log is whose lines nobody knows: then they are rejected by name.
FALLBACK = "kedge"
_DEPTH_MAX = 64


class _State(msgspec.Struct):
    name: str | None
    held: bytes
    inner: bytes | None


class AutoFormat:
    """Holds lines back until one of them tells which format they are of.

    Parameters
    ----------
    kinds
        Formats by name, the more particular first: the first one that can use a line is it.
    model, schema, columns_max, options
        As of every format.
    """

    def __init__(
        self,
        kinds: Mapping[str, Callable[..., Format]],
        model: str,
        schema: Schema | None = None,
        *,
        columns_max: int = 500,
        options: FormatOptions | None = None,
    ) -> None:
        self._kinds = kinds
        self._model = model
        self._arguments: dict[str, Any] = {
            "columns_max": columns_max,
            "options": options or FormatOptions(),
        }
        self._schema = schema or Schema({})
        self._learning = schema is None
        self._joins_labels = False
        self._segment_keys: Sequence[str] = ()
        self._held = b""
        self._inner: Format | None = None
        self.name: str | None = None

    @property
    def schema(self) -> Schema:
        """The columns decoded now."""
        return self._schema if self._inner is None else self._inner.schema

    @property
    def columns_overflow(self) -> int:
        """How many new columns were refused because there were too many."""
        return 0 if self._inner is None else self._inner.columns_overflow

    def fix(self, schema: Schema) -> None:
        """From now on decode exactly the columns of `schema`."""
        self._schema, self._learning = schema, False
        if self._inner is not None:
            self._inner.fix(schema)

    def learn(self, schema: Schema) -> None:
        """Start from the columns of `schema`, and go on learning."""
        self._schema, self._learning = schema, True
        if self._inner is not None:
            self._inner.learn(schema)

    def join_labels(self) -> None:
        """From now on hand out what labels join on, once it is known which format this is."""
        self._joins_labels = True
        inner = self._inner
        if inner is not None and isinstance(inner, JoinsLabels):
            inner.join_labels()

    def read_segments(self, keys: Sequence[str]) -> None:
        """From now on hand out segments, once it is known that this format has any."""
        self._segment_keys = keys
        inner = self._inner
        if inner is not None and isinstance(inner, ReadsSegments):
            inner.read_segments(keys)

    def decode(self, lines: bytes) -> Decoded:
        """Make columns of whole lines, once it is known what they are."""
        if self._inner is not None:
            return self._inner.decode(lines)
        self._held += lines
        first = split_lines(self._held)[:LINES_MAX]
        name = recognised(first, self._kinds, self._arguments["options"])
        if name is None and len(first) < LINES_MAX and len(self._held) < BYTES_MAX:
            return Decoded(())
        return self._be(name or FALLBACK)

    def expire(self, wall: float, silent_s: float) -> Decoded:
        """Settle for the fallback when no further line comes."""
        if self._inner is None:
            return self._be(FALLBACK) if self._held and silent_s > 0 else Decoded(())
        return (
            self._inner.expire(wall, silent_s) if isinstance(self._inner, Holding) else Decoded(())
        )

    def held_since(self) -> float:
        """Return the oldest event time kept back; anything may stand in lines not yet read."""
        if self._inner is None:
            return -math.inf if self._held else math.inf
        return self._inner.held_since() if isinstance(self._inner, Holding) else math.inf

    def encode(self) -> bytes | None:
        """Return the format once it is known, what it keeps, and lines held back until then."""
        inner = self._inner.encode() if isinstance(self._inner, Holding) else None
        if self.name is None and not self._held:
            return None
        return msgspec.msgpack.encode(_State(self.name, self._held, inner))

    def restore(self, state: bytes) -> None:
        """Go on where `encode` stood; what cannot be read is dropped."""
        try:
            kept = msgspec.msgpack.decode(state, type=_State)
        except msgspec.DecodeError:
            return
        self._held = kept.held
        if kept.name is None or kept.name not in self._kinds:
            return
        inner = self._become(kept.name)
        if kept.inner is not None and isinstance(inner, Holding):
            inner.restore(kept.inner)

    def _be(self, name: str) -> Decoded:
        held, self._held = self._held, b""
        return self._become(name).decode(held)

    def _become(self, name: str) -> Format:
        inner = self._kinds[name](self._model, None, **self._arguments)
        (inner.learn if self._learning else inner.fix)(self._schema)
        if self._joins_labels and isinstance(inner, JoinsLabels):
            inner.join_labels()
        if self._segment_keys and isinstance(inner, ReadsSegments):
            inner.read_segments(self._segment_keys)
        self._inner, self.name = inner, name
        return inner


def recognised(
    lines: list[bytes], kinds: Mapping[str, Callable[..., Format]], options: FormatOptions
) -> str | None:
    """Name the format of the first line that any format can use; None if none can."""
    for line in lines:
        for name, kind in kinds.items():
            if _is_event(line) if name == FALLBACK else _can_use(kind, line, options):
                return name
    return None


def _is_event(line: bytes) -> bool:
    try:
        event = parse_line(line, depth_max=_DEPTH_MAX)
    except Unusable:
        return False
    has_values = isinstance(event.get("features"), dict) or "prediction" in event
    return "ts" in event and has_values


def _can_use(kind: Callable[..., Format], line: bytes, options: FormatOptions) -> bool:
    if not isinstance(kind, LineFormat):
        return False
    try:
        # A line of names makes no exchange, and yet is understood.
        list(kind.reader(options).read(line))
    except Exception:  # noqa: BLE001 - whatever is wrong, it is not this format
        return False
    return True
