"""The daemon is killed while another process writes and rotates: a short series.

`python -m benchmarks.crash` runs the long one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.crash import ROTATIONS, crash

pytestmark = pytest.mark.real


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_killed_at_random_instants_no_line_is_lost_and_none_counted_twice(
    tmp_path: Path, rotation: str
) -> None:
    outcome = crash(tmp_path, kills=4, rotation=rotation, seed=3)

    assert outcome.rotations > 0
    assert (outcome.lost, outcome.repeated) == (0, 0), outcome
