"""Before going back: the last live requests, scored with another version of a real registry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from collectors.batch import NumberColumn, PredictionBatch
from collectors.labels import JoinColumns
from monitor.settings.settings import load
from monitor.shadow.composition import rescoring_of
from monitor.shadow.recent import RecentRequests
from tests.monitor.shadowing import MODEL, configuration

pytestmark = pytest.mark.real


def live_batch(rows: int) -> PredictionBatch:
    sign = np.where(np.arange(rows) % 2 == 0, 1.0, -1.0)
    columns = {name: NumberColumn(sign * (5.0 if name in "ab" else 0.0)) for name in "abcd"}
    answers = [float(one > 0) for one in sign.tolist()]
    return PredictionBatch(
        MODEL,
        "1",
        "live",
        "server",
        np.arange(float(rows)),
        np.full(rows, 4.0),
        np.full(rows, 200),
        np.ones(rows),
        columns | {"prediction": NumberColumn(np.array(answers))},
        joins=JoinColumns([f"r{row}" for row in range(rows)], answers, [None] * rows),
    )


async def test_a_target_is_compared_on_what_the_live_version_was_just_asked(
    tmp_path: Path, registry_uri: str
) -> None:
    settings = load(configuration(tmp_path, registry_uri, "recent = 200"), {})
    recent = RecentRequests(settings.shadow.recent_max)
    rescoring = rescoring_of(settings, recent, lambda: "1")
    before = await rescoring.score_recent("2")
    for _ in range(5):
        recent.take(live_batch(100))

    opposite = await rescoring.score_recent("2")
    same = await rescoring.score_recent("3")
    missing = await rescoring.score_recent("99")
    await rescoring.close()

    assert (before.verdict, before.why) == ("unknown", "no requests of version 1 are kept")
    assert (opposite.live, opposite.other, opposite.n) == ("1", "2", 200)
    assert (opposite.verdict, opposite.disagreement) == ("apart", 1.0)
    assert (same.verdict, same.n, same.disagreement) == ("alike", 200, 0.0)
    assert missing.verdict == "unknown"
    assert "version 99 cannot be scored" in missing.why
