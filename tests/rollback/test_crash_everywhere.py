"""Every kind of step, as a process that is killed around every call it makes.

`python -m benchmarks.crash_everywhere` does the same for all of them, and prints the counts.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.crash_everywhere import crash
from rollback.kinds import STEP_KINDS
from tests.rollback.actuator_process import ActuatorProcesses
from tests.rollback.killed_scenes import SCENES


def test_there_is_a_scene_for_every_kind_of_step() -> None:
    assert SCENES.keys() == STEP_KINDS.keys()


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("kind", SCENES)
async def test_wherever_it_is_killed_the_end_is_the_same_by_one_change(
    kind: str, mlflow_uri: str, tmp_path: Path
) -> None:
    async with ActuatorProcesses() as processes:
        tally = await crash(kind, mlflow_uri, tmp_path, processes)

    assert tally.kills >= 20
    assert (tally.same, tally.single) == (tally.kills, tally.kills)
