"""Parameters of a request: what its answer depends on beside its rows (MLflow's ``params``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

#: Longer ones are not kept: requests wait in memory with theirs.
PARAMS_BYTES_MAX: Final = 16 * 1024
#: Stands for parameters that are too long to be kept, or are none that a server takes.
UNKEPT: Final = ""


def params_text(value: object) -> str | None:
    """Return parameters as JSON text; None where there are none.

    Examples
    --------
    >>> params_text({"top_k": 3}), params_text({}), params_text(None)
    ('{"top_k":3}', None, None)
    >>> params_text({"prompt": "x" * 20_000}), params_text([3])
    ('', '')
    """
    if isinstance(value, msgspec.Raw):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return UNKEPT
    if value is None or value == {}:
        return None
    if not isinstance(value, Mapping):
        return UNKEPT
    try:
        text = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError):
        return UNKEPT
    return text.decode() if len(text) <= PARAMS_BYTES_MAX else UNKEPT


def params_by_row(values: Sequence[Any]) -> Sequence[str | None]:
    """Return the parameters of each row's request as text; nothing where no row has any.

    Rows of one request that share an object share its text.
    """
    if values.count(None) == len(values):
        return ()
    known: dict[int, str | None] = {}
    for value in values:
        if id(value) not in known:
            known[id(value)] = params_text(value)
    found = [known[id(value)] for value in values]
    return found if any(one is not None for one in found) else ()
