"""An older store is refused with the command to type, and brought up to date by it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from monitor.store import migrations, tables
from monitor.store.database import parsed
from monitor.store.queries import Filter, Queries
from monitor.store.store import Change, Store, StoreInUse, StoreOutdated, StoreSchemaError

BEGIN = 1_772_618_400.0


@contextlib.contextmanager
def looking_in(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(parsed(url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        yield connection


def old_store(url: str, *, windows: int = 3) -> None:
    """Make a store as the first version made it: with a number in kedge_meta, and no revision."""
    with looking_in(url) as connection:
        migrations.migrate(connection, None, "0001")
        connection.exec_driver_sql("DROP TABLE kedge_schema")
        connection.exec_driver_sql("INSERT INTO kedge_meta VALUES ('schema', '1')")
        connection.exec_driver_sql(
            "INSERT INTO kedge_positions VALUES ('tail', 'a', '{\"offset\": 17}')"
        )
        frame = "id, model, version, begins, ends"
        for i in range(1, windows + 1):
            ends = BEGIN + 60 * i
            connection.exec_driver_sql(
                f"INSERT INTO kedge_windows ({frame}, events, requests, errors, rejected, late, "
                f"stored) VALUES ({i}, 'm', '7', {ends - 60}, {ends}, 10, 10, 0, 0, 0, {ends})"
            )
            for column in ("NULL", "'age'"):
                connection.exec_driver_sql(
                    'INSERT INTO kedge_measurements ("window", model, version, begins, ends, '
                    f"\"column\", metric, value, n, verdict) VALUES ({i}, 'm', '7', {ends - 60}, "
                    f"{ends}, {column}, 'psi', {i}, 10, 'ok')"
                )


def test_the_steps_and_the_tables_come_to_the_same_schema(url: str) -> None:
    old_store(url)
    migrations.upgrade(url)

    with looking_in(url) as connection:
        options: dict[str, Any] = {"version_table": tables.schema.name, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, tables.metadata)
        indexes = {
            table.name: {index["name"] for index in sa.inspect(connection).get_indexes(table.name)}
            for table in tables.metadata.tables.values()
        }

    assert differences == []
    for table in tables.metadata.tables.values():
        assert {index.name for index in table.indexes} <= indexes[table.name]


def test_the_last_step_is_the_revision_of_the_tables() -> None:
    assert migrations.scripts().get_heads() == [tables.REVISION]


def test_an_older_store_is_refused_with_the_command_to_type(url: str) -> None:
    old_store(url)

    with pytest.raises(StoreOutdated, match=r"schema 0001.*kedge db upgrade -c /etc/kedge\.toml"):
        Store.open(url, config="/etc/kedge.toml")

    with looking_in(url) as connection:
        assert "kedge_writer" not in sa.inspect(connection).get_table_names()


def test_an_upgraded_store_has_what_it_had(url: str) -> None:
    old_store(url)

    done = migrations.upgrade(url)

    store, queries = Store.open(url), Queries(url)
    measured = queries.measurements(Filter(column="age", metric="psi"))
    assert (done.before, done.after) == ("0001", tables.REVISION)
    assert store.load().positions == {"tail": {"a": {"offset": 17}}}
    assert [row["value"] for row in measured] == [3.0, 2.0, 1.0]
    assert len(queries.measurements(Filter(column=""))) == 3
    queries.close()
    store.close()


def test_an_upgraded_store_gives_new_windows_numbers_of_their_own(url: str) -> None:
    old_store(url)
    migrations.upgrade(url)

    with looking_in(url) as connection:
        numbers = connection.exec_driver_sql("SELECT id FROM kedge_windows").scalars().all()

    assert sorted(numbers) == [1, 2, 3]


def test_upgrading_twice_changes_nothing(url: str) -> None:
    Store.open(url).close()

    done = migrations.upgrade(url)

    assert (done.before, done.after) == (tables.REVISION, tables.REVISION)


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(url: str) -> None:
    old_store(url)
    with looking_in(url) as connection:
        # In the way of the last table that the step makes.
        connection.exec_driver_sql("CREATE TABLE kedge_hourly (x INTEGER)")

    with pytest.raises(Exception, match="kedge_hourly"):
        migrations.upgrade(url)

    with looking_in(url) as connection:
        count = "SELECT count(*) FROM kedge_measurements WHERE model = 'm'"
        assert connection.exec_driver_sql(count).scalar() == 6
        assert "kedge_writer" not in sa.inspect(connection).get_table_names()


def test_a_store_in_use_is_not_upgraded(url: str) -> None:
    store = Store.open(url)

    with pytest.raises(StoreInUse):
        migrations.upgrade(url)

    store.commit(Change(positions={("tail", "a"): {"offset": 1}}))
    store.close()


def test_a_newer_store_is_refused_by_both(url: str) -> None:
    Store.open(url).close()
    with looking_in(url) as connection:
        connection.exec_driver_sql("UPDATE kedge_schema SET version_num = '9999'")

    with pytest.raises(StoreSchemaError, match=r"schema 9999.*Use the Kedge that made it"):
        Store.open(url)
    with pytest.raises(StoreSchemaError, match="schema 9999"):
        migrations.upgrade(url)


def test_tables_of_somebody_else_are_left_alone(url: str) -> None:
    with looking_in(url) as connection:
        connection.exec_driver_sql("CREATE TABLE kedge_windows (x INTEGER)")

    with pytest.raises(StoreSchemaError, match="not those of a store"):
        Store.open(url)


@pytest.mark.real
def test_the_commands_refuse_upgrade_and_say_so(tmp_path: Path, url: str) -> None:
    old_store(url)
    config = tmp_path / "kedge.toml"
    text = f"""
        [model]
        name = "m"
        [[collect]]
        type = "tail"
        path = "predictions.jsonl"
        [store]
        url = "{url}"
        [http]
        listen = "127.0.0.1:0"
        """
    config.write_text(textwrap.dedent(text))

    refused = kedge("run", "-c", str(config))
    upgraded = kedge("db", "upgrade", "-c", str(config))
    again = kedge("db", "upgrade", "-c", str(config))

    assert refused.returncode == 1
    assert refused.stderr.strip().endswith(f"kedge db upgrade -c {config}")
    assert (upgraded.returncode, upgraded.stderr) == (0, "")
    assert upgraded.stdout.endswith(f"schema 0001 is now {tables.REVISION}\n")
    assert again.stdout.endswith(f"has schema {tables.REVISION} already\n")


def kedge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
