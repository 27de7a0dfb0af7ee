"""Well-formed requests read in one step, straight into the types that the signature states.

Nearly every request has the columns that the model takes, in their types. For those the signature
is compiled into decoders: JSON goes to rows without a look at single cells in Python. Whatever the
decoders refuse (a null, a number in quotes, a column less) is no error here: it is read again by
`scoring.protocol.protocol` and `scoring.protocol.plan`, which know all of MLflow's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import numpy as np

from scoring.protocol.cast import cast
from scoring.protocol.signature import ColumnSpec, ColumnType, Signature
from scoring.protocol.table import Block, Columns, Table

#: The cells of one row, in the order of the signature's columns.
Row: TypeAlias = Sequence[Any]

#: What a cell of each type is in JSON when nothing has to be converted.
_TYPES: Final[Mapping[ColumnType, Any]] = {
    "double": float,
    "float": float,
    "long": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    "integer": Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)],
    "string": str,
    "boolean": bool,
}
#: Wider signatures are read column by column: their decoders would be as large as their rows.
COLUMNS_MAX: Final = 2000


class LoggedRows(msgspec.Struct, frozen=True, gc=False):
    """The rows of one request, as far as the prediction log is concerned.

    Parameters
    ----------
    layout
        A structure with a field a column, which encodes to an object faster than a dict does.
    """

    layout: Callable[..., Any]
    cells: Sequence[Row]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.cells)

    def features(self) -> list[Any]:
        """Return an object a row, which msgspec encodes."""
        layout = self.layout
        return [layout(*row) for row in self.cells]


class RowReader:
    """Reads requests for a signature of named columns.

    Parameters
    ----------
    columns
        At least one, all named, of types that `row_reader` lets pass.
    frame_columns
        A pandas Index for models that take a frame; None for those that take an array.
    """

    def __init__(self, columns: tuple[ColumnSpec, ...], frame_columns: Any) -> None:  # noqa: ANN401 - pandas has none at this point
        self._columns = columns
        self._names = [str(column.name) for column in columns]
        self._frame_columns = frame_columns
        self.width = len(columns)
        self.doubles = all(column.type == "double" for column in columns)
        fields = [(f"c{i}", _TYPES[column.type]) for i, column in enumerate(columns)]
        renamed = {field: name for (field, _), name in zip(fields, self._names, strict=True)}
        self._record = msgspec.defstruct("Record", fields, rename=renamed, gc=False)
        # A list of floats is read and made an array faster than a structure of them.
        row: Any = list[float]
        if not self.doubles:
            row = msgspec.defstruct(
                "Row", fields, array_like=True, forbid_unknown_fields=True, gc=False
            )
        split = msgspec.defstruct(
            "Split", [("columns", list[str]), ("data", list[row])], forbid_unknown_fields=True
        )
        request = msgspec.defstruct(
            "Request",
            [
                ("dataframe_split", split | None, None),
                ("dataframe_records", list[self._record] | None, None),  # type: ignore[name-defined] # a structure made above
            ],
            forbid_unknown_fields=True,
        )
        self._decode = msgspec.json.Decoder(request).decode

    def read(self, body: bytes) -> LoggedRows | None:
        """Return the rows of a request, at least one; None for one that is not plain."""
        try:
            request: Any = self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        split, records = request.dataframe_split, request.dataframe_records
        if records:
            return (
                LoggedRows(self._record, [msgspec.structs.astuple(record) for record in records])
                if split is None
                else None
            )
        if split is None or records is not None or split.columns != self._names or not split.data:
            return None
        rows = split.data
        if not self.doubles:
            rows = [msgspec.structs.astuple(row) for row in rows]
        elif any(len(row) != len(self._names) for row in rows):
            return None
        return LoggedRows(self._record, rows)

    def table(self, rows: Sequence[Row]) -> Table:
        """Return the table of rows, those of several requests one after the other."""
        if self.doubles:
            values = np.array(rows, dtype=np.float64)
            return Block(tuple(self._names), values, self._frame_columns)
        cells = zip(*rows, strict=True)
        named = zip(self._names, self._columns, cells, strict=True)
        return Columns({name: cast(c, spec.type, name) for name, spec, c in named}, len(rows))


def row_reader(signature: Signature, frame_columns: Any) -> RowReader | None:  # noqa: ANN401 - as above
    """Return the reader of a signature; None where requests have to be looked at in detail."""
    columns = tuple(spec for spec in signature.inputs if isinstance(spec, ColumnSpec))
    names = {column.name for column in columns}
    if not columns or len(columns) != len(signature.inputs) or len(columns) > COLUMNS_MAX:
        return None
    if None in names or len(names) < len(columns):
        return None
    if not all(column.required and column.type in _TYPES for column in columns):
        return None
    return RowReader(columns, frame_columns)
