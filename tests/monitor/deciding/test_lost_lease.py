"""Who has lost the lease, and does not know it yet or goes on for a moment, does no harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.deciding.leadership import Door, KubernetesOffice, LeaseLostError, StoreOffice
from monitor.metrics.lease import waiting_page
from monitor.store.journal import StoreJournal
from monitor.store.ownership import standing
from monitor.store.store import Store, StoreInUse, StoreUnavailable
from monitor.store.writer import Writer
from rollback.kubernetes.lease import LEASES, KubernetesLease, LeaseRead
from rollback.lease import LeaseTimes
from rollback.lease_settings import LeaseSettings
from rollback.record import RollbackRecord, Transition
from rollback.steady_clock import steady_clock
from tests.rollback.cluster import Cluster, fake_cluster, kubeconfig_of

#: Renewed often, so that a loss is noticed soon; it does not run out within a test.
TIMES = LeaseTimes(duration_s=300, renew_deadline_s=200, retry_s=0.05)
RECORD = RollbackRecord("r1", "m", "INTENDED", "a breach", 1.0, 1.0, 1000.0, "8", "7", revision=1)
TRANSITION = Transition("m", 1.0, "GATED", "INTENDED", "a breach", record_id="r1")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with fake_cluster() as cluster:
        body = {"apiVersion": LEASES.version, "kind": "Lease", "metadata": {"name": "kedge"}}
        await cluster.admin.create(LEASES, cluster.namespace, body)
        yield cluster


async def taken(lease: KubernetesLease) -> LeaseRead:
    """Take it, whoever renews it meanwhile."""
    while True:
        if (read := await lease.take(await lease.read())) is not None:
            return read


async def test_argo_rollouts_2117_who_has_lost_the_lease_does_not_come_back_beside_the_next(
    cluster: Cluster, sqlite_url: str, tmp_path: Path
) -> None:
    (tmp_path / "kubeconfig").write_text(kubeconfig_of(cluster.config.server))
    settings = LeaseSettings("kubernetes", kubeconfig_path=tmp_path / "kubeconfig", times=TIMES)
    office = KubernetesOffice(Door(sqlite_url, "FILE", TIMES), settings)
    store = await office.enter(asyncio.Event())
    assert store is not None
    assert office.permit(1.0)
    working = waiting_page("m", office)

    async with cluster.connect() as client:
        other = KubernetesLease(client, cluster.namespace, "kedge", me="other", times=TIMES)
        held = await taken(other)
        with pytest.raises(LeaseLostError, match="other holds"):
            async with asyncio.timeout(60):
                await office.keep()
        lost = not office.permit(0.0)
        await other.give_up(held)
        await asyncio.sleep(5 * TIMES.retry_s)
        holder = (await other.read()).claim.holder

    assert lost
    assert not office.permit(0.0)
    assert holder == ""
    assert b'kedge_lease_held{model="m"} 1.0' in working
    assert b'kedge_lease_events_total{event="lost",model="m"} 0.0' in working
    assert b'kedge_lease_held{model="m"} 0.0' in waiting_page("m", office)
    assert b'kedge_lease_events_total{event="lost",model="m"} 1.0' in waiting_page("m", office)
    store.close()
    await office.leave()
    office.writer.close()


async def test_a_place_that_was_taken_over_from_who_stood_still_is_counted(
    sqlite_url: str,
) -> None:
    ahead_s = 0.0
    first = Store.open(sqlite_url)
    office = StoreOffice(Door(sqlite_url, "FILE", TIMES, lambda: steady_clock() + ahead_s))
    stop = asyncio.Event()
    waiting = waiting_page("m", office)

    entering = asyncio.create_task(office.enter(stop))
    await asyncio.sleep(2 * TIMES.retry_s)
    ahead_s = TIMES.duration_s
    store = await asyncio.wait_for(entering, 60)

    assert store is not None
    assert b'kedge_lease_held{model="m"} 0.0' in waiting
    assert b'kedge_lease_events_total{event="taken_over",model="m"} 1.0' in waiting_page(
        "m", office
    )
    store.close()
    first.close()
    office.writer.close()


async def test_cilium_42920_of_two_that_believe_they_lead_one_writes(url: str) -> None:
    first = Store.open(url)
    second = Store.open(url, over=standing(url))
    writers = Writer(), Writer()
    ours, theirs = StoreJournal(first, writers[0]), StoreJournal(second, writers[1])
    await theirs.write(RECORD, TRANSITION)

    acting = replace(RECORD, state="ACTING", revision=2)
    for _ in range(2):
        # The first to notice may be the connection, which the database has ended.
        with pytest.raises((StoreInUse, StoreUnavailable)):
            await ours.write(acting, TRANSITION)

    assert await theirs.get("r1") == RECORD
    for writer in writers:
        writer.close()
    first.close()
    second.close()
