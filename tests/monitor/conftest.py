"""A PostgreSQL server for the session, and the two kinds of store that every test of it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.postgres import Postgres, PostgresUnavailableError


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real server; tests take databases of their own."""
    try:
        server = Postgres()
    except PostgresUnavailableError as error:
        pytest.skip(f"no PostgreSQL server: {error}")
    yield server
    server.remove()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a store that is not there yet, in the file ``kedge.db``."""
    return f"sqlite:///{tmp_path / 'kedge.db'}"


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """The URL of a store that is not there yet, in a database of its own."""
    return postgres.url(postgres.new_database())


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a store that is not there yet, in each database."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found
