"""Fixtures of the steps: clusters, and a service to call."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.rollback.cluster import Cluster, fake_cluster, real_cluster
from tests.rollback.webhook_receiver import Receiver


@pytest.fixture(params=["fake", "real"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """A namespace of the fake API server, and again one of a real one if there is any."""
    async with fake_cluster() if request.param == "fake" else real_cluster() as cluster:
        yield cluster


@pytest.fixture
async def fake() -> AsyncIterator[Cluster]:
    """A namespace of the fake API server, for faults that a real one cannot be told to have."""
    async with fake_cluster() as cluster:
        yield cluster


@pytest.fixture
async def real() -> AsyncIterator[Cluster]:
    """A namespace of a real API server, for what the fake one has not: accounts and their Roles."""
    async with real_cluster() as cluster:
        yield cluster


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A service that a webhook calls."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    async with TestServer(app) as server:
        receiver.uri = str(server.make_url("/switch?team=rivers"))
        yield receiver
