"""Recorded streams for `benchmarks.detection`: rows of a Parquet file, with what is known of them.

A case is an object of a JSON list: ``id``; ``file``, a Parquet file beside the list; ``columns``;
``natural`` (``ref`` and ``stream``, half-open ranges of rows, after ``where``, a query) or
``compose`` (``seed``, and for ``ref`` and ``stream`` lists of ``[query, rows]`` to take shuffled
rows from, or ``[[[query, share], ...], rows]`` for a mixture); ``drifts``, with ``start`` and
``stop`` as rows of the stream; ``null``, ranges without drift; ``windows``, rows of a window.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.streams import Stream
from collectors.batch import CategoryColumn, Column, NumberColumn

if TYPE_CHECKING:
    import pandas as pd

WINDOW_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded stream, or the reason why there is none.

    Parameters
    ----------
    truth
        For each window whether it drifts; None where it is not known, or in part only.
    """

    name: str
    stream: Stream | None
    truth: tuple[bool | None, ...] = ()
    reason: str = ""


def recorded(path: Path) -> Iterator[Recorded]:
    """Read the cases of a list, each at its longest window."""
    for case in json.loads(path.read_text()):
        try:
            yield _recorded(case, path.parent)
        except (OSError, KeyError, ValueError) as error:
            yield Recorded(case.get("id", "?"), None, reason=f"left out: {error}")


def _recorded(case: Mapping[str, Any], folder: Path) -> Recorded:
    import pandas as pd  # noqa: PLC0415 - only where there are recorded streams

    rows = pd.read_parquet(folder / case["file"])
    before, after = _composed(rows, case["compose"]) if "compose" in case else _cut(rows, case)
    window = max(case.get("windows", [WINDOW_ROWS]))
    columns = case["columns"]
    stream = Stream("recorded", None, _columns(before, columns), _columns(after, columns), window)
    truth = tuple(
        _truth(case, start, start + window) for start in range(0, len(after) - window + 1, window)
    )
    return Recorded(case["id"], stream, truth)


def _cut(rows: pd.DataFrame, case: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    natural = case["natural"]
    if "where" in natural:
        rows = rows.query(natural["where"])
    return rows.iloc[slice(*natural["ref"])], rows.iloc[slice(*natural["stream"])]


def _composed(rows: pd.DataFrame, recipe: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd  # noqa: PLC0415

    random = np.random.default_rng(recipe["seed"])
    left: dict[str, pd.DataFrame] = {}

    def take(query: str, wanted: int) -> pd.DataFrame:
        if query not in left:
            left[query] = rows.query(query).sample(frac=1, random_state=random)
        taken, left[query] = left[query].iloc[:wanted], left[query].iloc[wanted:]
        return taken

    def side(parts: list[Any]) -> pd.DataFrame:
        found = []
        for source, wanted in parts:
            if isinstance(source, str):
                found.append(take(source, wanted))
                continue
            mixed = pd.concat([take(query, round(share * wanted)) for query, share in source])
            found.append(mixed.sample(frac=1, random_state=random))
        return pd.concat(found)

    return side(recipe["ref"]), side(recipe["stream"])


def _columns(rows: pd.DataFrame, names: list[str]) -> dict[str, Column]:
    import pandas as pd  # noqa: PLC0415

    columns: dict[str, Column] = {}
    for name in names:
        values = rows[name]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            columns[name] = NumberColumn(values.to_numpy(np.float64, na_value=np.nan))
        else:
            columns[name] = CategoryColumn(
                [None if pd.isna(value) else str(value) for value in values.tolist()]
            )
    return columns


def _truth(case: Mapping[str, Any], start: int, stop: int) -> bool | None:
    if any(drift["start"] <= start and stop <= drift["stop"] for drift in case["drifts"]):
        return True
    return False if any(low <= start and stop <= high for low, high in case["null"]) else None
