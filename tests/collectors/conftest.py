from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.collectors.following import Following


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "predictions.jsonl"


@pytest.fixture
def follow() -> Iterator[Callable[..., Following]]:
    made: list[Following] = []

    def make(*args: object, **settings: object) -> Following:
        made.append(Following(*args, **settings))  # type: ignore[arg-type] # passed through
        return made[-1]

    yield make
    for one in made:
        one.tail.close()
