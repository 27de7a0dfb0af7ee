"""The demo's rows: real requests with labels, cut in four by time, and the fault put on top."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

DATA: Final = Path(__file__).parent / "data" / "car_loan.parquet"

FEATURES: Final = (
    "car_value",
    "salary_range",
    "debt_to_income_ratio",
    "loan_length",
    "repaid_loan_on_prev_car",
    "driver_tenure",
)
LABEL: Final = "label"

#: Cents in one unit of `car_value`: the factor of the fault.
CENTS: Final = 100.0


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``[begins, ends)`` of the full set."""

    begins: int
    ends: int


#: `data/README.md` says what is true of each.
TRAINING: Final = Span(0, 25_000)
REFERENCE: Final = Span(25_000, 50_000)
QUIET: Final = Span(50_000, 75_000)
DRIFTED: Final = Span(75_000, 100_000)


@dataclass(frozen=True, slots=True)
class Request:
    """One row as it goes to the scoring server, and what came true.

    Parameters
    ----------
    body
        JSON in MLflow's ``dataframe_split`` form.
    label
        1 if the loan was repaid, else 0. Kept by the sender: the server never sees it.
    """

    body: bytes
    label: int


def load(span: Span) -> pd.DataFrame:
    """Read the rows of a span: the features as their models know them, and the label.

    Numbers are 64-bit floats, because MLflow has no integer that may be missing.
    """
    table = pd.read_parquet(DATA)
    table = table[(table["row"] >= span.begins) & (table["row"] < span.ends)].set_index("row")
    numbers = ["car_value", "debt_to_income_ratio", "loan_length", "driver_tenure"]
    # Stored in 32 bits: without rounding, 0.3101 would be sent as 0.3100999891757965.
    table[numbers] = table[numbers].astype("float64").round(4)
    return table


def in_cents(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as an upstream change would send them: `car_value` in cents."""
    return table.assign(car_value=table["car_value"] * CENTS)


def requests(table: pd.DataFrame) -> list[Request]:
    """Return one request a row, in order, with every feature."""
    columns = list(FEATURES)
    rows = table[columns].astype(object).to_numpy().tolist()
    labels = table[LABEL].tolist()
    return [
        Request(
            json.dumps({"dataframe_split": {"columns": columns, "data": [row]}}).encode(),
            int(label),
        )
        for row, label in zip(rows, labels, strict=True)
    ]


def cut(full: pd.DataFrame) -> pd.DataFrame:
    """Cut the demo's rows from the full set: how `data/car_loan.parquet` was made.

    Parameters
    ----------
    full
        All 100,000 rows in time order, as `data/README.md` says after its step 2.
    """
    part = full[[*FEATURES, LABEL]].iloc[::4].copy()
    part.insert(0, "row", part.index.astype("int32"))
    for column in ("debt_to_income_ratio", "driver_tenure"):
        part[column] = part[column].round(4)
    return part
