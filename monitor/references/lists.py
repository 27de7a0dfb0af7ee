"""Lists in Parquet files as columns of vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collectors.batch import VectorColumn


def is_vectors(kind: Any) -> bool:  # noqa: ANN401 - untyped library
    """Whether a type of pyarrow's is one of lists of numbers."""
    import pyarrow as pa  # noqa: PLC0415 - it costs 50 MB

    is_list = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    return bool(
        is_list and (pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type))
    )


def vector_column(name: str, array: Any, dimensions: dict[str, int]) -> VectorColumn | None:  # noqa: ANN401 - untyped library
    """Make a column of the lists of one piece; None as long as there is no list that is not empty.

    A list of another length, or with anything but finite numbers in it, is a value of a wrong
    type.

    Parameters
    ----------
    dimensions
        Length of the lists by column, which the first one decides and which is noted here.
    """
    import numpy as np  # noqa: PLC0415 - the command line loads it only to build
    import pyarrow as pa  # noqa: PLC0415 - it costs 50 MB
    import pyarrow.compute as pc  # noqa: PLC0415 - it costs 50 MB

    from collectors.batch import VECTOR_DIMENSIONS_MAX, VectorColumn  # noqa: PLC0415 - numpy

    lengths = pc.fill_null(pc.list_value_length(array), -1).to_numpy(zero_copy_only=False)
    if name not in dimensions:
        filled = lengths[(lengths > 0) & (lengths <= VECTOR_DIMENSIONS_MAX)]
        if not filled.size:
            return None
        dimensions[name] = int(filled[0])
    length = dimensions[name]
    fits = lengths == length
    # Lists of a fixed size have room for those that are null, too.
    known = array.filter(pa.array(fits))
    flat = known.flatten().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    values = np.full((len(lengths), length), np.nan)
    values[fits] = flat.reshape(-1, length)
    values[~np.isfinite(values).all(axis=1)] = np.nan
    wrong = (lengths >= 0) & np.isnan(values[:, 0])
    return VectorColumn(values, tuple(np.flatnonzero(wrong).tolist()))
