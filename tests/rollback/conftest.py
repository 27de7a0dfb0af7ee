"""Fixtures of the steps that act on Kubernetes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.rollback.cluster import Cluster, fake_cluster, real_cluster


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
