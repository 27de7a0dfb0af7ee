"""A client of the Kubernetes API for the dozen calls that the steps of a rollback need.

Reads are tried again after bad weather, writes never: what became of a write whose answer was
lost is for the caller to read back. A 401 is tried once more with the token read anew, because
the first one was refused before anything was done.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal, Self, TypeAlias
from urllib.parse import quote

import aiohttp

from rollback.kubernetes.answers import (
    KubernetesForbiddenError,
    KubernetesObject,
    KubernetesPermanentError,
    KubernetesTransientError,
    decode,
    refusal,
)
from rollback.kubernetes.config import KubernetesConfig

#: Who has changed what, in the ``managedFields`` of objects.
FIELD_MANAGER: Final = "kedge"
READ_ATTEMPTS: Final = 3
RETRY_PAUSE_S: Final = 0.2
#: A server that asks for more patience than this is not waited for within one call.
RETRY_AFTER_MAX_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
PAGE_OBJECTS: Final = 200
#: Objects of one list that are read; a selector that matches more is a mistake.
OBJECTS_MAX: Final = 2_000

#: Says whether a write that takes at most so many seconds may begin.
Permit: TypeAlias = Callable[[float], bool]

PatchType: TypeAlias = Literal["json", "merge", "strategic"]
#: Strategic merge is known to built-in kinds only.
_CONTENT_TYPES: Final[Mapping[PatchType, str]] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object: ``Resource("apps/v1", "deployments")``; the core group is ``v1``."""

    version: str
    plural: str

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.version.rpartition("/")[0]

    def path(self, namespace: str, name: str | None = None) -> str:
        """Return the path of one object, or of the list without a name."""
        root = "/apis" if self.group else "/api"
        path = f"{root}/{self.version}/namespaces/{quote(namespace, safe='')}/{self.plural}"
        return path if name is None else f"{path}/{quote(name, safe='')}"


