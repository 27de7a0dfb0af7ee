"""What is known of a shadow, in both databases: over restarts, retention and a killed daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.batch import NumberColumn, PredictionBatch
from collectors.labels import JoinColumns
from detectors.rules.rule import RuleSpec
from detectors.windows.paired import PairedWindows
from detectors.windows.window_spec import WindowSpec
from monitor.counting.engine import SHADOW
from monitor.judging.turn import Pending
from monitor.shadow.judging import ShadowJudging
from monitor.shadow.queues import Answered, ShadowQueue
from monitor.shadow.watch import ShadowStanding, ShadowWatch
from monitor.store.queries import Filter, Queries
from monitor.store.store import Store
from monitor.traffic.segments import SEGMENTS, Segments
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.shadowing import configuration, live_events, write

BEGIN = 1_772_618_400.0  # a full hour
FIVE_MINUTES = WindowSpec("time", 300.0, 300.0)
SMALL = "country=FR"
RULE = RuleSpec("differs", "shadow_disagreement", above=0.2, segment=SMALL)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store.open(url, clock=lambda: 0.0)
    yield store
    store.close()


@pytest.fixture
def queries(url: str, store: Store) -> Iterator[Queries]:
    queries = Queries(url)
    yield queries
    queries.close()


class Shadowed:
    """The counting's half of a shadow, with a store; every answer differs in France alone."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue = ShadowQueue(100)
        self._segments = Segments(("country",), 2)
        self.watch = ShadowWatch(
            PairedWindows(FIVE_MINUTES, "m", segments_max=3),
            self._queue,
            ShadowStanding("scoring", "8"),
            ShadowJudging([RULE], confidence=0.95, psi_bins=10),
            sampling=1.0,
            queue_max=100,
            confidence=0.95,
            psi_bins=10,
            segments=self._segments,
        )
        kept = store.load()
        self._segments.restore(kept.states)
        self.watch.restore(kept.states.get(SHADOW), kept.rules)

    def pairs(self, rows: int, begins: float, *, live: str = "7") -> None:
        """Have so many rows answered, a second apart, half of them French."""
        countries = ["FR" if row % 2 else "DE" for row in range(rows)]
        batch = PredictionBatch(
            "m",
            live,
            "live",
            "server",
            begins + np.arange(float(rows)),
            np.full(rows, 5.0),
            np.full(rows, 200),
            np.ones(rows),
            {"age": NumberColumn(np.arange(float(rows)))},
            joins=JoinColumns(
                [f"{begins}#{row}" for row in range(rows)], [1.0] * rows, [None] * rows
            ),
            segments={"country": countries},
        )
        self.watch.take(batch)
        list(self._segments.parts(batch))
        request = self._queue.take()
        assert request is not None
        answers = [0.0 if country == "FR" else 1.0 for country in countries]
        self._queue.answer(Answered(request, "scored", "8", answers, 3.0))

    def commit(self, watermark: float) -> None:
        """Close what is complete, and write all of it down."""
        pending = Pending()
        self.watch.settle(watermark, pending)
        pending.change.states[SHADOW] = self.watch.complete(())
        pending.change.states.update(self._segments.changed())
        self._store.commit(pending.change)


def rows_of(queries: Queries, segment: str | None = "") -> list[dict[str, Any]]:
    found = queries.measurements(Filter(segment=segment, metric="shadow_disagreement"))
    return sorted(found, key=lambda row: (row["live"], row["segment"] or ""))


def test_windows_of_pairs_are_kept_with_their_segment_and_go_on_after_a_restart(
    store: Store, queries: Queries
) -> None:
    before = Shadowed(store)
    before.pairs(20, BEGIN)
    before.commit(BEGIN + 30)

    after = Shadowed(store)
    after.pairs(20, BEGIN + 100)
    after.commit(BEGIN + 300)

    told = [(row["live"], row["segment"], row["value"], row["n"]) for row in rows_of(queries, None)]
    assert told == [("7", None, 0.5, 40), ("7", "country=DE", 0.0, 20), ("7", SMALL, 1.0, 20)]
    assert [row["segment"] for row in rows_of(queries, SMALL)] == [SMALL]
    assert after.watch.standing()["requests"]["scored"] == 2
    kept = store.load()
    assert ("differs", f"8\0{SMALL}") in kept.rules
    assert SEGMENTS in kept.states


def test_windows_of_pairs_become_hours_of_each_segment_and_of_each_live_version(
    store: Store, queries: Queries
) -> None:
    shadowed = Shadowed(store)
    for window in range(3):
        shadowed.pairs(20, BEGIN + 300 * window)
    shadowed.pairs(20, BEGIN + 600 + 50, live="6")
    shadowed.commit(BEGIN + 900)
    raw = rows_of(queries, None)

    while store.prune(1.0, rows_max=4, hours_before=0.0):
        pass

    hours = rows_of(queries, None)
    assert len(raw) == 3 * 4
    assert {row["resolution"] for row in hours} == {"1h"}
    told = [(row["live"], row["segment"], row["value"], row["windows"], row["n"]) for row in hours]
    assert told == [
        ("6", None, 0.5, 1, 20),
        ("6", "country=DE", 0.0, 1, 10),
        ("6", SMALL, 1.0, 1, 10),
        ("7", None, 0.5, 3, 60),
        ("7", "country=DE", 0.0, 3, 30),
        ("7", SMALL, 1.0, 3, 30),
    ]
    assert {row["breaches"] for row in hours if row["segment"] == SMALL} == {1, 3}
    assert {row["column"] for row in hours} == {None}


@pytest.mark.real
def test_a_killed_daemon_on_postgres_counts_each_request_of_its_shadow_once(
    tmp_path: Path, registry_uri: str, postgres_url: str
) -> None:
    more = '[segments]\nkeys = ["country"]'
    config = configuration(tmp_path, registry_uri, 'version = "2"', more, store=postgres_url)
    log = tmp_path / "predictions.jsonl"
    write(log, live_events(230))

    with running(config) as kedge:
        eventually(lambda: fates(kedge)["scored"] >= 50, what="the shadow answers")
        kedge.kill()
    write(log, live_events(230, first=230))
    with running(config) as kedge:
        kedge.counted(460)
        eventually(lambda: sum(fates(kedge).values()) >= 460, what="every request has its end")
        requests = fates(kedge)
        small = f"/api/v1/measurements?version=2&segment={SMALL}&metric=shadow_disagreement"
        eventually(lambda: kedge.get(small)["measurements"], what="a window of a small segment")
        found = kedge.get(small)["measurements"]
        assert kedge.stop() == 0

    assert sum(requests.values()) == 460
    assert requests["scored"] + requests["lost"] == 460
    assert {(row["live"], row["value"], row["n"]) for row in found} == {("1", 1.0, 20)}


def fates(kedge: Kedge) -> dict[str, int]:
    return dict(kedge.get("/api/v1/status")["shadow"]["requests"])
