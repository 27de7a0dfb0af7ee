"""The way every step moves an object of Kubernetes: read, refuse or patch guarded, wait, read back.

What is moved and where to is the business of a `Movable`; here is what all have in common: the
patch holds only for the object that was read (uid and resourceVersion), it carries the id of the
rollback, and what was ours and is not any more is contested.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

from rollback.actuator import CheckUnavailableError, Done, Failed, HeldHere, Result
from rollback.kubernetes.answers import (
    KubernetesConflictError,
    KubernetesError,
    KubernetesObject,
    KubernetesTransientError,
)
from rollback.kubernetes.client import KubernetesClient, Permit, Resource
from rollback.kubernetes.config import KubernetesConfigError, find_config
from rollback.kubernetes.workload import (
    HOLD_KEY,
    INTENT_KEY,
    Settling,
    gitops_owner,
    notes_of,
    uid,
)

#: Between two looks at what a change has set in motion.
POLL_S: Final = 0.5
#: What is stuck must be so for a while: a controller's word of the rollout before, that it made no
#: progress, outlives the beginning of the next.
STUCK_FOR_S: Final = 3.0
#: Patches of one call that may find that the object has changed since it was read.
REPLANS_MAX: Final = 8
REPLAN_PAUSE_S: Final = 0.05

Operation: TypeAlias = Mapping[str, Any]
Connect: TypeAlias = Callable[[], KubernetesClient]


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Which cluster and namespace, and how long to wait; the same keys for every step there."""

    namespace: str | None = None
    """That of the pod that Kedge runs in, or of the kubeconfig's context, by default."""

    kubeconfig_path: Path | None = None
    """Without it the pod's own account is used, or what ``KUBECONFIG`` names."""

    context: str | None = None
    """Of the kubeconfig; its current one by default."""

    timeout_s: float = 10.0
    """For one call of the API server."""

    wait_s: float = 20.0
    """How long one attempt waits for what it has set in motion. The next attempt goes on waiting,
    until the rollback's time is over."""

    gitops: Literal["refuse", "act"] = "refuse"
    """``refuse`` to touch what Argo CD or Flux would put back; ``act`` where they were told to
    leave the field alone."""

    def connect(self, permit: Permit | None = None) -> KubernetesClient:
        """Return a client.

        Raises
        ------
        KubernetesConfigError
            No API server is known.
        """
        config = find_config(self.kubeconfig_path, self.context)
        return KubernetesClient(config, timeout_s=self.timeout_s, permit=permit)


@dataclass(frozen=True, slots=True)
class Reading:
    """Where an object stands, and what would move it.

    Parameters
    ----------
    place
        ``from`` and ``to`` as the versions of the rollback; ``elsewhere`` is neither.
    words
        What the object says, for people.
    operations
        JSON patch from ``from`` to ``to``.
    refusals
        Why it must not be moved, though it is at ``from``.
    lacking
        What is missing for that now, and may come: capacity.
    """

    place: Literal["from", "to", "elsewhere"]
    words: str
    operations: tuple[Operation, ...] = ()
    refusals: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Right:
    """One thing that our account must be allowed to do."""

    verb: str
    resource: Resource
    name: str = ""
    subresource: str = ""


class Movable(Protocol):
    """One kind of object that a step moves."""

    @property
    def resource(self) -> Resource:
        """The kind of the object."""
        ...

    @property
    def subresource(self) -> str:
        """What of the object is patched; empty for itself."""
        ...

    def rights(self, name: str) -> Sequence[Right]:
        """Return what is needed besides getting and patching the object."""
        ...

    async def read(
        self, cluster: KubernetesClient, found: KubernetesObject, from_version: str, to_version: str
    ) -> Reading:
        """Tell where the object stands, and what would move it. Changes nothing."""
        ...

    async def settle(
        self, cluster: KubernetesClient, found: KubernetesObject, to_version: str
    ) -> Settling:
        """Tell how far what the move has set in motion is."""
        ...


