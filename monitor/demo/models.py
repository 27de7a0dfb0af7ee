"""Two versions of a model that says how likely a car loan is repaid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MODEL_NAME: Final = "car-loan"
ALIAS: Final = "champion"


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the demo's model: the number that the registry gives it, and what it reads."""

    number: str
    columns: tuple[str, ...]


_COLUMNS_1 = ("salary_range", "debt_to_income_ratio", "driver_tenure")
VERSION_1: Final = Version("1", _COLUMNS_1)
#: Three more columns halve the error, and make the model depend on `car_value`.
VERSION_2: Final = Version(
    "2", (*_COLUMNS_1, "loan_length", "car_value", "repaid_loan_on_prev_car")
)


def is_wrong(probability: float, label: int) -> bool:
    """Say whether the answer that this probability stands for is not what came true."""
    return (probability > 0.5) != bool(label)  # noqa: PLR2004 - more likely than not