class KubernetesClient:
    """One API server. Use it as an asynchronous context manager.

    It follows no redirect (the token would go along) and holds no watch: what a rollback waits
    for is few objects, which are simplest read again.

    Parameters
    ----------
    timeout_s
        For one attempt of one call, connecting and reading included.
    permit
        Whether a write that takes at most so many seconds may begin: a lease's word.

    Raises
    ------
    rollback.kubernetes.config.KubernetesConfigError
        On entering: the certificates cannot be used.
    """

    def __init__(
        self, config: KubernetesConfig, *, timeout_s: float = 10.0, permit: Permit | None = None
    ) -> None:
        self.config = config
        self._permit = permit
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"KubernetesClient({self.config.server!r})"

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self.config.tls())
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> KubernetesObject:
        """Return one object.

        Raises
        ------
        KubernetesNotFoundError
            There is none of that name.
        """
        return await self._read(resource.path(namespace, name), {})

    async def list(
        self, resource: Resource, namespace: str, *, labels: str = ""
    ) -> tuple[KubernetesObject, ...]:
        """Return the objects that a label selector picks, page by page.

        Raises
        ------
        KubernetesPermanentError
            There are more than `OBJECTS_MAX`.
        """
        path = resource.path(namespace)
        query = {"labelSelector": labels, "limit": str(PAGE_OBJECTS)}
        found: list[KubernetesObject] = []
        while True:
            page = await self._read(path, query)
            found += page.get("items") or ()
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return tuple(found)
            if len(found) >= OBJECTS_MAX:
                raise KubernetesPermanentError(
                    f"GET {path} with {labels!r}: more than {OBJECTS_MAX} objects; narrow the "
                    "selector"
                )
            query["continue"] = following

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        *,
        kind: PatchType = "json",
        subresource: str = "",
        dry_run: bool = False,
    ) -> KubernetesObject:
        """Change an object, and return what it is then.

        The server applies a patch to whatever the object is by then: guard it with ``test``
        operations, or with ``metadata.resourceVersion`` in a merge patch.

        Parameters
        ----------
        body
            Operations for a ``json`` patch, an object otherwise.
        dry_run
            Everything but storing it: admission, validation and quota are asked.

        Raises
        ------
        KubernetesConflictError
            A guard does not hold, or the outcome would not be valid.
        KubernetesTransientError
            It may have happened or not: read back.
        """
        path = resource.path(namespace, name) + (f"/{subresource}" if subresource else "")
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        else:
            self._ask_leave(f"PATCH {path}")
        return await self._call("PATCH", path, query, body, _CONTENT_TYPES[kind])

    async def create(
        self, resource: Resource, namespace: str, body: Mapping[str, Any]
    ) -> KubernetesObject:
        """Make an object; what exists already is a `KubernetesConflictError`."""
        query = {"fieldManager": FIELD_MANAGER}
        self._ask_leave(f"POST {resource.path(namespace)}")
        return await self._call("POST", resource.path(namespace), query, body)

    async def replace(
        self, resource: Resource, namespace: str, body: Mapping[str, Any]
    ) -> KubernetesObject:
        """Replace an object whose ``resourceVersion`` is still that of `body`."""
        path = resource.path(namespace, body["metadata"]["name"])
        self._ask_leave(f"PUT {path}")
        return await self._call("PUT", path, {"fieldManager": FIELD_MANAGER}, body)

    def _ask_leave(self, what: str) -> None:
        """Refuse a change that might end after somebody else may have begun."""
        if self._permit is not None and not self._permit(self._timeout_s):
            # As if the server had refused it: certainly not done, and worth another try.
            raise KubernetesTransientError(
                f"{what}: not sent, the lease has too little time left", retry_after_s=0.0
            )

    async def may(
        self, verb: str, resource: Resource, namespace: str, name: str = "", subresource: str = ""
    ) -> bool:
        """Return whether our account may do that, as the server's own review says."""
        attributes = {
            "namespace": namespace,
            "verb": verb,
            "group": resource.group,
            "resource": resource.plural,
            "name": name,
            "subresource": subresource,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {k: v for k, v in attributes.items() if v}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        # A review stores nothing, so it is as good to repeat as a read.
        answer = await self._retried("POST", path, {}, body)
        return bool((answer.get("status") or {}).get("allowed"))

    async def _read(self, path: str, query: Mapping[str, str]) -> KubernetesObject:
        return await self._retried("GET", path, query, None)

    async def _retried(
        self, method: str, path: str, query: Mapping[str, str], body: object
    ) -> KubernetesObject:
        """Call, again after bad weather with a pause that grows and differs by caller."""
        for attempt in range(READ_ATTEMPTS - 1):
            try:
                return await self._call(method, path, query, body)
            except KubernetesTransientError as error:
                if (error.retry_after_s or 0) > RETRY_AFTER_MAX_S:
                    raise
                pause_s = RETRY_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
                await asyncio.sleep(max(pause_s, error.retry_after_s or 0))
        return await self._call(method, path, query, body)

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object,
        content_type: str = "application/json",
    ) -> KubernetesObject:
        try:
            return await self._send(method, path, query, body, content_type)
        except KubernetesForbiddenError as error:
            if error.code != HTTPStatus.UNAUTHORIZED or self.config.token_file is None:
                raise
        return await self._send(method, path, query, body, content_type)

    async def _send(
        self, method: str, path: str, query: Mapping[str, str], body: object, content_type: str
    ) -> KubernetesObject:
        assert self._session is not None, "not entered"  # noqa: S101 - a bug of the caller
        what = f"{method} {path}"
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        # Read at every call: it is a small file, and the kubelet renews it when it likes.
        if token := self.config.bearer():
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with self._session.request(
                method,
                self.config.server + path,
                params=query,
                data=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                allow_redirects=False,
            ) as response:
                content = await _content(response, what)
        except TimeoutError as error:
            text = f"{what}: no answer within {self._timeout_s:g} s"
            raise KubernetesTransientError(text) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise KubernetesPermanentError(
                f"{what}: the certificate of {self.config.server} is not trusted: "
                f"{error.certificate_error}"
            ) from error
        except aiohttp.ClientError as error:
            text = f"{what}: {self.config.server}: {error or type(error).__name__}"
            raise KubernetesTransientError(text) from error
        if response.status < HTTPStatus.MULTIPLE_CHOICES:
            return decode(what, content)
        raise refusal(what, response.status, content, response.headers)


async def _content(response: aiohttp.ClientResponse, what: str) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > ANSWER_BYTES_MAX:
            raise KubernetesPermanentError(f"{what}: the answer is over {ANSWER_BYTES_MAX} bytes")
    return bytes(content)