@dataclass(frozen=True, slots=True)
class GuardedMove:
    """An actuator that moves one object of Kubernetes.

    Parameters
    ----------
    type
        That of the step's settings.
    connect
        Makes a client, used for one call of ours and closed again.
    """

    type: str
    object_name: str
    kind: Movable
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    connect: Connect | None = None

    @property
    def name(self) -> str:
        """Names the object, as in ``kubernetes-deployment ml/flight-delay``."""
        place = f"{self.cluster.namespace}/" if self.cluster.namespace else ""
        return f"{self.type} {place}{self.object_name}"

    async def check(self, from_version: str, to_version: str) -> tuple[str, ...]:
        """Ask for our rights, read, and let the server rehearse the patch."""
        try:
            async with (self.connect or self.cluster.connect)() as cluster:
                missing = await self._missing_rights(cluster)
                return missing or await self._rehearse(cluster, from_version, to_version)
        except KubernetesTransientError as error:
            raise CheckUnavailableError(str(error)) from error
        except (KubernetesError, KubernetesConfigError) as error:
            return (str(error),)

    async def act(self, from_version: str, to_version: str, *, intent: str = "") -> Result:
        """Move the object, unless it is there; then wait for what follows from it."""
        sent: list[str] = []
        try:
            async with (self.connect or self.cluster.connect)() as cluster:
                return await self._move(cluster, from_version, to_version, intent, sent)
        except KubernetesTransientError as error:
            return Failed("transient", str(error), changed=bool(sent))
        except (KubernetesError, KubernetesConfigError) as error:
            return Failed("permanent", str(error), changed=bool(sent))

    async def undone(self, from_version: str, to_version: str) -> str | None:
        """Return what the object says if it is not at the target any more."""
        try:
            async with (self.connect or self.cluster.connect)() as cluster:
                found = await self._get(cluster)
                reading = await self.kind.read(cluster, found, from_version, to_version)
        except (KubernetesError, KubernetesConfigError):
            # Not known is not contested; the next look may tell.
            return None
        return None if reading.place == "to" else f"{reading.words}: somebody else moved it"

    def _namespace(self, cluster: KubernetesClient) -> str:
        return self.cluster.namespace or cluster.config.namespace

    async def _get(self, cluster: KubernetesClient) -> KubernetesObject:
        return await cluster.get(self.kind.resource, self._namespace(cluster), self.object_name)

    async def _missing_rights(self, cluster: KubernetesClient) -> tuple[str, ...]:
        resource, namespace = self.kind.resource, self._namespace(cluster)
        rights = [
            Right("get", resource, self.object_name),
            Right("patch", resource, self.object_name, self.kind.subresource),
            *self.kind.rights(self.object_name),
        ]
        missing: list[str] = []
        for right in rights:
            allowed = await cluster.may(
                right.verb, right.resource, namespace, right.name, right.subresource
            )
            if not allowed:
                what = "/".join(filter(None, (right.resource.plural, right.subresource)))
                missing.append(f"our account may not {right.verb} {what} in {namespace}")
        return tuple(missing)

    async def _rehearse(
        self, cluster: KubernetesClient, from_version: str, to_version: str
    ) -> tuple[str, ...]:
        for _ in range(REPLANS_MAX):
            found = await self._get(cluster)
            reading = await self.kind.read(cluster, found, from_version, to_version)
            if reading.place == "to":
                return ()
            if reading.place == "elsewhere":
                return (reading.words,)
            problems = (*self._refusals(found, reading), *reading.lacking)
            if problems:
                return problems
            try:
                await self._patch(cluster, found, reading, "rehearsal", dry_run=True)
            except KubernetesConflictError as error:
                if not await self._has_changed(cluster, found):
                    return (str(error),)
            else:
                return ()
        return ("it changes too often to be patched",)

    async def _move(
        self,
        cluster: KubernetesClient,
        from_version: str,
        to_version: str,
        intent: str,
        sent: list[str],
    ) -> Result:
        lost: KubernetesError | None = None
        moved = False
        for _ in range(REPLANS_MAX):
            found = await self._get(cluster)
            reading = await self.kind.read(cluster, found, from_version, to_version)
            marked = bool(intent) and notes_of(found).get(INTENT_KEY) == intent
            ours = moved or marked
            if reading.place == "to":
                changed = ours or bool(sent)
                return await self._wait(cluster, found, from_version, to_version, changed=changed)
            if stopped := self._stopped(found, reading, ours=ours, changed=bool(sent)):
                return stopped
            try:
                await self._patch(cluster, found, reading, intent)
                moved = True
                sent.append(uid(found))
            except KubernetesConflictError as error:
                if not await self._has_changed(cluster, found):
                    return Failed("permanent", str(error), changed=bool(sent))
                await asyncio.sleep(REPLAN_PAUSE_S)
            except KubernetesTransientError as error:
                if error.retry_after_s is not None:
                    # Refused before it was done; the server asks for patience.
                    raise
                # It may be done, or come late; sent again it cannot be done twice.
                sent.append(uid(found))
                lost = error
        return Failed("transient", str(lost or "it changes too often to be patched"), bool(sent))

    def _stopped(
        self, found: KubernetesObject, reading: Reading, *, ours: bool, changed: bool
    ) -> Failed | None:
        """Return why an object that is not at the target is left where it is."""
        if reading.place == "elsewhere" or ours:
            # Patch and mark are one write: ours, and not at the target, was put back.
            back = "; it was moved and has been put back" if ours else ""
            return Failed("contested", reading.words + back, changed=ours or changed)
        if refusals := self._refusals(found, reading):
            return Failed("permanent", "; ".join(refusals), changed=changed)
        if reading.lacking:
            return Failed("transient", "; ".join(reading.lacking), changed=changed)
        return None

    def _refusals(self, found: KubernetesObject, reading: Reading) -> tuple[str, ...]:
        refusals = list(reading.refusals)
        if HOLD_KEY in notes_of(found):
            why = f"held by its annotation {HOLD_KEY}: {notes_of(found)[HOLD_KEY]}"
            refusals.append(HeldHere(why))
        owner = gitops_owner(found)
        if owner is not None and self.cluster.gitops == "refuse":
            refusals.append(
                f"{owner} owns it and would put it back: change it there, or set "
                'gitops = "act" where it leaves the field alone'
            )
        return tuple(refusals)

    async def _patch(
        self,
        cluster: KubernetesClient,
        found: KubernetesObject,
        reading: Reading,
        intent: str,
        *,
        dry_run: bool = False,
    ) -> None:
        body = guarded(found, reading.operations, "" if self.kind.subresource else intent)
        namespace, sub = self._namespace(cluster), self.kind.subresource
        resource = self.kind.resource
        await cluster.patch(
            resource, namespace, self.object_name, body, subresource=sub, dry_run=dry_run
        )

    async def _has_changed(self, cluster: KubernetesClient, found: KubernetesObject) -> bool:
        """Whether a refused guard is explained by somebody's change."""
        now = await self._get(cluster)
        return bool(now["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"])

    async def _wait(
        self,
        cluster: KubernetesClient,
        found: KubernetesObject,
        from_version: str,
        to_version: str,
        *,
        changed: bool,
    ) -> Result:
        begun = time.monotonic()
        stuck_since: float | None = None
        while True:
            settling = await self.kind.settle(cluster, found, to_version)
            reading = await self.kind.read(cluster, found, from_version, to_version)
            if reading.place != "to":
                words = f"{reading.words}: somebody else moved it"
                return Failed("contested", words, changed=changed)
            if settling.state == "done":
                return Done(f"{reading.words}; {settling.words}", changed=changed)
            now = time.monotonic()
            stuck_since = None if settling.state == "waiting" else stuck_since or now
            patience_s = min(STUCK_FOR_S, self.cluster.wait_s)
            if stuck_since is not None and now - stuck_since >= patience_s:
                return Failed("permanent", settling.words, changed=changed)
            if now - begun >= self.cluster.wait_s and stuck_since is None:
                return Failed("waiting", settling.words, changed=changed)
            await asyncio.sleep(min(POLL_S, self.cluster.wait_s))
            found = await self._get(cluster)


def guarded(
    found: KubernetesObject, operations: Sequence[Operation], intent: str
) -> list[Operation]:
    """Return a JSON patch that holds only for the object as it was read, and that says whose it is.

    Parameters
    ----------
    intent
        The id of the rollback, kept in an annotation; empty for none.
    """
    meta = found["metadata"]
    body: list[Operation] = [
        {"op": "test", "path": "/metadata/uid", "value": meta["uid"]},
        {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
    ]
    if intent and not notes_of(found):
        body.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    body += operations
    if intent:
        path = f"/metadata/annotations/{escaped(INTENT_KEY)}"
        body.append({"op": "add", "path": path, "value": intent})
    return body


def escaped(key: str) -> str:
    """Return a key as a JSON pointer names it.

    Examples
    --------
    >>> escaped("kedge.io/hold")
    'kedge.io~1hold'
    """
    return key.replace("~", "~0").replace("/", "~1")
