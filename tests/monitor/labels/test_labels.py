"""Labels meet their predictions in a real store, whatever comes first, twice, or never."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.batch import PredictionBatch
from collectors.labels import JoinColumns, LabelRows, Scalar
from detectors.measurement import Measurement
from detectors.performance.performance import Reading
from detectors.windows.labelled import PerformanceWindows
from detectors.windows.window_spec import WindowSpec
from monitor.labels.labels import LabelJoin
from monitor.labels.settling import JoinSpec
from monitor.store.pending import Held
from monitor.store.store import Change, Store, StoreUnavailable

T0 = 1_772_618_400.0
DAY_S = 86_400.0
SPEC = JoinSpec(
    ttl_s=7 * DAY_S,
    pending_max=1000,
    task=None,
    min_pairs=1,
    confidence=0.95,
    ahead_max_s=300.0,
    idle_s=10.0,
)


class Daemon:
    """A join with its store, as the engine uses them; `restart` keeps what was committed."""

    def __init__(self, folder: Path, spec: JoinSpec, windows: WindowSpec) -> None:
        self._url = f"sqlite:///{folder / 'kedge.db'}"
        self._spec, self._windows = spec, windows
        self.now, self.ticks = T0 + 30 * DAY_S, 0.0
        self.store = Store.open(self._url)
        self.start()

    def start(self) -> None:
        self.join = LabelJoin(
            self._spec,
            PerformanceWindows(self._windows, "m", Reading()),
            wall=lambda: self.now,
            monotonic=lambda: self.ticks,
        )
        snapshot = self.store.load()
        self.join.restore(snapshot.states.get("labels"), snapshot.performance_panes)

    def restart(self, windows: WindowSpec | None = None) -> None:
        self._windows = windows or self._windows
        self.store.close()
        self.store = Store.open(self._url)
        self.start()

    def predict(
        self, *rows: tuple[str | None, Scalar | None], ts: float = T0, version: str = "7"
    ) -> None:
        self.predict_labelled(*((*row, None) for row in rows), ts=ts, version=version)

    def predict_labelled(
        self,
        *rows: tuple[str | None, Scalar | None, Scalar | None],
        ts: float = T0,
        version: str = "7",
    ) -> None:
        empty = np.zeros(len(rows))
        self.join.take(
            PredictionBatch(
                *("m", version, "live", "server"),
                ts=empty + ts,
                latency_ms=empty,
                status=empty.astype(np.int64),
                weight=empty,
                joins=JoinColumns(*(list(column) for column in zip(*rows, strict=True))),
            )
        )

    def label(self, *rows: tuple[str, Scalar | None], ts: float = T0 + DAY_S) -> None:
        ids, labels = zip(*rows, strict=True)
        self.join.take_labels(LabelRows(ids, labels, np.full(len(rows), ts)))

    def commit(self) -> list[dict[str, Measurement]]:
        """Commit; return what was measured of the windows that this closed."""
        change = self.join.settle(self.store)
        closed = self.join.close()
        states: dict[str, bytes | None] = {"labels": self.join.complete(change)}
        self.store.commit(Change(states=states, labels=change))
        return [{one.metric: one for one in found} for _, found in closed]

    def last(self) -> dict[str, Measurement]:
        """Close what is open by a day without labels, and return the one window."""
        self.ticks += DAY_S
        self.join.let_time_pass()
        [window] = self.commit()
        return window

    def fates(self, kind: str = "labels") -> dict[str, int]:
        return {fate: count for fate, count in self.join.standing()[kind].items() if count}

    def waiting(self) -> tuple[int, int, int]:
        """Predictions, labels and pairs: as counted, and as they stand in the store."""
        waiting = self.join.standing()["waiting"]
        alone = self.store.oldest_held(joined=False, limit=10_000)
        pairs = self.store.oldest_held(joined=True, limit=10_000)
        predictions = sum(held.prediction is not None for held in alone)
        assert waiting == {
            "predictions": predictions,
            "labels": len(alone) - predictions,
            "pairs": len(pairs),
        }
        return predictions, len(alone) - predictions, len(pairs)


HOURLY = WindowSpec("time", 3600.0, 3600.0)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path, SPEC, HOURLY)
    yield daemon
    daemon.store.close()


def test_a_label_of_the_next_day_meets_its_prediction_over_a_restart(daemon: Daemon) -> None:
    daemon.predict(("a", "cat"), ("b", "dog"), ("c", "cat"))
    daemon.commit()
    daemon.restart()

    daemon.label(("a", "cat"), ("b", "cat"))
    daemon.commit()

    assert daemon.waiting() == (1, 0, 2)
    assert daemon.fates() == {"joined": 2}
    assert daemon.join.standing()["joined"] == {"7": 2}
    assert daemon.last()["accuracy"].value == 0.5


def test_a_label_may_come_first_and_with_its_prediction_in_one_commit(daemon: Daemon) -> None:
    daemon.label(("a", "cat"))
    daemon.commit()
    waiting = daemon.waiting()

    daemon.predict(("a", "cat"), ("b", "dog"), version="8")
    daemon.label(("b", "dog"))
    daemon.commit()

    assert waiting == (0, 1, 0)
    assert daemon.waiting() == (0, 0, 2)
    assert daemon.last()["accuracy"].n == 2


def test_a_label_in_the_event_itself_is_joined_at_once_and_not_kept(daemon: Daemon) -> None:
    daemon.predict_labelled(("a", "cat", "cat"), (None, "cat", "dog"), ("c", None, "dog"))
    daemon.commit()

    assert daemon.waiting() == (0, 0, 0)
    assert daemon.fates() == {"joined": 2}
    assert daemon.fates("predictions") == {"unjoinable": 1}
    assert daemon.last()["accuracy"].value == 0.5


def test_the_latest_label_wins_as_long_as_its_window_is_open(daemon: Daemon) -> None:
    daemon.predict(("a", "cat"), ("b", "dog"))
    daemon.label(("a", "dog"), ("b", "dog"), ts=T0 + 100)
    daemon.commit()

    daemon.label(("a", "cat"), ts=T0 + 200)  # later: wins
    daemon.label(("a", "cow"), ts=T0 + 150)  # older than what is known
    daemon.label(("b", "dog"), ts=T0 + 300)  # says the same
    daemon.commit()

    assert daemon.fates() == {"joined": 2, "corrected": 1, "outdated": 1, "repeated": 1}
    window = daemon.last()
    assert (window["accuracy"].value, window["accuracy"].n) == (1.0, 2)


def test_a_correction_after_the_window_has_closed_changes_nothing_and_is_counted(
    daemon: Daemon,
) -> None:
    daemon.predict(("a", "cat"))
    daemon.label(("a", "dog"))
    daemon.commit()
    before = daemon.last()

    daemon.label(("a", "cat"), ts=T0 + 3 * DAY_S)
    windows = daemon.commit()
    daemon.ticks += DAY_S
    daemon.join.let_time_pass()

    assert before["accuracy"].value == 0.0
    assert windows == daemon.commit() == []
    assert daemon.fates() == {"joined": 1, "corrected_late": 1}


def test_a_label_that_waits_is_replaced_by_a_later_one(daemon: Daemon) -> None:
    daemon.label(("a", "dog"), ts=T0 + 1)
    daemon.commit()
    daemon.label(("a", "cat"), ts=T0 + 2)
    daemon.commit()

    daemon.predict(("a", "cat"))
    daemon.commit()

    assert daemon.last()["accuracy"].value == 1.0


def test_an_id_that_is_used_again_counts_for_the_first_prediction(daemon: Daemon) -> None:
    daemon.predict(("a", "cat"), ("a", "dog"))
    daemon.commit()
    daemon.predict(("a", "cow"))
    daemon.label(("a", "cat"))
    daemon.commit()
    daemon.predict(("a", "cow"))
    daemon.commit()

    assert daemon.fates("predictions") == {"repeated": 3}
    assert daemon.last()["accuracy"].value == 1.0


def test_what_never_meets_its_other_half_is_let_go_and_counted(daemon: Daemon) -> None:
    daemon.predict(("a", "cat"), ("b", "cat"))
    daemon.label(("b", "cat"), ("nobody", "cat"))
    daemon.commit()

    daemon.predict(("c", "cat"), ts=T0 + 9 * DAY_S)
    daemon.commit()

    assert daemon.waiting() == (1, 0, 0)
    assert daemon.fates() == {"joined": 1, "expired": 1}
    assert daemon.fates("predictions") == {"expired": 1}


def test_beyond_the_limit_pairs_give_way_first_and_then_the_oldest(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, replace(SPEC, pending_max=10), HOURLY)
    daemon.predict(*((f"pair {i}", "cat") for i in range(4)), ts=T0 + 50)
    daemon.label(*((f"pair {i}", "cat") for i in range(4)))
    daemon.commit()
    for i in range(8):
        daemon.predict((f"old {i}", "cat"), ts=T0 + i)
    daemon.commit()
    full = daemon.waiting()

    daemon.predict(*((f"new {i}", "cat") for i in range(7)), ts=T0 + 99)
    daemon.commit()
    daemon.label(("old 4", "cat"), ("old 5", "cat"))
    daemon.commit()

    assert full == (8, 0, 2)
    assert daemon.fates("predictions") == {"evicted": 5}
    assert daemon.fates() == {"joined": 5}
    assert daemon.waiting() == (9, 0, 1) or daemon.waiting() == (9, 1, 0)
    daemon.store.close()


def test_a_label_that_is_no_scalar_is_unusable(daemon: Daemon) -> None:
    daemon.label(("a", None), ("b", "cat"))
    daemon.commit()

    assert daemon.fates() == {"unusable": 1}


def test_the_task_is_settled_by_the_first_window_with_enough_pairs(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, replace(SPEC, min_pairs=3), HOURLY)
    daemon.predict_labelled(("a", 1.0, 1.0))
    small = (daemon.commit(), daemon.last())[1]
    daemon.predict_labelled(*((None, 0.25 * i, 1.5) for i in range(4)), ts=T0 + 2 * DAY_S)
    daemon.commit()
    enough = daemon.last()
    daemon.restart()
    daemon.predict_labelled(*((None, 1.0, 1.0) for _ in range(9)), ts=T0 + 4 * DAY_S)
    daemon.commit()

    assert set(small) == {"accuracy", "precision", "recall", "f1"}
    assert set(enough) == set(daemon.last()) == {"mae", "rmse", "r2"}
    assert daemon.join.standing()["task"] == "quantity"
    daemon.store.close()


def test_labels_from_the_future_are_taken_as_known_now(daemon: Daemon) -> None:
    daemon.now = T0 + DAY_S
    daemon.predict(("a", "cat"))
    daemon.label(("a", "cat"), ts=T0 + 400 * DAY_S)
    daemon.commit()
    daemon.predict(("b", "cat"), ts=T0 + 60)
    daemon.commit()

    assert daemon.waiting() == (1, 0, 1)


def test_windows_cut_otherwise_after_a_restart_forget_the_pairs_of_the_old_ones(
    daemon: Daemon,
) -> None:
    daemon.predict(("a", "cat"), ("b", "cat"))
    daemon.label(("a", "dog"))
    daemon.commit()
    daemon.restart(WindowSpec("events", 2, 2))

    daemon.label(("a", "cat"), ("b", "cat"))
    daemon.commit()

    assert daemon.waiting() == (0, 1, 1)
    assert daemon.store.load().performance_panes.keys() == {("7", 0)}


class AwayOnce:
    """A store that cannot be read the first time."""

    def __init__(self, store: Store) -> None:
        self._store, self._away = store, True

    def held(self, ids: Collection[str]) -> Mapping[str, Held]:
        if self._away:
            self._away = False
            raise StoreUnavailable("away")
        return self._store.held(ids)

    def oldest_held(
        self, *, joined: bool, limit: int, before: float | None = None
    ) -> Sequence[Held]:
        return self._store.oldest_held(joined=joined, limit=limit, before=before)


def test_a_store_that_cannot_be_read_costs_a_second_try_and_nothing_else(daemon: Daemon) -> None:
    daemon.predict(("a", "cat"))
    daemon.label(("a", "cat"))
    store = AwayOnce(daemon.store)

    with pytest.raises(StoreUnavailable):
        daemon.join.settle(store)
    change = daemon.join.settle(store)

    assert [(held.id, held.joined) for held in change.held] == [("a", True)]
    assert daemon.last()["accuracy"].n == 1


def test_any_restarts_and_any_order_count_every_pair_once(tmp_path: Path) -> None:
    chance = random.Random(4)
    total = 400
    moves: list[tuple[Any, ...]] = [("predict", i) for i in range(total)]
    moves += [("label", i) for i in range(0, total, 2)]
    chance.shuffle(moves)
    daemon = Daemon(tmp_path, SPEC, WindowSpec("events", 50, 50))
    windows: list[dict[str, Measurement]] = []
    uncommitted: list[tuple[Any, ...]] = []

    def play(some: Sequence[tuple[Any, ...]]) -> None:
        for what, number in some:
            if what == "predict":
                daemon.predict((f"r{number}", float(number % 3)), ts=T0 + number)
            else:
                daemon.label((f"r{number}", float(number % 3 if number % 4 else 5)))

    for move in moves:
        play([move])
        uncommitted.append(move)
        if chance.random() < 0.1:
            # A crash: what was not committed is read again.
            daemon.restart()
            play(uncommitted)
        if chance.random() < 0.2:
            windows += daemon.commit()
            uncommitted.clear()
    windows += daemon.commit()

    assert daemon.waiting() == (total // 2, 0, total // 2)
    assert daemon.fates() == {"joined": total // 2}
    assert [window["accuracy"].n for window in windows] == [50] * 4
    assert sum((window["accuracy"].value or 0) * 50 for window in windows) == total // 4
    daemon.store.close()
