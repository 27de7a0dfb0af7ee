"""A Lease on an API server: taken by one, renewed by its holder only, given up for the next."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from rollback.actuators.kubernetes_deployment import DEPLOYMENTS
from rollback.kubernetes.answers import KubernetesNotFoundError, KubernetesTransientError
from rollback.kubernetes.client import KubernetesClient
from rollback.kubernetes.lease import LEASES, KubernetesLease
from rollback.lease import LeaseTimes
from tests.rollback.cluster import Cluster

TIMES = LeaseTimes()


@contextlib.asynccontextmanager
async def leased(cluster: Cluster, *names: str) -> AsyncIterator[list[KubernetesLease]]:
    """A Lease as a manifest makes it, without a spec, as several processes see it."""
    body = {"apiVersion": LEASES.version, "kind": "Lease", "metadata": {"name": "kedge"}}
    await cluster.admin.create(LEASES, cluster.namespace, body)
    async with cluster.connect() as client:
        yield [
            KubernetesLease(client, cluster.namespace, "kedge", me=name, times=TIMES)
            for name in names
        ]


async def test_of_two_that_saw_it_free_one_takes_it(cluster: Cluster) -> None:
    async with leased(cluster, "a", "b") as (a, b):
        seen = await a.read(), await b.read()

        first, second = await a.take(seen[0]), await b.take(seen[1])

    assert seen[0].claim.holder == ""
    assert first is not None
    assert (first.claim.holder, first.transitions) == ("a", 1)
    assert second is None


async def test_a_renewal_after_somebody_took_over_is_refused(cluster: Cluster) -> None:
    async with leased(cluster, "a", "b") as (a, b):
        held = await a.take(await a.read())
        assert held is not None
        taken = await b.take(await b.read())

        renewed = await a.renew(held)

        assert taken is not None
        assert taken.transitions == 2
        assert renewed is None
        assert (await a.read()).claim.holder == "b"


async def test_each_renewal_leaves_another_mark(cluster: Cluster) -> None:
    async with leased(cluster, "a") as (a,):
        held = await a.take(await a.read())
        assert held is not None

        renewed = await a.renew(held)

    assert renewed is not None
    assert renewed.claim.mark != held.claim.mark
    assert renewed.transitions == held.transitions


async def test_what_was_given_up_has_no_holder_and_goes_to_the_next(cluster: Cluster) -> None:
    async with leased(cluster, "a", "b") as (a, b):
        held = await a.take(await a.read())
        assert held is not None

        await a.give_up(held)
        free = await b.read()
        taken = await b.take(free)

    assert free.claim.holder == ""
    assert taken is not None
    assert taken.claim.holder == "b"


async def test_a_lease_that_nobody_made_is_not_made_by_us(cluster: Cluster) -> None:
    async with cluster.connect() as client:
        lease = KubernetesLease(client, cluster.namespace, "missing", me="a", times=TIMES)

        with pytest.raises(KubernetesNotFoundError):
            await lease.read()


async def test_no_more_is_asked_of_the_server_than_to_get_and_to_update(fake: Cluster) -> None:
    assert fake.fake is not None
    async with leased(fake, "a") as (a,):
        held = await a.take(await a.read())
        assert held is not None
        renewed = await a.renew(held)
        assert renewed is not None
        await a.give_up(renewed)

    assert {method for method, _ in fake.fake.calls} == {"GET", "PUT"}


async def test_a_client_without_leave_sends_no_change_and_reads_on(fake: Cluster) -> None:
    asked: list[float] = []

    def never(call_s: float) -> bool:
        asked.append(call_s)
        return False

    await fake.deploy("flight", "1", replicas=1)
    assert fake.fake is not None
    async with KubernetesClient(fake.config, timeout_s=3.0, permit=never) as client:
        found = await client.get(DEPLOYMENTS, "ml", "flight")
        await client.patch(DEPLOYMENTS, "ml", "flight", [], dry_run=True)
        with pytest.raises(KubernetesTransientError, match="not sent, the lease"):
            await client.patch(DEPLOYMENTS, "ml", "flight", [])

    assert found["metadata"]["name"] == "flight"
    assert asked == [3.0]
    assert fake.fake.changes == []
