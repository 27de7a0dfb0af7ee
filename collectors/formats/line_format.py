"""A format of lines in the words of whoever adds one.

A format is a function from one line to the exchanges it tells of; all else (columns, kinds,
joining, rejecting, counting) is here. docs/formats.md adds one in 30 lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from collectors.batch import Schema
from collectors.format import Format
from collectors.formats.exchange import Exchange
from collectors.formats.json_record import decoded
from collectors.formats.mapped import MappedFormat
from collectors.formats.options import FormatOptions
from collectors.formats.reader import Reader

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class LineFormat:
    """A kind of format, as ``format = "…"`` names it and an entry point gives it.

    Parameters
    ----------
    reader
        Makes the reader of one source.
    arrives
        Whether lines may have no time, and then count as of now.
    """

    reader: Callable[[FormatOptions], Reader]
    arrives: bool = False

    def __call__(
        self,
        model: str,
        schema: Schema | None = None,
        *,
        columns_max: int = 500,
        options: FormatOptions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Format:
        """Return a format that decodes `schema`, or learns up to `columns_max` columns."""
        options = options or FormatOptions()
        return MappedFormat(
            model,
            self.reader(options),
            schema,
            columns_max=columns_max,
            options=options,
            clock=clock if self.arrives else None,
        )


def json_lines(
    record: type[Record], *, arrives: bool = False
) -> Callable[[Callable[[Record, FormatOptions], Iterable[Exchange]]], LineFormat]:
    """Make a format of a function that is given each line as a `record`.

    Parameters
    ----------
    record
        A ``msgspec.Struct``. A line that does not fit it is rejected: for a missing key, or a
        value of a wrong type. Keys that it does not name are passed over.
    arrives
        As in `LineFormat`.
    """
    decoder = msgspec.json.Decoder(record)

    def of(exchanges: Callable[[Record, FormatOptions], Iterable[Exchange]]) -> LineFormat:
        return LineFormat(
            lambda options: EachLine(lambda line: exchanges(decoded(line, decoder), options)),
            arrives=arrives,
        )

    return of


class EachLine:
    """A reader for which each line stands for itself.

    Parameters
    ----------
    exchanges
        What a line tells of.
    """

    def __init__(self, exchanges: Callable[[bytes], Iterable[Exchange]]) -> None:
        self._exchanges = exchanges

    def read(self, line: bytes) -> Iterable[Exchange]:
        """Return what the function makes of the line."""
        return self._exchanges(line)


@json_lines(Exchange)
def EXCHANGE(line: Exchange, _options: FormatOptions) -> Iterable[Exchange]:  # noqa: N802 - a constant: the format
    """Read ``format = "exchange"``: exchanges as they are, as Kedge's own sources hand them out."""
    return (line,)
