"""What stays of a window's columns: few counts, over a cut that is kept once, until retention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa

from collectors.batch import CategoryColumn, NumberColumn, Schema
from detectors.columns.side_by_side import side_by_side
from detectors.reference.reference import Reference, ReferenceBuilder
from detectors.windows.pane import Pane
from detectors.windows.window import ClosedWindow
from monitor.pictures.distributions import Distribution, Distributions
from monitor.store import tables
from monitor.store.database import parsed
from monitor.store.store import Change, Store
from tests.monitor.store.test_retention import BEGIN, Clock, window

ONE = Distribution("cut-one", b"edges", b"counts")
OTHER = Distribution("cut-two", b"edges", b"counts")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    store = Store.open(url, clock=clock)
    yield store
    store.close()


def kept(url: str) -> tuple[int, list[str]]:
    engine = sa.create_engine(parsed(url), poolclass=sa.NullPool)
    with engine.connect() as connection:
        counts = connection.scalar(sa.select(sa.func.count()).select_from(tables.distributions))
        cuts = connection.scalars(sa.select(tables.cuts.c.digest)).all()
    return int(counts or 0), sorted(cuts)


def test_a_cut_is_kept_once_for_all_windows_over_it(url: str, store: Store) -> None:
    rows = [replace(window(BEGIN + i, 0.1), distribution=ONE) for i in range(3)]

    store.commit(Change(windows=rows))

    assert kept(url) == (3, ["cut-one"])


def test_a_window_without_a_reference_has_none(url: str, store: Store) -> None:
    store.commit(Change(windows=[window(BEGIN, 0.1)]))

    assert kept(url) == (0, [])


def test_counts_and_cuts_go_with_their_windows(url: str, store: Store, clock: Clock) -> None:
    store.commit(Change(windows=[replace(window(BEGIN, 0.1), distribution=ONE)]))
    clock.now = 100.0
    store.commit(Change(windows=[replace(window(BEGIN + 1, 0.1), distribution=OTHER)]))

    store.prune(50.0, rows_max=10, hours_before=0.0)

    assert kept(url) == (1, ["cut-two"])


def test_a_cut_that_was_pruned_is_written_anew(url: str, store: Store, clock: Clock) -> None:
    store.commit(Change(windows=[replace(window(BEGIN, 0.1), distribution=ONE)]))
    store.prune(50.0, rows_max=10, hours_before=0.0)
    clock.now = 100.0

    store.commit(Change(windows=[replace(window(BEGIN + 1, 0.1), distribution=ONE)]))

    assert kept(url) == (1, ["cut-one"])


def reference() -> Reference:
    builder = ReferenceBuilder()
    ages = np.random.default_rng(7).normal(40, 10, 500)
    builder.add({"age": NumberColumn(ages), "plan": CategoryColumn(["gold", "tin"] * 250)})
    return builder.build(created=0.0, origin="example")


def closed(known: Reference, rows: int = 100, segment: str = "") -> ClosedWindow:
    pane = Pane(known, Schema({}))
    pane.answered = pane.events = rows
    for name in known.columns:
        pane._counts(name)
    return ClosedWindow("m", "7", 0.0, 60.0, pane, 60.0, segment)


def test_what_is_kept_makes_the_picture_of_the_counts() -> None:
    known = reference()
    window = closed(known)

    kept = Distributions().of(window, known, None)

    assert kept is not None
    assert dict(kept.columns()) == {
        name: side_by_side(known.columns[name], window.pane.columns[name])
        for name in ("age", "plan")
    }


def test_of_a_segment_only_the_columns_that_are_asked_for_are_kept() -> None:
    known, made = reference(), Distributions()
    window = closed(known, segment="country=DE")

    kept = made.of(window, known, None, {"plan", "a column of no reference"})

    assert kept is not None
    assert list(kept.columns()) == ["plan"]
    assert made.of(window, known, None, set()) is None


def test_a_window_without_answered_rows_has_none() -> None:
    known = reference()

    assert Distributions().of(closed(known, rows=0), known, None) is None


def test_equal_references_share_a_cut() -> None:
    one, other = (Distributions().of(closed(reference()), reference(), None) for _ in range(2))

    assert one is not None
    assert other is not None
    assert one.cut == other.cut
