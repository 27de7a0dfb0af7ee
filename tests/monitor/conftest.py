"""A PostgreSQL server for the session, and the two kinds of store that every test of it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.postgres import Postgres, PostgresUnavailableError
from tests.monitor.shadowing import registry


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real server; tests take databases of their own."""
    try:
        server = Postgres()
    except PostgresUnavailableError as error:
        pytest.skip(f"no PostgreSQL server: {error}")
    yield server
    server.remove()


@pytest.fixture(scope="session")
def shadow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow with the versions of `tests.monitor.shadowing`."""
    yield from registry(tmp_path_factory.mktemp("shadow"))


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
