"""What stays of a window's columns: few counts, over a cut that is kept once, until retention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from monitor import tables
from monitor.database import parsed
from monitor.distributions import Distribution
from monitor.store import Change, Store
from tests.monitor.test_retention import BEGIN, Clock, window

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
