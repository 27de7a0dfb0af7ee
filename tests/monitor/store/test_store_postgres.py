"""Postgres goes away, hangs and is cut off: no change is lost, and none counted twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from monitor.store import database, transactions
from monitor.store.queries import Filter, Queries
from monitor.store.store import Change, Store, StoreInUse, StoreUnavailable, Totals, WindowRow
from tests.monitor.cutting_proxy import CuttingProxy, Fault
from tests.monitor.postgres import Postgres, PostgresUnavailableError

BEGIN = 1_772_618_400.0

pytestmark = pytest.mark.real


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that no other test uses, to be stopped and started."""
    try:
        server = Postgres()
    except PostgresUnavailableError as error:
        pytest.skip(f"no PostgreSQL server: {error}")
    yield server
    server.remove()


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(postgres.port)
    yield proxy
    proxy.close()


def numbered(number: int) -> Change:
    """A change that shows when it was written twice: it adds a window."""
    frame = {"model": "m", "version": "7", "begins": BEGIN, "ends": BEGIN + number}
    counts = {"events": number, "requests": 1, "errors": 0, "rejected": 0, "late": 0}
    return Change(
        positions={("tail", "a"): {"offset": number}},
        totals={"tail": Totals(events=number)},
        windows=[WindowRow(frame | counts, [])],
    )


def until_it_succeeds(store: Store, change: Change) -> int:
    """Commit as the daemon does, and return how often that failed."""
    failures = 0
    ends = time.monotonic() + 30
    while True:
        try:
            store.commit(change)
        except StoreUnavailable:
            assert time.monotonic() < ends
            failures += 1
            time.sleep(0.05)
        else:
            return failures


def written(postgres: Postgres, name: str) -> list[int]:
    return [
        row[0] for row in postgres.execute("SELECT events FROM kedge_windows ORDER BY id", name)
    ]


def test_commits_whose_answers_are_lost_are_written_once_each(
    postgres: Postgres, proxy: CuttingProxy
) -> None:
    rng = random.Random(11)
    name = postgres.new_database()
    store = Store.open(postgres.url(name, port=proxy.port))

    for number in range(1, 101):
        fault: Fault | None = rng.choice(("before commit", "with commit", "after commit", None))
        if fault is not None:
            proxy.arm(fault)
        until_it_succeeds(store, numbered(number))

    assert written(postgres, name) == list(range(1, 101))
    assert proxy.cuts > 50
    store.close()


@pytest.mark.parametrize(
    ("fault", "fails"), [("before commit", 1), ("after commit", 0)], ids=["before", "after"]
)
def test_a_lost_answer_is_a_failure_only_where_nothing_was_written(
    postgres: Postgres,
    proxy: CuttingProxy,
    fault: Fault,
    fails: int,
) -> None:
    name = postgres.new_database()
    store = Store.open(postgres.url(name, port=proxy.port))
    proxy.arm(fault)

    failures = until_it_succeeds(store, numbered(1))

    assert failures == fails
    assert written(postgres, name) == [1]
    store.close()


@pytest.mark.parametrize("fault", ["before commit", "after commit"])
def test_a_commit_in_doubt_while_the_server_is_away_is_found_out_later(
    postgres: Postgres,
    proxy: CuttingProxy,
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transactions, "SETTLE_S", 0.2)
    name = postgres.new_database()
    store = Store.open(postgres.url(name, port=proxy.port))
    change, other = numbered(1), numbered(2)
    proxy.arm(fault, then_away=True)

    for one in (change, change, other):
        with pytest.raises(StoreUnavailable):
            store.commit(one)
    proxy.heal()
    # Another one's change comes first, and must not be taken for the one in doubt.
    until_it_succeeds(store, other)
    until_it_succeeds(store, change)

    assert sorted(written(postgres, name)) == [1, 2]
    store.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in order", "by a crash"])
def test_a_server_that_is_stopped_is_waited_for_with_the_same_change(
    own_postgres: Postgres, how: signal.Signals
) -> None:
    name = own_postgres.new_database()
    store = Store.open(own_postgres.url(name))
    store.commit(numbered(1))
    waiting = numbered(2)
    own_postgres.stop(how)

    with pytest.raises(StoreUnavailable):
        store.commit(waiting)
    with pytest.raises(StoreUnavailable):
        store.commit(waiting)
    own_postgres.start()
    until_it_succeeds(store, waiting)

    assert written(own_postgres, name) == [1, 2]
    assert store.load().totals["tail"].events == 2
    store.close()


def test_readers_say_that_the_store_is_away_and_recover(own_postgres: Postgres) -> None:
    name = own_postgres.new_database()
    store = Store.open(own_postgres.url(name))
    store.commit(numbered(1))
    queries = Queries(own_postgres.url(name))
    own_postgres.stop()

    with pytest.raises(StoreUnavailable):
        queries.windows(Filter())
    own_postgres.start()

    assert len(queries.windows(Filter())) == 1
    queries.close()
    store.close()


def test_a_server_that_has_gone_silent_is_given_up_in_time(
    postgres: Postgres, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SILENCE_MAX_S", 0.5)
    monkeypatch.setattr(database, "CONNECT_TIMEOUT_S", 2)
    monkeypatch.setattr(transactions, "SETTLE_S", 0.1)
    name = postgres.new_database()
    store = Store.open(postgres.url(name, port=proxy.port))
    store.commit(numbered(1))
    change = numbered(2)
    proxy.arm("silence")
    began = time.monotonic()

    with pytest.raises(StoreUnavailable):
        store.commit(change)

    # The system itself would wait for a quarter of an hour.
    assert time.monotonic() - began < 60
    proxy.heal()
    until_it_succeeds(store, change)
    assert written(postgres, name) == [1, 2]
    store.close()


def test_a_writer_that_lost_its_session_to_another_stops(postgres: Postgres) -> None:
    name = postgres.new_database()
    first = Store.open(postgres.url(name))
    first.commit(numbered(1))
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    )
    second = Store.open(postgres.url(name))
    second.commit(numbered(2))

    with pytest.raises((StoreInUse, StoreUnavailable)):
        first.commit(numbered(3))
    with pytest.raises(StoreInUse, match="taken over"):
        first.commit(numbered(3))

    second.commit(numbered(4))
    assert written(postgres, name) == [1, 2, 4]
    first.close()
    second.close()


def test_a_writer_that_lost_its_session_to_nobody_goes_on(postgres: Postgres) -> None:
    name = postgres.new_database()
    store = Store.open(postgres.url(name))
    store.commit(numbered(1))
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    )

    until_it_succeeds(store, numbered(2))

    assert written(postgres, name) == [1, 2]
    with pytest.raises(StoreInUse):
        Store.open(postgres.url(name))
    store.close()


def test_a_process_that_is_killed_frees_the_store(postgres: Postgres) -> None:
    url = postgres.url(postgres.new_database())
    script = (
        "import sys, time; from monitor.store.store import Store\n"
        "store = Store.open(sys.argv[1]); print('open', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script, url], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreInUse, match=f"process {holder.pid} on "):
            Store.open(url)

        holder.kill()

    Store.open(url).close()


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    with pytest.raises(StoreUnavailable) as refused:
        Store.open("postgresql://kedge:s3cret-canary@127.0.0.1:1/kedge?password=s3cret-canary")

    assert "postgresql://kedge:***@127.0.0.1:1/kedge" in str(refused.value)
    assert "canary" not in str(refused.value)
