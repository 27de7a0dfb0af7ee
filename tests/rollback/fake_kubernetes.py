"""A Kubernetes API server on loopback that is no kinder than a real one.

It stores objects with resourceVersions, refuses what is out of date, applies the patch types,
leaves no trace of a dry run, answers errors as Status objects, and has the controllers of
`tests.rollback.fake_controllers`, which come after the answer as the real ones do. It loses
requests and answers as `fates` tells. Watches, admission and server-side apply are not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Self, TypeAlias

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.rollback.fake_answers import RefusedError, status_of
from tests.rollback.fake_controllers import reconcile
from tests.rollback.fake_selectors import picker
from tests.rollback.fake_validation import defaulted, fault
from tests.rollback.patching import (
    Json,
    PatchFailedError,
    json_patch,
    merge_patch,
    strategic_patch,
)

Object: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, str, str]
#: What happens to a call: passed on; lost on its way; done, but its answer lost; refused without
#: being done.
Fate: TypeAlias = Literal["pass", "lose", "mute", "429", "503", "409"]

#: Kinds that every server has; others have to be defined.
KINDS = {
    "configmaps",
    "deployments",
    "endpointslices",
    "leases",
    "pods",
    "replicasets",
    "services",
}
BUILT_IN = {"v1", "apps/v1", "discovery.k8s.io/v1", "coordination.k8s.io/v1", "autoscaling/v2"}
#: Kinds of which the server counts generations: they have a spec and a status apart.
COUNTED = {
    "deployments",
    "replicasets",
    "httproutes",
    "rollouts",
    "inferenceservices",
    "experiments",
    "virtualservices",
}


@dataclass(frozen=True, slots=True)
class Write:
    """A write that was answered with success."""

    method: str
    plural: str
    name: str
    manager: str
    dry_run: bool
    changed: bool


class FakeKubernetes:
    """Use it as an asynchronous context manager; `uri` is its address then."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.kinds = set(KINDS)
        self.tokens: set[str] = {"first", "admin"}
        self.forbidden: set[tuple[str, str]] = set()
        self.fates: list[Fate] = []
        self.reads: list[Fate] = []
        self.writes: list[Write] = []
        self.calls: list[tuple[str, str]] = []
        self.before_write: Callable[[], None] | None = None
        self.after_write: Callable[[str, str], None] | None = None
        self.on_refusal: Callable[[], object] = lambda: None
        self.expire_pages = False
        self._version = 1000
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = TestServer(app)
        await self._server.start_server()
        self.uri = str(self._server.make_url("")).rstrip("/")
        self._controllers = asyncio.create_task(self._reconciling(), name="controllers")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._controllers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._controllers
        await self._server.close()

    @property
    def changes(self) -> list[str]:
        """The kinds of which something was really changed by Kedge, in order."""
        return [w.plural for w in self.writes if w.changed]

    def find(self, plural: str, namespace: str = "") -> list[Object]:
        return [o for (p, n, _), o in self.objects.items() if p == plural and n == namespace]

    def put(self, key: Key, new: Object, *, as_status: bool = False) -> bool:
        """Store an object as the server does; whether that changed anything.

        Parameters
        ----------
        as_status
            Through the status of the object, by which controllers write annotations, too.
        """
        old = self.objects.get(key)
        new = deepcopy(new)
        meta = new.setdefault("metadata", {})
        if old is None:
            meta |= {"uid": meta.get("uid") or f"uid-{secrets.token_hex(6)}"}
            meta["namespace"] = key[1]
            meta["creationTimestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            if key[0] in COUNTED:
                meta["generation"] = 1
        else:
            for kept in ("uid", "namespace", "creationTimestamp", "generation", "resourceVersion"):
                if kept in old["metadata"]:
                    meta[kept] = old["metadata"][kept]
            if new == old:
                return False
            if key[0] in COUNTED and not as_status and _spec_differs(key[0], old, new):
                meta["generation"] += 1
        self._version += 1
        meta["resourceVersion"] = str(self._version)
        self.objects[key] = new
        self._changed.set()
        return True

    def drop(self, key: Key) -> None:
        del self.objects[key]
        self._version += 1
        self._changed.set()

    async def _reconciling(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                # Deadlines pass without a change, too.
                # Not wait_for: in Python 3.11 it may swallow the end of the test.
                async with asyncio.timeout(0.1):
                    await self._changed.wait()
            self._changed.clear()
            # The controllers come later than the answer.
            await asyncio.sleep(0.005)
            reconcile(self)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        writes = request.method not in ("GET", "HEAD") and "selfsubject" not in request.path
        # The administrator, who may do all and is never hindered, is not in the books.
        ours = request.headers.get("Authorization") != "Bearer admin"
        if ours:
            self.calls.append((request.method, request.path))
        writes = writes and ours
        queue = (self.fates if writes else self.reads) if ours else []
        fate: Fate = queue.pop(0) if queue else "pass"
        if fate == "lose":
            await asyncio.sleep(60)
        try:
            self._admit(request, fate)
            body = await request.read()
            if writes and self.before_write is not None:
                self.before_write()
            answer = self._answer(request, json.loads(body) if body else None)
        except RefusedError as error:
            return status_of(error)
        if writes and self.after_write is not None:
            self.after_write(request.method, request.path)
        if fate == "mute":
            await asyncio.sleep(60)
        return web.json_response(answer, status=201 if request.method == "POST" else 200)

    def _admit(self, request: web.Request, fate: Fate) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            self.on_refusal()
            raise RefusedError(401, "Unauthorized")
        if fate in ("429", "503", "409"):
            raise RefusedError(int(fate), "too many requests, please try again later")

    def _answer(self, request: web.Request, body: Json) -> Object:
        version, namespace, rest = _addressed(request.path)
        if rest == ["selfsubjectaccessreviews"]:
            return self._review(body)
        plural, name, subresource = (*rest, "", "")[:3]
        if plural not in self.kinds:
            raise RefusedError(404, "the server could not find the requested resource")
        verb = _verb(request.method, name)
        path = f"{plural}/{subresource}" if subresource else plural
        ours = request.headers.get("Authorization") != "Bearer admin"
        if ours and (verb, path) in self.forbidden:
            raise RefusedError(403, f'{path} "{name}" is forbidden: cannot {verb}')
        key = (plural, namespace, name)
        if verb == "list":
            return self._list(plural, namespace, request, typed=version not in BUILT_IN)
        if verb == "create":
            return self._create(key, subresource, body, request)
        old = self.objects.get(key)
        if old is None:
            raise RefusedError(404, f'{plural} "{name}" not found')
        if verb == "get":
            return deepcopy(old)
        if verb == "delete":
            return self._delete(key, old, body)
        if verb == "patch":
            body = _patched(old, body, request.headers["Content-Type"], version)
        return self._update(key, old, subresource, body, request)

    def _review(self, body: Json) -> Object:
        asked = body["spec"]["resourceAttributes"]
        sub = f"/{asked['subresource']}" if asked.get("subresource") else ""
        allowed = (asked["verb"], asked["resource"] + sub) not in self.forbidden
        return {**body, "status": {"allowed": allowed}}

    def _list(self, plural: str, namespace: str, request: web.Request, *, typed: bool) -> Object:
        picks = picker(request.query.get("labelSelector", ""))
        # The items of a built-in kind do not say of which kind they are.
        unsaid = () if typed else ("kind", "apiVersion")
        found = [
            {k: v for k, v in deepcopy(o).items() if k not in unsaid}
            for o in self.find(plural, namespace)
            if picks(o["metadata"].get("labels") or {})
        ]
        begin = int(request.query.get("continue") or 0)
        if begin and self.expire_pages:
            raise RefusedError(410, "The provided continue parameter is too old", "Expired")
        limit = int(request.query.get("limit") or len(found) or 1)
        meta: Object = {"resourceVersion": str(self._version)}
        if begin + limit < len(found):
            meta["continue"] = str(begin + limit)
        return {"kind": "List", "metadata": meta, "items": found[begin : begin + limit]}

    def _create(self, key: Key, subresource: str, body: Object, request: web.Request) -> Object:
        if subresource == "binding":
            pod = deepcopy(self.objects[key])
            pod["spec"]["nodeName"] = body["target"]["name"]
            self.put(key, pod)
            return {"kind": "Status", "status": "Success"}
        name = body["metadata"]["name"]
        key = (key[0], key[1], name)
        if key in self.objects:
            raise RefusedError(409, f'{key[0]} "{name}" already exists', "AlreadyExists")
        if key[0] in COUNTED | {"pods"}:
            body = {k: v for k, v in body.items() if k != "status"}
        body = _valid(key, None, body)
        if request.query.get("dryRun") == "All":
            self._wrote(request, key, changed=False)
            return body
        self.put(key, body)
        self._wrote(request, key, changed=True)
        return deepcopy(self.objects[key])

    def _delete(self, key: Key, old: Object, body: Json) -> Object:
        grace = (body or {}).get("gracePeriodSeconds", 30)
        if key[0] == "pods" and old["spec"].get("nodeName") and grace:
            self.put(key, terminating(old))
        else:
            self.drop(key)
        return {"kind": "Status", "status": "Success"}

    def _update(
        self, key: Key, old: Object, subresource: str, new: Object, request: web.Request
    ) -> Object:
        if request.method == "PUT":
            _check_replacement(key, old, new)
        stated = (new.get("metadata") or {}).get("resourceVersion")
        if stated is not None and stated != old["metadata"]["resourceVersion"]:
            raise RefusedError(
                409,
                f'Operation cannot be fulfilled on {key[0]} "{key[2]}": the object has been '
                "modified; please apply your changes to the latest version and try again",
            )
        if subresource == "status":
            new = {**deepcopy(old), "status": new.get("status", {})}
        elif "status" in old:
            new = {**new, "status": deepcopy(old["status"])}
        else:
            new = {k: v for k, v in new.items() if k != "status"}
        new = _valid(key, old, new)
        if request.query.get("dryRun") == "All":
            self._wrote(request, key, changed=False)
            return deepcopy(new)
        changed = self.put(key, new)
        self._wrote(request, key, changed=changed)
        return deepcopy(self.objects[key])

    def _wrote(self, request: web.Request, key: Key, *, changed: bool) -> None:
        if request.headers.get("Authorization") == "Bearer admin":
            return
        query = request.query
        dry = query.get("dryRun") == "All"
        manager = query.get("fieldManager", "")
        self.writes.append(Write(request.method, key[0], key[2], manager, dry, changed))


def _addressed(path: str) -> tuple[str, str, list[str]]:
    """Return API version, namespace, and what is left of a path."""
    parts = path.strip("/").split("/")
    version, rest = ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
    if rest[0] == "namespaces" and len(rest) > 2:
        return version, rest[1], rest[2:]
    return version, "", rest


def terminating(pod: Object) -> Object:
    pod = deepcopy(pod)
    pod["metadata"].setdefault("deletionTimestamp", datetime.now(UTC).isoformat())
    return pod


def _verb(method: str, name: str) -> str:
    if method == "GET":
        return "get" if name else "list"
    return {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}[method]


def _patched(old: Object, body: Json, content_type: str, version: str) -> Object:
    try:
        match content_type.removeprefix("application/"):
            case "json-patch+json":
                return json_patch(old, body)  # type: ignore[no-any-return]  # an object it stays
            case "merge-patch+json":
                return merge_patch(old, body)  # type: ignore[no-any-return]
            case "strategic-merge-patch+json" if version in BUILT_IN:
                return strategic_patch(old, body)  # type: ignore[no-any-return]
    except PatchFailedError as error:
        # The real server, too, does not say which operation it was.
        text = "the server rejected our request due to an error in our request"
        raise RefusedError(422, text) from error
    raise RefusedError(415, "the body of the request was in an unknown format")


def _spec_differs(plural: str, old: Object, new: Object) -> bool:
    if old.get("spec") != new.get("spec"):
        return True
    # Deployments, and they alone, count changes of annotations, too.
    both = (o["metadata"].get("annotations") or {} for o in (old, new))
    return plural == "deployments" and len({json.dumps(a, sort_keys=True) for a in both}) > 1


def _check_replacement(key: Key, old: Object, new: Object) -> None:
    """Refuse a PUT of another object, and one of a Lease that says not which it has read."""
    meta = new.get("metadata") or {}
    if meta.get("name") != key[2]:
        raise RefusedError(400, "the name of the object does not match the name on the URL")
    if meta.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
        raise RefusedError(409, "Precondition failed: UID in object meta is another")
    if key[0] == "leases" and not meta.get("resourceVersion"):
        raise RefusedError(422, "metadata.resourceVersion: must be specified for an update")


def _valid(key: Key, old: Object | None, new: Object) -> Object:
    """Return an object with its defaults; refuse it if it is not valid."""
    new = defaulted(key[0], new)
    if found := fault(key, old, new):
        raise RefusedError(*found)
    return new
