"""World drift and model regression, played through judging and decision: what is rolled back."""

from __future__ import annotations

import pytest

from benchmarks.rollback_gates import of_seed

pytestmark = pytest.mark.slow


def test_of_every_kind_of_scenario_only_a_version_that_got_worse_is_left() -> None:
    played = of_seed(100, 2_000)

    breached = {kind for _, kind, result in played if result.breached}
    left = {(group, kind) for group, kind, result in played if result.rolled_back}
    assert breached == {kind for _, kind, _ in played}
    assert {one for one in left if one[0] == "world"} == set()
    assert {one for one in left if one[0] == "model"} == {
        (group, kind) for group, kind, _ in played if group == "model"
    }
